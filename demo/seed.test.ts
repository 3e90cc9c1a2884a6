import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { type Postgres, startPostgres } from '../test/support/postgres.ts';
import { luhnValid } from './cards.ts';
import { type Seeded, seedPayments } from './seed.ts';

let server: Postgres;
let seeded: Seeded;

before(async () => {
  server = await startPostgres();
  seeded = await seedPayments(server.superuser, { cards: 2000, customers: 500, orders: 3000 });
});
after(() => server.stop());

test('the database holds what the seed says, every number valid', async () => {
  const [cards] = await server.sql('select id::int, pan, brand, cvv, holder from cards order by id', seeded.database);
  assert.deepEqual(
    cards?.rows,
    seeded.cards.map(({ id, pan, brand, cvv, holder }) => ({ id, pan, brand, cvv, holder })),
  );
  assert.ok(cards?.rows.every((row) => luhnValid(row.pan)));
  assert.ok(new Set(cards?.rows.map((row) => row.brand)).size >= 9);
  const [notes] = await server.sql("select count(*)::int as n from orders where note ~ '[0-9]{12,}'", seeded.database);
  assert.equal(notes?.rows[0].n, 31);
  const [payments] = await server.sql('select count(*)::int as n from payments', seeded.database);
  assert.equal(payments?.rows[0].n, 3000);
});

test('another server gets the same cards from the same seed', async () => {
  const again = await seedPayments(server.superuser, { cards: 2000, customers: 500, orders: 3000, database: 'again' });
  assert.deepEqual(again.cards, seeded.cards);
});

test('the accounts have the rights that their names promise', async () => {
  const login = (account: { user: string; password: string }): pg.Client =>
    new pg.Client({ host: server.host, port: server.port, database: seeded.database, ...account });
  const reader = login(seeded.accounts.readOnly);
  await reader.connect();
  assert.equal((await reader.query('select from cards limit 1')).rowCount, 1);
  await assert.rejects(reader.query('delete from orders'), /permission denied/);
  await reader.end();
  const writer = login(seeded.accounts.readWrite);
  await writer.connect();
  assert.equal((await writer.query("update orders set note = 'seen' where id = 1")).rowCount, 1);
  await writer.end();
});
