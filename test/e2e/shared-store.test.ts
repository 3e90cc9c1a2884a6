import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { ClockWatch } from '../../src/access/clock-watch.ts';
import { lockUser } from '../../src/access/user-revocation.ts';
import type { Store } from '../../src/store/model.ts';
import {
  dataDirectory,
  gatewayOver,
  openSession,
  person,
  question,
  refusedWith,
  TestClock,
  type TestGateway,
  testStore,
  urlOf,
} from '../support/control.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';

/** Two gateways, each with its own connections, over one real server. */

const ada = person('ada');
const bob = person('bob', ['dba']);
const clock = new TestClock();
const dir = dataDirectory();
let server: Postgres;
let stores: Store[] = [];
let first: TestGateway;
let second: TestGateway;
let stopped = false;

before(async () => {
  // What it has committed has to survive being killed.
  server = await startPostgres({ conf: { synchronous_commit: 'on' } });
  // Both begin a new database at the same moment.
  stores = await Promise.all([testStore(urlOf(server), dir.path, clock), testStore(urlOf(server), dir.path, clock)]);
  const [one, two] = stores;
  assert.ok(one !== undefined && two !== undefined);
  first = await gatewayOver(one, { name: 'gw-1', clock });
  second = await gatewayOver(two, { name: 'gw-2', clock });
});

after(async () => {
  await first?.access.close();
  await second?.access.close();
  for (const store of stores) await store.close();
  if (!stopped) await server?.stop();
  dir.remove();
});

test('one gateway approves what the other holds, and each records its part', async () => {
  const pending = await first.access.approvals.ask(question(ada));
  const { id } = pending.approval;
  assert.deepEqual(
    (await second.access.approvals.list({ state: 'pending', limit: 10 })).map((approval) => [approval.id, approval.gateway]),
    [[id, 'gw-1']],
  );
  await second.access.approvals.decide(id, bob, 'approve', 'fine');
  assert.equal((await pending.outcome).state, 'approved');
  assert.deepEqual(first.record.events(), ['ask', 'used']);
  assert.deepEqual(second.record.events(), ['vote']);
});

test('of an approval on one gateway and the time-out on the other at the same moment one wins, and both say the same', async () => {
  const hasty = await gatewayOver(first.store, { name: 'gw-hasty', clock, timeoutSeconds: 2 });
  for (let i = 0; i < 5; i++) {
    const pending = await hasty.access.approvals.ask(question(ada));
    const { id } = pending.approval;
    clock.advance(1_999);
    const decided = second.access.approvals.decide(id, bob, 'approve', '').then(
      () => true,
      () => false,
    );
    clock.advance(1);
    const outcome = await pending.outcome;
    const won = await decided;
    assert.equal(outcome.state, won ? 'approved' : 'expired');
    const stored = await second.access.approvals.get(id);
    assert.equal(stored?.state, won ? 'used' : 'expired');
  }
  await hasty.access.close();
});

test('an approved operation is sent again to another gateway, once', async () => {
  const asked = question(ada, { mode: 'retry' });
  const { approval } = await first.access.approvals.ask(asked);
  await first.access.approvals.decide(approval.id, bob, 'approve', '');
  const claims = await Promise.all([first.access.approvals.claim(asked), second.access.approvals.claim(asked)]);
  assert.equal(claims.filter((claim) => claim !== null).length, 1);
});

test('what a user had approved before being revoked does not run, restored or not', async () => {
  const dora = person('dora');
  const asked = question(dora, { mode: 'retry' });
  const { approval } = await first.access.approvals.ask(asked);
  await first.access.approvals.decide(approval.id, bob, 'approve', '');
  await first.access.revocations.revokeUser('dora', 'idp', bob, 'left');
  await first.access.revocations.restoreUser('dora', 'idp', bob, 'came back');
  assert.equal(await second.access.approvals.claim(asked), null);
  assert.equal((await first.access.approvals.get(approval.id))?.state, 'cancelled');
});

