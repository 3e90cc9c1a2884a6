import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Stage, startStage } from '../support/stage.ts';
import { encode } from '../support/wire-messages.ts';

/** A commit that the server refuses at Sync: the one error in the extended protocol that skips nothing. */
let stage: Stage;
before(async () => {
  stage = await startStage({
    setup: `create table later (id int unique deferrable initially deferred); grant all on later to app_rw`,
  });
});
after(() => stage.stop());

const { parse, bind, execute, sync } = encode;
const twice = [parse({ text: 'insert into later values (1), (1)' }), bind({}), execute(), sync()];

test('the connection goes on as the server does', async () => {
  const wire = await stage.connect(stage.developer);
  wire.send(...twice);
  const failed = await wire.cycle();
  assert.deepEqual([failed.tags, failed.errors[0]?.['C'], failed.status], [['INSERT 0 2'], '23505', 'I']);
  assert.deepEqual((await wire.extended("select 'after'")).rows, [['after']]);
  assert.deepEqual((await wire.query('select count(*) from later')).rows, [['0']]);
  await wire.end();
  // The insert had its result before the commit: the record says what became of it.
  const lines = await stage.settledRecord();
  assert.deepEqual(
    lines.filter((line) => line['event'] === 'commit-failed').map((line) => [line.type, line['code']]),
    [['session', '23505']],
  );
});

test('what was sent behind it in one pipeline runs', async () => {
  const wire = await stage.connect(stage.developer);
  wire.send(...twice, parse({ text: "select 'behind'" }), bind({}), execute(), sync());
  assert.equal((await wire.cycle()).errors[0]?.['C'], '23505');
  assert.deepEqual((await wire.cycle()).rows, [['behind']]);
  await wire.end();
});
