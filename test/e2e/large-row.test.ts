import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { passLargeRow } from '../support/large-row.ts';
import { type Stage, startStage } from '../support/stage.ts';

// test/long has the same with 1 GB.
const MEGABYTES = 200;
const MB = 1024 * 1024;
let stage: Stage;
before(async () => {
  // What passes is not recorded here: 1 GB of it would only measure the disk.
  stage = await startStage({ gateway: { sections: { recording: { output: 'none' } } } });
});
after(() => stage.stop());

for (const form of ['select', 'copy'] as const) {
  test(`one row of ${MEGABYTES} MB passes by ${form}, masked across all borders, in bounded memory`, async () => {
    const growth = await passLargeRow(stage, form, MEGABYTES);
    assert.ok(growth < 100 * MB, `${Math.round(growth / MB)} MB more than before`);
  });
}

test('the record says how large it was', async () => {
  const results = (await stage.settledRecord()).filter((line) => line.type === 'result' && line['rows'] === 1);
  assert.equal(results.length, 2);
  for (const line of results) assert.ok(Number(line['bytes']) >= (MEGABYTES - 1) * MB, JSON.stringify(line));
});