test('a grant and its end reach the other gateway', async () => {
  const wanted = { resource: 'payments', role: 'read-only', seconds: 3600, reason: 'look', ticket: '', breakGlass: false };
  const { id } = await first.access.grants.request(ada, wanted);
  // A session that begins on it as soon as it is there.
  const there = changeOf(second.store, 'grants', id, () => second.access.grants.groupsOf(ada).length === 1);
  await first.access.grants.decide(id, bob, 'approve', '');
  await there;
  const session = openSession('s-2', ada, [id]);
  const forget = second.live.add(session);
  await first.access.grants.revoke(id, bob, 'done');
  assert.equal((await session.ended).code, 'grant_revoked');
  assert.deepEqual(second.access.grants.groupsOf(ada), []);
  forget();
});

test('a revocation ends sessions of the other gateway', async () => {
  const carl = person('carl');
  const session = openSession('s-3', carl);
  const forget = second.access.live.add(session);
  await first.access.revocations.revokeUser('carl', 'idp', bob, 'left');
  assert.equal((await session.ended).code, 'revoked');
  assert.throws(() => second.access.revocations.check(carl), refusedWith('revoked'));
  forget();
  // It was on its way when that happened.
  const late = openSession('s-4', carl);
  second.access.live.add(late)();
  assert.equal((await late.ended).code, 'revoked');
});

test('a grant asked for on one gateway while its user is revoked on the other does not stand, whichever is first', async () => {
  const wanted = { resource: 'payments', role: 'read-only', seconds: 3600, reason: 'look', ticket: '', breakGlass: false };
  const waiting = async (n: number): Promise<void> => {
    const query = "select count(*)::int as n from pg_locks where locktype = 'advisory' and not granted";
    while (Number((await server.sql(query))[0]?.rows[0]?.['n']) < n);
  };
  for (const requestFirst of [true, false]) {
    const rita = person(requestFirst ? 'rita' : 'rosa');
    let release = (): void => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    let held: Promise<void> = Promise.resolve();
    await new Promise<void>((locked) => {
      held = first.store.transaction(async (db) => {
        await lockUser(db, `idp ${rita.name}`);
        locked();
        await released;
      });
    });
    const request = (): Promise<unknown> => first.access.grants.request(rita, wanted).catch(refusedWith('revoked'));
    const revoke = (): Promise<unknown> => second.access.revocations.revokeUser(rita.name, 'idp', bob, 'left');
    const one = requestFirst ? request() : revoke();
    await waiting(1);
    const other = requestFirst ? revoke() : request();
    await waiting(2);
    release();
    await Promise.all([held, one, other]);
    await second.access.revocations.restoreUser(rita.name, 'idp', bob, 'came back');
    const grants = await first.access.grants.list({ limit: 10, user: rita.name });
    assert.deepEqual(
      grants.map(({ state }) => state),
      requestFirst ? ['revoked'] : [],
    );
  }
});

test('a clock that is apart from that of the store is told of, once', async () => {
  const said: string[] = [];
  let ahead = 5_000;
  const say = (message: string): void => void said.push(message);
  const watch = new ClockWatch(first.store, () => Date.now() + ahead, { info: say, warn: say, error: say });
  await watch.look();
  await watch.look();
  assert.equal(said.length, 1);
  assert.match(said[0] ?? '', /apart/);
  ahead = 0;
  await watch.look();
  await watch.look();
  assert.equal(said.length, 2);
});

test('a session is ended by the gateway that has it', async () => {
  const session = openSession('s-5', ada);
  const forget = second.live.add(session);
  assert.equal(await first.access.live.kill('s-5', bob, 'suspicious'), true);
  const error = await session.ended;
  assert.equal(error.code, 'session_killed');
  assert.match(error.publicMessage, /bob: suspicious/);
  forget();
  assert.deepEqual(
    first.record.lines.filter((line) => line['event'] === 'session.kill').map((line) => [line.type, line['session'], line['reason']]),
    [['config', 's-5', 'suspicious']],
  );
  const nobody = first.access.live.kill('s-none', bob, '');
  await clock.advanceUntilScheduled(5_000);
  assert.equal(await nobody, false);
});

