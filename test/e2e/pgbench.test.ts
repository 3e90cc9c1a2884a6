import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { requireClient } from '../support/clients.ts';
import { run } from '../support/run.ts';
import { type RecordLine, type Stage, startStage } from '../support/stage.ts';

const client = requireClient('pgbench');
const options = { skip: client.skip ?? false };
let stage: Stage;
before(async () => {
  stage = await startStage();
  if (client.path === undefined) return;
  const made = await run(
    client.path,
    ['-i', '-q', '-s', '1', '-U', 'postgres', '-h', stage.server.dir, '-p', String(stage.server.port), 'payments'],
    { ...process.env },
  );
  assert.equal(made.code, 0, made.stderr);
  await stage.server.sql(
    'grant all on all tables in schema public to app_rw; grant select on all tables in schema public to app_ro',
    'payments',
  );
});
after(() => stage.stop());

const executed = (lines: readonly RecordLine[]): RecordLine[] =>
  lines.filter((line) => line.type === 'intent' && (line['kind'] === 'query' || line['kind'] === 'bind'));

for (const mode of ['simple', 'extended', 'prepared'] as const) {
  for (const [script, perTransaction] of [
    ['select-only', 1],
    ['tpcb-like', 7],
  ] as const) {
    test(`${script} in ${mode} mode: every transaction succeeds and each statement has its intent`, options, async () => {
      const login = script === 'tpcb-like' ? stage.developer : stage.analyst;
      const earlier = stage.record().length;
      const transactions = 4 * 50;
      const done = await run(
        client.path ?? '',
        ['-n', '-b', script, '-M', mode, '-c', '4', '-j', '1', '-t', '50', '-h', '127.0.0.1', '-p', String(stage.gateway.port), 'payments'],
        stage.environment(login),
      );
      assert.equal(done.code, 0, done.stderr);
      assert.match(done.stdout, new RegExp(`number of transactions actually processed: ${transactions}/${transactions}`));
      assert.match(done.stdout, /number of failed transactions: 0 /);
      const lines = (await stage.settledRecord()).slice(earlier);
      const statements = executed(lines).filter(
        (line) => !/pgbench_branches$|pg_catalog|application_name/.test(String(line['text'] ?? '')),
      );
      assert.ok(
        statements.length >= transactions * perTransaction,
        `${statements.length} intents for ${transactions * perTransaction} statements`,
      );
      const results = new Map(lines.filter((line) => line.type === 'result').map((line) => [line['intent'], line]));
      for (const line of statements) assert.equal(results.get(line.seq)?.['status'], 'ok', JSON.stringify(line));
    });
  }
}

test('what was booked is in the tables, once', options, async () => {
  const [row] =
    (
      await stage.server.sql(
        'select (select sum(abalance) from pgbench_accounts) a, (select sum(delta) from pgbench_history) h, (select count(*) from pgbench_history) n',
        'payments',
      )
    )[0]?.rows ?? [];
  assert.equal(row.a, row.h);
  assert.equal(Number(row.n), 3 * 200);
});

test('the record verifies', options, () => {
  const { status, stdout, stderr } = stage.gateway.sluice('verify', stage.gateway.recordDir);
  assert.equal(status, 0, stdout + stderr);
});
