import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { assertNoCard } from '../support/secrets.ts';
import { recordedBytes, type Stage, type StageLogin, startStage } from '../support/stage.ts';

let stage: Stage;
before(async () => {
  stage = await startStage({ gateway: { plaintext: false } });
});
after(() => stage.stop());

const settings = (login: StageLogin): pg.ClientConfig => ({
  host: '127.0.0.1',
  port: stage.gateway.port,
  user: login.user,
  password: login.token,
  database: 'payments',
  ssl: { rejectUnauthorized: false },
});
const connected = async (login: StageLogin): Promise<pg.Client> => {
  const client = new pg.Client(settings(login));
  await client.connect();
  return client;
};
const shownAs = (pan: string): string => '*'.repeat(pan.length - 4) + pan.slice(-4);

test('logs in over TLS with the token as password', async () => {
  const client = await connected(stage.analyst);
  const { rows } = await client.query('select id, pan, cvv from cards order by id');
  assert.deepEqual(
    rows,
    stage.seeded.cards.map((card) => ({ id: String(card.id), pan: shownAs(card.pan), cvv: '*'.repeat(card.cvv.length) })),
  );
  await client.end();
});

test('a named prepared statement is executed many times, with its values and its masks', async () => {
  const client = await connected(stage.analyst);
  for (const card of stage.seeded.cards.slice(0, 25)) {
    const { rows } = await client.query({ name: 'by-pan', text: 'select id, pan from cards where pan = $1', values: [card.pan] });
    assert.deepEqual(rows, [{ id: String(card.id), pan: shownAs(card.pan) }]);
  }
  await client.end();
});

test('a pool of connections answers each query with its own rows', async () => {
  const pool = new pg.Pool({ ...settings(stage.analyst), max: 8 });
  const answers = await Promise.all(
    stage.seeded.cards.map(({ id }) => pool.query('select id, holder, pan from cards where id = $1', [id])),
  );
  answers.forEach(({ rows }, i) => {
    const card = stage.seeded.cards[i];
    assert.ok(card !== undefined);
    assert.deepEqual(rows, [{ id: String(card.id), holder: card.holder, pan: shownAs(card.pan) }]);
  });
  await pool.end();
});

test('a large result comes whole and in order', async () => {
  const client = await connected(stage.analyst);
  const { rows } = await client.query("select i, repeat('x', 100) as filler, '4111111111111111' as typed from generate_series(1, 60000) i");
  assert.equal(rows.length, 60_000);
  rows.forEach((row, i) => {
    if (row.i !== i + 1 || row.filler.length !== 100 || row.typed !== '************1111') assert.fail(`row ${i}: ${JSON.stringify(row)}`);
  });
  await client.end();
});

test('values of other types arrive as they were sent', async () => {
  const client = await connected(stage.analyst);
  const sent = [
    'text with \u{1F4B3} and "quotes"',
    42,
    3.25,
    true,
    new Date('2026-01-02T03:04:05.678Z'),
    { a: [1, { b: null }] },
    Buffer.from([0, 1, 255]),
    null,
  ];
  const { rows } = await client.query(
    'select $1::text a, $2::int b, $3::float8 c, $4::bool d, $5::timestamptz e, $6::jsonb f, $7::bytea g, $8::text h',
    sent,
  );
  assert.deepEqual(Object.values(rows[0]), sent);
  await client.end();
});

test('an error leaves the client usable, inside and outside of a transaction', async () => {
  const client = await connected(stage.developer);
  await assert.rejects(client.query('select 1/0'), { code: '22012' });
  await assert.rejects(client.query('drop table cards'), { code: '42501' });
  await client.query('begin');
  await assert.rejects(client.query('truncate cards'), { code: '42501' });
  await assert.rejects(client.query('select 1'), { code: '25P02' });
  await client.query('rollback');
  assert.deepEqual((await client.query('select 1 as one')).rows, [{ one: 1 }]);
  await client.end();
});

test('notifications and notices come through, masked', async () => {
  const client = await connected(stage.analyst);
  const notified = new Promise<pg.Notification>((resolve) => client.once('notification', resolve));
  await client.query('listen orders');
  await stage.server.sql("notify orders, 'card 4111111111111111 refused'", 'payments');
  assert.equal((await notified).payload, 'card ************1111 refused');
  await client.end();
});

test('the record holds each statement and no card number, and verifies', async () => {
  const lines = await stage.settledRecord();
  assertNoCard(recordedBytes(stage.gateway.recordDir), stage.seeded, 'the record');
  const named = lines.filter(
    (line) => line.type === 'intent' && line['kind'] === 'parse' && String(line['text']).startsWith('select id, pan from cards where pan'),
  );
  assert.equal(named.length, 1, 'the prepared statement is recorded once');
  const executions = lines.filter((line) => line.type === 'intent' && line['kind'] === 'bind' && line['stmt'] === named[0]?.seq);
  assert.equal(executions.length, 25);
  for (const line of executions) assert.deepEqual(line['params'], ['***']);
  assert.equal(stage.gateway.sluice('verify', stage.gateway.recordDir).status, 0);
});