test('the open sessions of all gateways are seen from each, with the gateway that has them', async () => {
  const forget = [first.live.add(openSession('s-here', ada)), second.live.add({ ...openSession('s-there', bob), operations: 7 })];
  const seen = async (gateway: TestGateway): Promise<unknown> => {
    // An answer is good for a second.
    clock.advance(1_000);
    const { sessions, complete, silent } = await gateway.access.live.listAll();
    assert.deepEqual([complete, silent], [true, []]);
    return sessions.map(({ sid, gateway, user, operations }) => [sid, gateway, user, operations]).sort();
  };
  const all = [
    ['s-here', 'gw-1', 'ada', 0],
    ['s-there', 'gw-2', 'bob', 7],
  ];
  assert.deepEqual(await seen(first), all);
  assert.deepEqual(await seen(second), all);
  const found = await first.access.live.find('s-there');
  assert.deepEqual([found?.gateway, found?.resource, found?.subject], ['gw-2', 'payments', 'sub-bob']);
  assert.equal(await first.access.live.find('s-none'), null);
  assert.equal(await first.access.live.find('x'.repeat(101)), null);
  for (const each of forget) each();
  assert.deepEqual(await seen(first), []);
  assert.deepEqual(await server.sql('select * from session_answers').then(([answer]) => answer?.rows), [], 'what was read is gone');
});

test('a gateway that has died is named until it counts as gone, and its sessions are not shown', async () => {
  const crashed = await gatewayOver(second.store, { name: 'gw-3', clock });
  crashed.live.add(openSession('s-crashed', ada));
  clock.advance(1_000);
  assert.deepEqual(
    (await first.access.live.listAll()).sessions.map(({ gateway }) => gateway),
    ['gw-3'],
  );
  await crashed.access.close();
  clock.advance(1_000);
  assert.deepEqual(await first.access.live.listAll(), { sessions: [], complete: true, silent: [] }, 'it has said that it ends');
  // Not this one: it is in the store as if it were there.
  const seen_at = clock.now();
  await first.store.db.insertInto('gateways').values({ process: 'p-4', gateway: 'gw-4', started_at: seen_at, seen_at }).execute();
  clock.advance(1_000);
  const answered = new Promise<void>((resolve) => {
    const stop = first.store.listen('sessions', (payload) => {
      if (!payload.includes('"listed"')) return;
      stop();
      resolve();
    });
  });
  const asked = first.access.live.listAll();
  await answered;
  clock.advance(2_000);
  assert.deepEqual(await asked, { sessions: [], complete: false, silent: ['gw-4'] });
  await first.store.db
    .updateTable('gateways')
    .set({ seen_at: clock.now() - 30_000 })
    .where('process', '=', 'p-4')
    .execute();
  clock.advance(1_000);
  assert.deepEqual(await first.access.live.listAll(), { sessions: [], complete: true, silent: [] });
  await first.store.db.deleteFrom('gateways').where('process', '=', 'p-4').execute();
});

test('alerts of all gateways are seen from each, newest first, also those raised while the store was away', async () => {
  const raise = (gateway: TestGateway, line: number): void => {
    clock.advance(1_000);
    gateway.access.events.emit({ type: 'alert', sid: '', user: 'ada', resource: 'payments', line, detail: { rule: 'denials' } });
  };
  const lines = async (gateway: TestGateway): Promise<unknown> => {
    const { alerts, complete } = await gateway.access.alerts.latest();
    assert.equal(complete, true);
    return alerts.map(({ gateway, line }) => [gateway, line]);
  };
  raise(first, 1);
  raise(second, 2);
  first.access.events.emit({ type: 'denied', sid: '', user: 'ada', resource: 'payments', line: 9, detail: {} });
  await second.access.alerts.latest();
  const both = [
    ['gw-2', 2],
    ['gw-1', 1],
  ];
  assert.deepEqual(await lines(first), both);
  assert.deepEqual(await lines(second), both);
  const back = Promise.all([first, second].map(({ store }) => changeOf(store, 'approvals', '', () => store.downSince === null)));
  await server.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sluice'").catch(() => {});
  raise(first, 3);
  await back;
  assert.deepEqual(await lines(first), [['gw-1', 3], ...both]);
  assert.deepEqual(await lines(second), [['gw-1', 3], ...both]);
  for (let i = 0; i < 201; i++) raise(second, 100 + i);
  assert.equal((await second.access.alerts.latest()).alerts.length, 200);
  assert.equal((await first.access.alerts.latest()).alerts[0]?.line, 300);
});

