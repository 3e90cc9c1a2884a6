import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { recordedBytes, type Stage, startStage } from '../support/stage.ts';

/** What is copied in is recorded masked, also where the server refuses it: a file whose columns are one off puts cards anywhere. */
let stage: Stage;
before(async () => {
  stage = await startStage({
    setup: `create table shifted (id int, at timestamptz, ok bool, price numeric, key uuid, body text); grant all on shifted to app_rw`,
  });
});
after(() => stage.stop());

const CARD = '4539148803436467';
for (const format of ['text', 'csv'] as const) {
  for (const [i, column] of ['id', 'at', 'ok', 'price', 'key', 'body'].entries()) {
    test(`${format}: a card in a column "${column}"`, async () => {
      const wire = await stage.connect(stage.developer);
      const row = Array.from({ length: 6 }, (_, k) => (k === i ? CARD : format === 'csv' ? '' : '\\N')).join(format === 'csv' ? ',' : '\t');
      await wire.copyIn(`copy shifted from stdin (format ${format})`, [`${row}\n`]);
      await wire.end();
      await stage.settledRecord();
      const bytes = recordedBytes(stage.gateway.recordDir);
      assert.ok(bytes.includes('copy-in') && bytes.includes('6467'), 'it is in the record');
      assert.ok(!bytes.includes(CARD), 'in clear');
    });
  }
}
