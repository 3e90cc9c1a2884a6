import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Stage, startStage } from '../support/stage.ts';

/** A protected column that is spelt wrong protects nothing, so it must not pass in silence. */
let stage: Stage;
before(async () => {
  stage = await startStage({ resource: { protect: { columns: { 'public.crads.holder': 'name', 'public.cards.holder': 'name' } } } });
});
after(() => stage.stop());

test('a protected column that the target does not have is named in the log and in the record', async () => {
  const wire = await stage.connect(stage.analyst);
  await wire.query('select 1');
  await wire.end();
  const { length } = stage.gateway.log().match(/public\.crads\.holder/g) ?? [];
  assert.equal(length, 1);
  const lines = (await stage.settledRecord()).filter((line) => line.type === 'config');
  assert.deepEqual(
    lines.map((line) => line['columns']),
    ['public.crads.holder'],
  );
});
