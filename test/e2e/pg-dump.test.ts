import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { requireClient } from '../support/clients.ts';
import { run } from '../support/run.ts';
import { assertNoCard } from '../support/secrets.ts';
import { recordedBytes, type Stage, type StageLogin, startStage } from '../support/stage.ts';

// pg_dump refuses a server newer than itself: so this one runs the distribution's server.
const client = requireClient('pg_dump');
const missing = client.skip ?? requireClient('postgres-15').skip ?? requireClient('psql').skip;
const options = { skip: missing ?? false };
let stage: Stage;
before(async () => {
  if (missing === undefined) stage = await startStage({ postgres: { version: 'debian' } });
});
after(() => stage?.stop());

/** A dump locks the tables that it reads, in the mode in which analysts may. */
const dumper = (): StageLogin => stage.analyst;
const direct = (): NodeJS.ProcessEnv => {
  const { user, password } = dumper().account;
  return { ...stage.environment(dumper()), PGPORT: String(stage.server.port), PGUSER: user, PGPASSWORD: password };
};

test('a dump is the direct dump but for the masked values', options, async () => {
  const path = client.path ?? '';
  const straight = await run(path, [], direct());
  const through = await run(path, [], stage.environment(dumper()));
  assert.equal(through.stderr, '');
  assert.equal(through.code, 0);
  // The key of \restrict is random.
  const lines = (dump: string): string[] => dump.replaceAll(/^(\\(?:un)?restrict) \w+$/gm, '$1').split('\n');
  const masked = lines(through.stdout);
  const clear = lines(straight.stdout);
  assert.equal(masked.length, clear.length);
  const pans = new Map(stage.seeded.cards.map((card) => [card.pan, '*'.repeat(card.pan.length - 4) + card.pan.slice(-4)]));
  clear.forEach((line, i) => {
    let expected = line.replaceAll(/\d{12,19}/g, (digits) => pans.get(digits) ?? digits);
    const cells = expected.split('\t');
    // id, customer_id, brand, pan, expiry, cvv, holder
    if (cells.length === 7)
      expected = [...cells.slice(0, 4), '*'.repeat(cells[4]?.length ?? 0), '*'.repeat(cells[5]?.length ?? 0), cells[6]].join('\t');
    assert.equal(masked[i], expected);
  });
  assertNoCard(through.stdout, stage.seeded, 'the dump');
});

test('a dump of an unprotected table restores', options, async () => {
  const dump = await run(client.path ?? '', ['-t', 'customers', '--no-owner', '--no-privileges'], stage.environment(dumper()));
  assert.equal(dump.code, 0, dump.stderr);
  await stage.server.sql('create database restored');
  const psql = requireClient('psql').path ?? '';
  const restored = await run(
    psql,
    ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', stage.server.dir, '-p', String(stage.server.port), '-U', 'postgres', 'restored'],
    { PATH: process.env['PATH'] },
    dump.stdout,
  );
  assert.equal(restored.code, 0, restored.stderr);
  const of = async (database: string): Promise<unknown> =>
    (await stage.server.sql('select * from customers order by id', database))[0]?.rows;
  assert.deepEqual(await of('restored'), await of('payments'));
});

for (const format of ['custom', 'directory', 'tar'] as const) {
  test(`the ${format} format is written without an error`, options, async () => {
    const done = await run(
      client.path ?? '',
      ['-F', format, '-f', `${stage.gateway.dir}/dump-${format}`, ...(format === 'directory' ? ['-j', '2'] : [])],
      stage.environment(dumper()),
    );
    assert.equal(done.stderr, '');
    assert.equal(done.code, 0);
  });
}

test('the record of the dumps verifies and holds no card number', options, () => {
  assertNoCard(recordedBytes(stage.gateway.recordDir), stage.seeded, 'the record');
  assert.equal(stage.gateway.sluice('verify', stage.gateway.recordDir).status, 0);
});
