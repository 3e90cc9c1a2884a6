import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Stage, startStage } from '../support/stage.ts';

/** `sluice explain` against a target that answers: what it says is what happens. */
let stage: Stage;
before(async () => {
  stage = await startStage({ setup: 'create view holders as select pan as whom, brand from cards; grant select on holders to public' });
});
after(() => stage.stop());

interface Report {
  readonly decision: string;
  readonly masked: readonly { readonly name: string; readonly how: string }[];
  readonly notes: readonly string[];
}

function explain(group: string, account: string, statement: string): Report {
  const options = ['--user', 'x', '--group', group, '--resource', 'payments', '--account', account, statement];
  const { stdout, stderr } = stage.gateway.sluice('explain', '--config', stage.gateway.config, ...options, '--json');
  assert.equal(stderr, '');
  return JSON.parse(stdout) as Report;
}

test('through a view, by what its columns come from', async () => {
  const report = explain('analysts', 'read-only', 'select whom, brand from holders limit 1');
  assert.deepEqual([report.decision, report.masked.map(({ name }) => name), report.notes], ['allow', ['whom'], []]);
  const wire = await stage.connect(stage.analyst);
  const { rows } = await wire.query('select whom, brand from holders limit 1');
  assert.match(rows[0]?.[0] ?? '', /^\*+[0-9]{4}$/);
  assert.doesNotMatch(rows[0]?.[1] ?? '*', /\*/);
  await wire.end();
});

test('the statement may be an option too, and is given once', () => {
  const options = ['--config', stage.gateway.config, '--user', 'x', '--group', 'analysts', '--resource', 'payments', '--json'];
  const run = (...more: readonly string[]) => stage.gateway.sluice('explain', ...options, ...more);
  assert.equal(run('--statement', 'select 1').stdout, run('select 1').stdout);
  const twice = run('--statement', 'select 1', 'select 1');
  assert.match(twice.stderr, /^sluice explain: the statement is given twice\nusage: /);
  assert.equal(twice.status, 2);
  assert.match(run().stderr, /^sluice explain: the statement is missing\n/);
});

test('what is denied there is denied here', async () => {
  const wire = await stage.connect(stage.developer);
  for (const [statement, expected] of [
    ['select brand from cards limit 1', 'allow'],
    ['drop table cards', 'deny'],
    ['delete from orders', 'approve'],
    ["select pg_read_file('x')", 'deny'],
  ] as const) {
    assert.equal(explain('developers', 'read-write', statement).decision, expected, statement);
    if (expected === 'approve') continue;
    const { errors } = await wire.query(statement);
    assert.equal(errors.length === 0, expected === 'allow', statement);
  }
  await wire.end();
});
