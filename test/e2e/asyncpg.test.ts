import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requireClient } from '../support/clients.ts';
import { run } from '../support/run.ts';
import { assertNoCard } from '../support/secrets.ts';
import { recordedBytes, type Stage, startStage } from '../support/stage.ts';

// asyncpg speaks the extended protocol only, with every value in binary format, and asks the catalog for what it does not know.
const client = requireClient('asyncpg');
const options = { skip: client.skip ?? false };
let stage: Stage;
before(async () => {
  stage = await startStage({
    setup: `
      create type mood as enum ('glad', 'sad');
      create type pair as (a int, b text);
      create domain code as text check (length(value) < 40);
      create table typed (
        id int primary key, as_int8 bigint, as_numeric numeric, as_text text, as_varchar varchar(32), as_jsonb jsonb, as_json json,
        as_array text[], as_bytea bytea, as_mood mood, as_pair pair, as_code code, cvv int, pan bigint, expiry date);
      insert into typed values (1, 4111111111111111, 4111111111111111, '4111 1111 1111 1111', '4111111111111111',
        '{"pan": "4111111111111111", "n": 4111111111111111}', '{"pan": "4111111111111111"}', '{4111111111111111,x}',
        '4111111111111111', 'glad', '(7,4111111111111111)', '4111111111111111', 123, 4111111111111111, '2030-01-01');
      grant select on typed to app_ro;`,
  });
});
after(() => stage.stop());

interface Answer {
  readonly [name: string]: unknown;
}
const script = fileURLToPath(new URL('./data/asyncpg_client.py', import.meta.url));
let answer: Answer;

test('asyncpg connects, introspects and runs to its end', options, async () => {
  const done = await run(client.path ?? '', [script], stage.environment(stage.analyst));
  assert.equal(done.stderr, '');
  assert.equal(done.code, 0);
  answer = JSON.parse(done.stdout) as Answer;
});

test('masked values keep their types', options, () => {
  const row = answer['typed'] as Record<string, { type: string; value: unknown }>;
  const shown = (name: string): string => `${row[name]?.type}: ${JSON.stringify(row[name]?.value)}`;
  assert.equal(shown('id'), 'int: 1');
  assert.equal(shown('as_text'), 'str: "**** **** **** 1111"');
  assert.equal(shown('as_varchar'), 'str: "************1111"');
  assert.equal(shown('as_mood'), 'str: "glad"');
  assert.equal(shown('as_code'), 'str: "************1111"');
  // A number is masked as a number, or it is not there: never another number that looks true.
  for (const name of ['as_int8', 'as_numeric', 'pan']) assert.match(shown(name), /^(int|Decimal|NoneType): (1111|"1111"|null)$/, name);
  assert.match(shown('cvv'), /^(int: 0|NoneType: null)$/);
  assert.equal(shown('expiry'), 'NoneType: null');
  assert.doesNotMatch(JSON.stringify(answer), /41111111|1111111111/);
});

test('a statement prepared once and executed twice has the masks of its columns each time', options, () => {
  const rows = answer['prepared'] as [number, string, string][];
  assert.deepEqual(
    rows,
    stage.seeded.cards
      .slice(0, 2)
      .map((card) => [card.id, '*'.repeat(card.pan.length - 4) + card.pan.slice(-4), '*'.repeat(card.cvv.length)]),
  );
});

test('cursors, COPY in binary format, and errors', options, () => {
  assert.equal(answer['cursor'], stage.seeded.cards.length);
  assert.equal(answer['copied'], true);
  assert.deepEqual(answer['denied'], ['42501', true]);
  assert.equal(answer['after'], 1);
});

test('values bound in binary format are recorded as the text they are', options, async () => {
  const lines = await stage.settledRecord();
  assert.ok(lines.some((line) => JSON.stringify(line['params']) === '["41","hello"]'));
  assertNoCard(recordedBytes(stage.gateway.recordDir), stage.seeded, 'the record');
  assert.doesNotMatch(JSON.stringify(lines), /4111111111111111/);
});
