import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { passLargeRow } from '../support/large-row.ts';
import { type Stage, startStage } from '../support/stage.ts';

// PostgreSQL itself sends no message past 1 GB.
const MEGABYTES = 1000;
const MB = 1024 * 1024;
let stage: Stage;
before(async () => {
  stage = await startStage({ gateway: { sections: { recording: { output: 'none' } } } });
});
after(() => stage.stop());

for (const form of ['select', 'copy'] as const) {
  test(`one row of ${MEGABYTES} MB passes by ${form} in bounded memory`, async () => {
    const growth = await passLargeRow(stage, form, MEGABYTES);
    assert.ok(growth < 200 * MB, `${Math.round(growth / MB)} MB more than before`);
  });
}
