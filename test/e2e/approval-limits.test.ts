import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { MAX_PENDING_GRANTS, MAX_UNCONFIRMED } from '../../src/access/grant-limits.ts';
import { SERVICE_KEY_ISSUER } from '../../src/identity/service-keys.ts';
import type { Principal } from '../../src/policy/model.ts';
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
} from '../support/control.ts';

/** What holds below the API as well: who decides, and how much one person may ask for. */

const dir = dataDirectory();
const clock = new TestClock();
let store: Store;
let gateway: TestGateway;

before(async () => {
  store = await testStore('embedded', dir.path, clock);
  gateway = await gatewayOver(store, { name: 'gw-1', clock });
});
after(async () => {
  await gateway?.access.close();
  await store?.close();
  dir.remove();
});

const bob = person('bob', ['dba']);
const wanted = { resource: 'payments', role: 'read-only', seconds: 600, reason: 'look', ticket: '', breakGlass: false };
const service = (name: string): Principal => ({ ...person(name, ['dba'], SERVICE_KEY_ISSUER), kind: 'service', subject: name });

test('a service decides on nothing, whatever its groups', async () => {
  const { approvals, grants } = gateway.access;
  const pending = await approvals.ask(question(person('ada')));
  await assert.rejects(approvals.decide(pending.approval.id, service('robot'), 'approve', ''), refusedWith('person_required'));
  const grant = await grants.request(person('ada'), wanted);
  for (const decision of ['approve', 'deny'] as const)
    await assert.rejects(grants.decide(grant.id, service('robot'), decision, ''), refusedWith('person_required'));
  assert.equal((await grants.get(grant.id))?.state, 'pending');
  pending.end('cancelled');
  await pending.outcome;
});

test('whoever made a key of a service does not decide on what the service asks', async () => {
  const { approvals, grants } = gateway.access;
  const key = { groups: '[]', digest: new Uint8Array(32), created_at: clock.now(), last_used_at: null, replaced_by: null };
  await store.db
    .insertInto('service_keys')
    // Also one that has expired: the secret is still known to its maker.
    .values({ ...key, id: 'k1', service: 'robot', created_by: 'bob', expires_at: clock.now() - 1 })
    .execute();
  const pending = await approvals.ask(question(service('robot')));
  await assert.rejects(approvals.decide(pending.approval.id, bob, 'approve', ''), refusedWith('approval_own'));
  const grant = await grants.request(service('robot'), wanted);
  await assert.rejects(grants.decide(grant.id, bob, 'approve', ''), refusedWith('grant_own'));
  // Somebody else's word counts, and so does the maker's on another service.
  assert.equal((await grants.decide(grant.id, person('eve', ['dba']), 'approve', '')).state, 'active');
  const other = await approvals.ask(question(service('other')));
  assert.equal((await approvals.decide(other.approval.id, bob, 'approve', '')).state, 'approved');
  pending.end('cancelled');
  await Promise.all([pending.outcome, other.outcome]);
});

test('so many requests of one person wait at once, also when all come at once', async () => {
  const { grants } = gateway.access;
  const flood = person('flo');
  const asked = await Promise.allSettled(Array.from({ length: MAX_PENDING_GRANTS + 3 }, () => grants.request(flood, wanted)));
  const made = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  assert.equal(made.length, MAX_PENDING_GRANTS);
  for (const one of asked) if (one.status === 'rejected') refusedWith('grant_too_many')(one.reason);
  // Others are not held up, and what is decided or taken back makes room.
  await grants.request(person('gus'), wanted);
  await grants.revoke(made[0]?.id ?? '', flood, 'not needed');
  await grants.decide(made[1]?.id ?? '', bob, 'deny', 'no');
  await grants.request(flood, wanted);
  await grants.request(flood, wanted);
  await assert.rejects(grants.request(flood, wanted), refusedWith('grant_too_many'));
});

test('with tokens of several gateways nobody is several persons', async () => {
  const { grants } = gateway.access;
  const at = (issuer: string): Principal => ({ ...person('nils', ['oncall'], issuer), subject: 'nils' });
  for (let i = 0; i < MAX_PENDING_GRANTS; i++) await grants.request(at(`gw-${i % 3}`), wanted);
  await assert.rejects(grants.request(at('gw-9'), wanted), refusedWith('grant_too_many'));
  await grants.request(at('gw-1'), { ...wanted, breakGlass: true });
  await assert.rejects(grants.request(at('gw-2'), { ...wanted, breakGlass: true }), refusedWith('grant_unconfirmed'));
});

test('halves of characters in a reason do not stop what they explain, and what was stopped is finished when it is asked for again', async () => {
  const { grants, revocations } = gateway.access;
  const odd = person('odd');
  const { id } = await grants.request(odd, { ...wanted, reason: 'a\ud800' });
  assert.equal((await grants.get(id))?.reason, 'a\ufffd');
  // As if whoever revoked the user had come no further.
  await store.db
    .insertInto('revocations')
    .values({ kind: 'user', id: 'idp odd', revoked_by: 'bob', reason: '', at: clock.now() })
    .execute();
  await revocations.revokeUser('odd', 'idp', bob, `${'x'.repeat(999)}\u{1f600}`);
  const ended = await grants.get(id);
  assert.deepEqual([ended?.state, ended?.ended?.reason.at(-1)], ['revoked', '\ufffd']);
  const other = await grants.request(person('other'), wanted);
  assert.equal((await grants.decide(other.id, bob, 'deny', '\udc00')).votes[0]?.reason, '\ufffd');
});

