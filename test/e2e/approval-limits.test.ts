import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { MAX_PENDING_GRANTS, MAX_UNCONFIRMED } from '../../src/access/grant-limits.ts';
import { SERVICE_KEY_ISSUER } from '../../src/identity/service-keys.ts';
import type { Principal } from '../../src/policy/model.ts';
import type { Store } from '../../src/store/model.ts';
import { dataDirectory, gatewayOver, person, question, refusedWith, TestClock, type TestGateway, testStore } from '../support/control.ts';

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
