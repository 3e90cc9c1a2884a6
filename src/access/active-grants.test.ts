import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSession, person, TestClock } from '../../test/support/control.ts';
import { ActiveGrants } from './active-grants.ts';
import type { GrantRow } from './grant-rows.ts';
import { LocalSessions } from './live.ts';

const ada = person('ada');

function setUp(): {
  clock: TestClock;
  live: LocalSessions;
  grants: ActiveGrants;
  expired: string[];
  row: (id: string, ms: number) => GrantRow;
} {
  const clock = new TestClock();
  const live = new LocalSessions();
  const expired: string[] = [];
  const grants = new ActiveGrants({ live, now: clock.now, schedule: clock.schedule, onExpired: (id) => expired.push(id) });
  const row = (id: string, ms: number): GrantRow => ({
    id,
    state: 'active',
    user_name: 'ada',
    user_issuer: 'idp',
    user_subject: 'sub-ada',
    resource: 'payments',
    role: id,
    seconds: ms / 1000,
    reason: '',
    ticket: '',
    break_glass: false,
    approvers: [],
    created_at: 0,
    starts_at: 0,
    expires_at: clock.now() + ms,
    last_used_at: null,
    ended: null,
  });
  return { clock, live, grants, expired, row };
}

test('each grant ends at its own time, with the sessions that stand on it and no others', async () => {
  const { clock, live, grants, expired, row } = setUp();
  grants.replace([row('late', 2_000), row('soon', 1_000)]);
  const both = openSession('s1', ada, ['soon', 'late']);
  const late = openSession('s2', ada, ['late']);
  live.add(both);
  live.add(late);
  clock.advance(999);
  assert.deepEqual(
    grants.groupsOf(ada).map(({ group }) => group),
    ['payments/late', 'payments/soon'],
  );
  clock.advance(1);
  assert.equal((await both.ended).code, 'grant_expired');
  assert.deepEqual(expired, ['soon']);
  assert.deepEqual(
    grants.groupsOf(ada).map(({ grant }) => grant),
    ['late'],
  );
  clock.advance(1_000);
  assert.equal((await late.ended).code, 'grant_expired');
  assert.deepEqual(expired, ['soon', 'late']);
});

test('a grant is its holder’s, by issuer and subject', () => {
  const { grants, row } = setUp();
  grants.set('a', row('a', 1_000));
  assert.equal(grants.groupsOf(ada).length, 1);
  assert.deepEqual(grants.groupsOf(person('ada', [], 'other')), []);
  assert.deepEqual(grants.groupsOf({ ...ada, subject: 'someone' }), []);
});

test('what is gone from the store is revoked', async () => {
  const { live, grants, row } = setUp();
  grants.replace([row('a', 1_000), row('b', 1_000)]);
  const session = openSession('s1', ada, ['a']);
  live.add(session);
  grants.replace([row('b', 1_000)]);
  assert.equal((await session.ended).code, 'grant_revoked');
  assert.equal(grants.groupsOf(ada).length, 1);
});

test('a session that began when its grant ended is ended', async () => {
  const { clock, grants, row } = setUp();
  grants.set('a', row('a', 1_000));
  const session = openSession('s1', ada, ['a']);
  let ended = false;
  grants.recheck({ ...session, end: () => assert.fail('the grant is in force') });
  clock.advance(1_000);
  grants.recheck({
    ...session,
    end: (error) => {
      ended = error.code === 'grant_expired';
    },
  });
  assert.ok(ended);
  grants.recheck({ ...session, grants: [], end: () => assert.fail('it stands on none') });
});

test('a clock that is put forward ends them within seconds, which their timer alone would not notice', async () => {
  const clock = new TestClock();
  const live = new LocalSessions();
  let ahead = 0;
  const { schedule } = clock;
  const grants = new ActiveGrants({ live, now: () => clock.now() + ahead, schedule, onExpired: () => {} });
  grants.replace([setUp().row('long', 3_600_000)]);
  const session = openSession('s1', ada, ['long']);
  live.add(session);
  ahead = 7_200_000;
  clock.advance(5_000);
  assert.equal((await session.ended).code, 'grant_expired');
  grants.close();
});

test('an older answer of the store does not bring back what has ended', () => {
  const { grants, row } = setUp();
  const active = row('one', 1_000);
  grants.set('one', active);
  grants.set('one', { ...active, state: 'revoked' });
  grants.set('one', active);
  grants.replace([active]);
  assert.deepEqual(grants.groupsOf(ada), []);
});