test('a look at the store that is older than an approval does not end what stands on it', async () => {
  const gate = new Gate();
  const slow = await gatewayOver(gate.over(store), { name: 'gw-slow', clock });
  const ada = person('ada');
  const { id } = await slow.access.grants.request(ada, { ...wanted, role: 'read-write' });
  gate.hold();
  await store.notify('grants', '');
  await gate.held;
  const deciding = slow.access.grants.decide(id, bob, 'approve', '');
  await slow.event(({ detail }) => detail['event'] === 'vote' && detail['id'] === id);
  await new Promise((resolve) => setImmediate(resolve));
  const session = openSession('s-slow', ada, [id]);
  const forget = slow.live.add(session);
  gate.open();
  assert.equal((await deciding).state, 'active');
  assert.equal(await Promise.race([session.ended, new Promise((resolve) => setImmediate(() => resolve('goes on')))]), 'goes on');
  assert.deepEqual(
    slow.access.grants.groupsOf(ada).map(({ grant }) => grant),
    [id],
  );
  forget();
  await slow.access.close();
});

/** Keeps back what the store answered when asked for all grants in force, until it is opened. */
class Gate {
  held: Promise<void> = Promise.resolve();
  open = (): void => {};
  #opened: Promise<void> | null = null;
  #onHeld = (): void => {};

  hold(): void {
    this.#opened = new Promise((resolve) => {
      this.open = resolve;
    });
    this.held = new Promise((resolve) => {
      this.#onHeld = resolve;
    });
  }

  over(store: Store): Store {
    const asked = new WeakSet<object>();
    const db = store.db.withPlugin({
      transformQuery: ({ node, queryId }) => {
        if (
          node.kind === 'SelectQueryNode' &&
          JSON.stringify(node.from ?? '').includes('"grants"') &&
          JSON.stringify(node).includes('"active"')
        )
          asked.add(queryId);
        return node;
      },
      transformResult: async ({ result, queryId }) => {
        const opened = this.#opened;
        if (!asked.has(queryId) || opened === null) return result;
        this.#opened = null;
        this.#onHeld();
        await opened;
        return result;
      },
    });
    return new Proxy(store, {
      get: (target, name) => {
        if (name === 'db') return db;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  }
}

test('break-glass waits for the confirmation of what was taken before', async () => {
  const { grants } = gateway.access;
  const olga = person('olga', ['oncall']);
  const glass = { ...wanted, breakGlass: true };
  const taken = await Promise.allSettled([grants.request(olga, glass), grants.request(olga, { ...glass, role: 'read-write' })]);
  const [first] = taken.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  assert.equal(taken.filter(({ status }) => status === 'fulfilled').length, 1, 'one of a resource, whatever the account');
  // Its end is no confirmation.
  await grants.revoke(first?.id ?? '', olga, 'done');
  await assert.rejects(grants.request(olga, glass), (error: Error & { code?: string; hint?: string }) => {
    assert.equal(error.code, 'grant_unconfirmed');
    assert.match(error.message, new RegExp(first?.id ?? 'none'));
    assert.match(error.hint ?? '', /confirmed by dba, or ask without break-glass/);
    return true;
  });
  // The way that others decide on first is open, and so is break-glass to others.
  assert.equal((await grants.request(olga, wanted)).state, 'pending');
  assert.equal((await grants.request(person('pia', ['oncall']), glass)).state, 'active');
  await grants.decide(first?.id ?? '', bob, 'approve', 'seen');
  await assert.rejects(grants.request(olga, glass), refusedWith('grant_unconfirmed'));
  await grants.decide(first?.id ?? '', person('eve', ['dba']), 'approve', 'seen');
  const next = await grants.request(olga, glass);
  assert.equal(next.state, 'active');
  // A denial is a word as well.
  await grants.decide(next.id, bob, 'deny', 'no outage');
  assert.equal((await grants.request(olga, glass)).state, 'active');
});

test('break-glass over several resources has a bound as well', async () => {
  const { grants } = gateway.access;
  const otto = person('otto', ['oncall']);
  const { id } = await grants.request(otto, { ...wanted, breakGlass: true });
  const row = await store.db.selectFrom('grants').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  const approvers = JSON.stringify(row.approvers);
  // As if taken on other resources, which this gateway does not have.
  for (let i = 0; i < MAX_UNCONFIRMED; i++)
    await store.db
      .insertInto('grants')
      .values({ ...row, approvers, ended: null, id: `other-${i}`, resource: `other-${i}` })
      .execute();
  await store.db.deleteFrom('grants').where('id', '=', id).execute();
  await assert.rejects(grants.request(otto, { ...wanted, breakGlass: true }), refusedWith('grant_unconfirmed'));
  await store.db.deleteFrom('grants').where('id', '=', 'other-0').execute();
  assert.equal((await grants.request(otto, { ...wanted, breakGlass: true })).state, 'active');
});
