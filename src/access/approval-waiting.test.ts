import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quiet, TestClock } from '../../test/support/control.ts';
import { Waiting, type WaitingStore } from './approval-waiting.ts';
import type { Approval, ApprovalState } from './model.ts';

function approval(more: Partial<Approval> = {}): Approval {
  return {
    id: 'a1',
    state: 'pending',
    mode: 'wait',
    gateway: 'gw',
    sid: 's1',
    requester: { name: 'ada', issuer: 'idp', subject: 'ada' },
    source: '',
    reason: '',
    resource: 'payments',
    account: 'read-write',
    action: 'delete',
    objects: [],
    policies: [],
    approvers: [{ group: 'dba', needed: 1 }],
    statement: '',
    params: [],
    estimate: { rows: 1 },
    rowBudget: null,
    votes: [],
    createdAt: 0,
    expiresAt: null,
    decidedAt: null,
    ...more,
  };
}

/** One approval, as a store would keep it. `away`: it cannot be reached. `unsure`: what it does it does not say. */
class FakeStore implements WaitingStore {
  row = approval();
  away = false;
  unsure = false;
  readonly moves: ApprovalState[] = [];

  async move(_id: string, from: readonly ApprovalState[], to: ApprovalState): Promise<Approval | null> {
    await Promise.resolve();
    if (this.away) throw new Error('away');
    if (!from.includes(this.row.state)) return null;
    this.moves.push(to);
    this.row = { ...this.row, state: to };
    if (this.unsure) throw new Error('the connection broke');
    return this.row;
  }

  async get(): Promise<Approval | null> {
    await Promise.resolve();
    if (this.away) throw new Error('away');
    return this.row;
  }

  decided(ids: readonly string[]): Promise<readonly string[]> {
    return Promise.resolve(this.row.state === 'pending' ? [] : ids);
  }
}

function setUp(expiresAt: number | null = null): {
  store: FakeStore;
  clock: TestClock;
  waiting: Waiting;
  added: ReturnType<Waiting['add']>;
} {
  const store = new FakeStore();
  const clock = new TestClock();
  const waiting = new Waiting({ now: clock.now, schedule: clock.schedule, log: quiet }, store);
  store.row = approval({ expiresAt: expiresAt === null ? null : clock.now() + expiresAt });
  return { store, clock, waiting, added: waiting.add(store.row) };
}

test('an approval is used before anything may run, and once however often it is heard of', async () => {
  const { store, waiting, added } = setUp();
  store.row = { ...store.row, state: 'approved' };
  for (let i = 0; i < 5; i++) waiting.check(i % 2 === 0 ? 'a1' : '');
  const outcome = await added.outcome;
  assert.equal(outcome.state, 'approved');
  await waiting.close();
  assert.deepEqual(store.moves, ['used']);
});

test('an approval that nobody told of is found by looking', async () => {
  const { store, waiting, added } = setUp();
  store.row = { ...store.row, state: 'denied' };
  await waiting.tidy();
  assert.equal((await added.outcome).state, 'denied');
});

test('when it cannot be told whether the approval was taken, it is lost', async () => {
  const { store, waiting, added } = setUp();
  store.row = { ...store.row, state: 'approved' };
  store.unsure = true;
  waiting.check('a1');
  assert.equal((await added.outcome).state, 'lost');
});

test('somebody else having used it is a loss', async () => {
  const { store, waiting, added } = setUp();
  store.row = { ...store.row, state: 'used' };
  waiting.check('a1');
  assert.equal((await added.outcome).state, 'lost');
});

test('time runs out also while the store is away, and the store is told later', async () => {
  const { store, clock, waiting, added } = setUp(1_000);
  store.away = true;
  clock.advance(1_000);
  assert.equal((await added.outcome).state, 'expired');
  // Approved in the meantime: it must not stay so.
  store.row = { ...store.row, state: 'approved' };
  await waiting.close();
  store.away = false;
  await waiting.tidy();
  assert.deepEqual(store.moves, ['expired']);
  await waiting.tidy();
  assert.deepEqual(store.moves, ['expired'], 'once');
});

test('a request that cannot be looked at goes on waiting until it is given up', async () => {
  const { store, waiting, added } = setUp();
  let settled = false;
  added.outcome.then(
    () => {
      settled = true;
    },
    () => {},
  );
  store.away = true;
  waiting.check('');
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(settled, false);
  waiting.giveUp();
  assert.equal((await added.outcome).state, 'lost');
  await waiting.close();
  store.away = false;
  await waiting.tidy();
  assert.deepEqual(store.moves, ['lost']);
});

test('what waits to be sent again has no one waiting, and outlives its session', async () => {
  const { store, waiting } = setUp();
  const retry = waiting.add(approval({ id: 'a2', mode: 'retry' }));
  assert.equal((await retry.outcome).state, 'lost');
  retry.end('lost');
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(store.moves.length, 0);
  retry.end('cancelled');
  await waiting.close();
  assert.ok(store.moves.includes('cancelled'));
});