test('while the server restarts requests wait on, and what was decided meanwhile is known afterwards', async () => {
  const waiting = await first.access.approvals.ask(question(ada));
  const cancelled = await first.access.approvals.ask(question(ada, { sid: 's-9' }));
  const back = changeOf(first.store, 'approvals', '', () => first.store.downSince === null);
  const backToo = changeOf(second.store, 'approvals', '', () => second.store.downSince === null);
  await server.restart('immediate');
  // Somebody decides where no notification of it is heard.
  await server.sql(`update approvals set state = 'denied' where id = '${cancelled.approval.id}'`);
  await Promise.all([back, backToo]);
  assert.equal((await cancelled.outcome).state, 'denied');
  await second.access.approvals.decide(waiting.approval.id, bob, 'approve', '');
  assert.equal((await waiting.outcome).state, 'approved');
});

test('a connection that the server ends is replaced', async () => {
  const back = changeOf(first.store, 'approvals', '', () => first.store.downSince === null);
  const others = changeOf(second.store, 'approvals', '', () => second.store.downSince === null);
  await server.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sluice'");
  await Promise.all([back, others]);
  const pending = await first.access.approvals.ask(question(ada));
  await second.access.approvals.decide(pending.approval.id, bob, 'approve', '');
  assert.equal((await pending.outcome).state, 'approved');
});

test('a gateway of an earlier version does not touch a later schema', async () => {
  await server.sql('create database later');
  const url = urlOf(server, 'later');
  await (await testStore(url, dir.path, clock)).close();
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: url }) }) });
  await sql`insert into sluice_migrations (name, timestamp) values ('9999-later', 'then')`.execute(db);
  await db.destroy();
  await assert.rejects(testStore(url, dir.path, clock), refusedWith('store_newer'));
});

test('a gateway with another key, or none, is told so and seals nothing', async () => {
  const other = Buffer.alloc(32, 8).toString('base64');
  await assert.rejects(testStore(urlOf(server), dir.path, clock, other), refusedWith('store_key_mismatch'));
  await assert.rejects(testStore(urlOf(server), dir.path, clock, ''), refusedWith('store_key_missing'));
  await assert.rejects(testStore(urlOf(server), dir.path, clock, 'c2hvcnQ='), refusedWith('store_key_unusable'));
});

test('a server that is not there, or does not let us in, is an error at once', async () => {
  const wrong = urlOf(server).replace(server.password, 'wrong');
  await assert.rejects(testStore(wrong, dir.path, clock), refusedWith('store_unavailable'));
});

test('while the store is away, what needs it fails at once; what waits is lost in the end', async () => {
  const pending = await first.access.approvals.ask(question(ada));
  await server.stop();
  stopped = true;
  const asked = performance.now();
  await assert.rejects(first.access.approvals.ask(question(ada)), refusedWith('store_unavailable'));
  await assert.rejects(first.access.approvals.decide(pending.approval.id, bob, 'approve', ''), refusedWith('store_unavailable'));
  assert.ok(performance.now() - asked < 1_000);
  first.access.revocations.check(ada);
  // What is here is shown, and that it is not all.
  const forget = first.live.add(openSession('s-alone', ada));
  first.access.events.emit({ type: 'alert', sid: '', user: 'ada', resource: '', line: 4, detail: {} });
  const { sessions, complete } = await first.access.live.listAll();
  assert.deepEqual([sessions.map(({ sid }) => sid), complete], [['s-alone'], false]);
  const latest = await first.access.alerts.latest();
  assert.deepEqual([latest.alerts.map(({ line }) => line), latest.complete], [[4], false]);
  forget();
  for (let passed = 0; passed <= 40_000; passed += 5_000) {
    clock.advance(5_000);
    // Let each beat set the next one.
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal((await pending.outcome).state, 'lost');
});

/** Resolves when `store` has heard of `id` and `holds` is true then: what listens there was told before. */
function changeOf(store: Store, topic: 'approvals' | 'grants', id: string, holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!holds()) {
        setImmediate(look);
        return;
      }
      stop();
      resolve();
    };
    const stop = store.listen(topic, (payload) => {
      if (payload === id) look();
    });
  });
}
