import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Principal } from '../../src/policy/model.ts';
import type { Store } from '../../src/store/model.ts';
import {
  dataDirectory,
  gatewayOver,
  openSession,
  person,
  policySaying,
  question,
  refusedWith,
  TestClock,
  type TestGateway,
  testStore,
  urlOf,
} from '../support/control.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';

/** The same behaviour over both databases: each test runs over the embedded one and over a real server. */

const ada = person('ada');
const bob = person('bob', ['dba']);
const eve = person('eve', ['dba', 'security']);

for (const kind of ['embedded', 'shared'] as const) {
  describe(`access over the ${kind} store`, () => {
    const dir = dataDirectory();
    const clock = new TestClock();
    let server: Postgres | null = null;
    let store: Store;
    let gateway: TestGateway;

    before(async () => {
      if (kind === 'shared') server = await startPostgres();
      store = await testStore(server === null ? 'embedded' : urlOf(server), dir.path, clock);
      gateway = await gatewayOver(store, { name: 'gw-1', clock });
    });
    after(async () => {
      await gateway?.access.close();
      await store?.close();
      await server?.stop();
      dir.remove();
    });

    test('what is approved runs once, with the budget that the approver chose, and the record says who and why', async () => {
      const { access, record } = gateway;
      const from = record.lines.length;
      const pending = await access.approvals.ask(question(ada, { reason: 'OPS-12' }));
      assert.equal(pending.url, `https://sluice.example/approvals/${pending.approval.id}`);
      const decided = await access.approvals.decide(pending.approval.id, bob, 'approve', 'ticket 7', 3);
      assert.equal(decided.state, 'approved');
      const outcome = await pending.outcome;
      assert.equal(outcome.state, 'approved');
      assert.deepEqual(outcome.state === 'approved' && outcome.approvedBy, ['dba']);
      assert.deepEqual([outcome.approval.state, outcome.approval.rowBudget, outcome.approval.votes[0]?.reason], ['used', 3, 'ticket 7']);
      const lines = record.lines.slice(from);
      assert.deepEqual(
        lines.map((line) => [line.type, line.sid, line['event']]),
        ['ask', 'vote', 'used'].map((event) => ['approval', 's1', event]),
      );
      assert.equal(lines[0]?.['request'], pending.approval.id);
      assert.deepEqual([lines[0]?.['reason'], outcome.approval.reason], ['OPS-12', 'OPS-12']);
      assert.deepEqual([lines[1]?.['by'], lines[1]?.['reason']], [{ name: 'bob', issuer: 'idp', subject: 'sub-bob' }, 'ticket 7']);
      assert.deepEqual([lines[2]?.['by'], lines[2]?.['rows']], [[{ name: 'bob', issuer: 'idp' }], 3]);
      assert.ok(!JSON.stringify(lines).includes('4111111111111111'));
    });

    test('the store holds nothing of the exact text', async () => {
      const { approval } = await gateway.access.approvals.ask(
        question(ada, { mode: 'retry', exact: [Buffer.from('pan 4111111111111111')] }),
      );
      const row = await store.db.selectFrom('approvals').selectAll().where('id', '=', approval.id).executeTakeFirstOrThrow();
      assert.ok(!JSON.stringify({ ...row, digest: Buffer.from(row.digest).toString('latin1') }).includes('4111111111111111'));
      assert.equal(row.digest.byteLength, 32);
    });

    test('who may not decide is told why, and one denial is enough', async () => {
      const { approvals } = gateway.access;
      const pending = await approvals.ask(question(bob, { approvers: [{ group: 'dba', needed: 2 }] }));
      const { id } = pending.approval;
      await assert.rejects(approvals.decide('none', eve, 'approve', ''), refusedWith('approval_unknown'));
      await assert.rejects(approvals.decide(id, bob, 'approve', ''), refusedWith('approval_own'));
      await assert.rejects(approvals.decide(id, person('bob', ['dba'], 'other'), 'approve', ''), refusedWith('approval_own'));
      await assert.rejects(approvals.decide(id, ada, 'approve', ''), refusedWith('approval_not_yours'));
      assert.equal((await approvals.decide(id, eve, 'approve', '')).state, 'pending');
      await assert.rejects(approvals.decide(id, eve, 'deny', ''), refusedWith('approval_voted'));
      await assert.rejects(approvals.decide(id, person('eve', ['dba'], 'other'), 'approve', ''), refusedWith('approval_voted'));
      assert.equal((await approvals.decide(id, person('zoe', ['dba']), 'deny', '')).state, 'denied');
      assert.equal((await pending.outcome).state, 'denied');
      await assert.rejects(approvals.decide(id, person('max', ['dba']), 'approve', ''), refusedWith('approval_decided'));
    });

    test('every group needs its number, and a person counts for each group they are in', async () => {
      const { approvals } = gateway.access;
      const approvers = [
        { group: 'dba', needed: 2 },
        { group: 'security', needed: 1 },
      ];
      const pending = await approvals.ask(question(ada, { approvers }));
      const { id } = pending.approval;
      assert.equal((await approvals.decide(id, bob, 'approve', '', 100)).state, 'pending');
      const last = await approvals.decide(id, eve, 'approve', '', 10);
      assert.deepEqual([last.state, last.rowBudget], ['approved', 10], 'the most careful budget counts');
      const outcome = await pending.outcome;
      assert.deepEqual(outcome.state === 'approved' && outcome.approvedBy, ['dba', 'security']);
    });

    test('membership by a grant counts for a vote while the grant is in force', async () => {
      const { access } = gateway;
      const wanted = { resource: 'payments', role: 'read-only', seconds: 60, reason: 'on duty', ticket: '', breakGlass: false };
      const max = person('max');
      const { id } = await access.grants.request(max, wanted);
      const approvers = [{ group: 'payments/read-only', needed: 1 }];
      const pending = await access.approvals.ask(question(ada, { approvers }));
      await assert.rejects(access.approvals.decide(pending.approval.id, max, 'approve', ''), refusedWith('approval_not_yours'));
      await access.grants.decide(id, bob, 'approve', '');
      await access.approvals.decide(pending.approval.id, max, 'approve', '');
      assert.equal((await pending.outcome).state, 'approved');
      await access.grants.revoke(id, max, 'done');
    });

    test('of twenty decisions at once exactly one comes about', async () => {
      const { access, record } = gateway;
      const pending = await access.approvals.ask(question(ada));
      const { id } = pending.approval;
      const decisions = await Promise.allSettled(
        Array.from({ length: 20 }, (_, i) =>
          access.approvals.decide(id, person(`dba-${i}`, ['dba']), i % 2 === 0 ? 'approve' : 'deny', ''),
        ),
      );
      assert.equal(decisions.filter(({ status }) => status === 'fulfilled').length, 1);
      for (const decision of decisions) if (decision.status === 'rejected') refusedWith('approval_decided')(decision.reason);
      const outcome = await pending.outcome;
      assert.equal(outcome.approval.votes.length, 1);
      const votes = record.lines.filter((line) => line['request'] === id && line['event'] === 'vote');
      assert.equal(votes.length, 1);
      assert.equal(votes[0]?.['decision'] === 'approve', outcome.state === 'approved');
    });

    test('time denies, once', async () => {
      const { access, event, record } = gateway;
      const pending = await access.approvals.ask(question(ada));
      const { id } = pending.approval;
      clock.advance(899_999);
      assert.equal((await access.approvals.get(id))?.state, 'pending');
      clock.advance(1);
      assert.equal((await pending.outcome).state, 'expired');
      await assert.rejects(access.approvals.decide(id, bob, 'approve', ''), refusedWith('approval_decided'));
      // Its own timer and the look after everything compete for it: the line is the winner's, who may not be who settled.
      await event(({ detail }) => detail['id'] === id && detail['event'] === 'expired');
      assert.deepEqual(
        record.lines.filter((line) => line['request'] === id).map((line) => line['event']),
        ['ask', 'expired'],
      );
    });

    test('the client may stop waiting', async () => {
      const { access, event } = gateway;
      const pending = await access.approvals.ask(question(ada));
      pending.end('cancelled');
      pending.end('lost');
      assert.equal((await pending.outcome).state, 'cancelled');
      const { id } = pending.approval;
      await event(({ detail }) => detail['id'] === id && detail['event'] === 'cancelled');
      assert.equal((await access.approvals.get(id))?.state, 'cancelled');
    });

    test('an approved operation may be sent again once, as it was and by whom it was', async () => {
      const { approvals } = gateway.access;
      const asked = question(ada, { mode: 'retry', exact: [Buffer.from('delete 1')] });
      assert.equal(await approvals.claim(asked), null);
      const { approval } = await approvals.ask(asked);
      const again = await approvals.ask({ ...asked, sid: 's2' });
      assert.equal(again.approval.id, approval.id, 'sending it again does not ask again');
      assert.equal(await approvals.claim(asked), null, 'not before it is approved');
      await approvals.decide(approval.id, bob, 'approve', '');
      const others = [
        { ...asked, exact: [Buffer.from('delete 2')] },
        { ...asked, exact: [Buffer.from('delete'), Buffer.from(' 1')] },
        { ...asked, objects: ['delete other.cards'] },
        { ...asked, approvers: [{ group: 'dba', needed: 2 }] },
        { ...asked, principal: person('bob') },
        { ...asked, target: { ...asked.target, account: 'read-only' } },
      ];
      for (const other of others) assert.equal(await approvals.claim(other), null);
      const claims = await Promise.all([approvals.claim({ ...asked, sid: 's3' }), approvals.claim(asked), approvals.claim(asked)]);
      assert.deepEqual(
        claims.filter((claim) => claim !== null).map((claim) => [claim.state, claim.approval.id]),
        [['approved', approval.id]],
      );
    });

    test('what was approved to be sent again lapses', async () => {
      const { access, event } = gateway;
      const asked = question(ada, { mode: 'retry', exact: [Buffer.from('delete 3')] });
      const { approval } = await access.approvals.ask(asked);
      await access.approvals.decide(approval.id, bob, 'approve', '');
      await clock.advanceUntilScheduled(600_000);
      assert.equal(await access.approvals.claim(asked), null);
      clock.advance(5_000);
      await event(({ detail }) => detail['id'] === approval.id && detail['event'] === 'expired');
    });

    test('a grant is membership from its approval to its end, and sessions that stand on it end with it', async () => {
      const { access, live } = gateway;
      const wanted = { resource: 'payments', role: 'read-write', seconds: 600, reason: 'fix 7', ticket: 'T-7', breakGlass: false };
      const asked = await access.grants.request(ada, wanted);
      assert.deepEqual([asked.state, access.grants.groupsOf(ada)], ['pending', []]);
      await assert.rejects(access.grants.decide(asked.id, person('ada', ['dba'], 'other'), 'approve', ''), refusedWith('grant_own'));
      const grant = await access.grants.decide(asked.id, bob, 'approve', 'fine');
      assert.equal(grant.state, 'active');
      assert.deepEqual(access.grants.groupsOf(ada), [{ group: 'payments/read-write', grant: grant.id, expiresAt: clock.now() + 600_000 }]);
      assert.deepEqual(access.grants.groupsOf(bob), []);
      const session = openSession('s-grant', ada, [grant.id]);
      const forget = live.add(session);
      access.grants.used(grant.id);
      // Noted in passing: nobody waits for it.
      while ((await access.grants.get(grant.id))?.lastUsedAt === null);
      clock.advance(600_000);
      assert.deepEqual(access.grants.groupsOf(ada), []);
      assert.equal((await session.ended).code, 'grant_expired');
      forget();
      await gateway.event(({ detail }) => detail['id'] === grant.id && detail['event'] === 'expired');
      const after = await access.grants.get(grant.id);
      assert.deepEqual([after?.state, after?.lastUsedAt], ['expired', clock.now() - 600_000]);
      assert.deepEqual(
        gateway.record.lines.filter((line) => line['grant'] === grant.id).map((line) => [line.type, line['event']]),
        [
          ['approval', 'grant.request'],
          ['approval', 'grant.vote'],
          ['approval', 'grant.expired'],
        ],
      );
    });

    test('a grant is revoked at once, and cancelled while nobody has decided', async () => {
      const { access, live } = gateway;
      const wanted = { resource: 'payments', role: 'read-only', seconds: 600, reason: 'look', ticket: '', breakGlass: false };
      const { id } = await access.grants.request(ada, wanted);
      await access.grants.decide(id, bob, 'approve', '');
      const session = openSession('s-revoked', ada, [id]);
      const forget = live.add(session);
      const revoked = await access.grants.revoke(id, eve, 'enough');
      assert.deepEqual([revoked.state, revoked.ended], ['revoked', { by: 'eve', issuer: 'idp', reason: 'enough', at: clock.now() }]);
      assert.deepEqual((await access.grants.get(id))?.ended, revoked.ended);
      assert.equal((await session.ended).code, 'grant_revoked');
      forget();
      assert.deepEqual(access.grants.groupsOf(ada), []);
      await assert.rejects(access.grants.revoke(id, eve, ''), refusedWith('grant_decided'));
      const other = await access.grants.request(ada, wanted);
      assert.equal((await access.grants.revoke(other.id, ada, 'not needed')).state, 'cancelled');
      await assert.rejects(access.grants.decide(other.id, bob, 'approve', ''), refusedWith('grant_decided'));
    });

    test('break-glass is taken at once and confirmed afterwards; a denial takes it back', async () => {
      const { access } = gateway;
      const oncall = person('olga', ['oncall']);
      const wanted = { resource: 'payments', role: 'read-write', seconds: 600, reason: 'outage', ticket: '', breakGlass: true };
      await assert.rejects(access.grants.request(ada, wanted), refusedWith('grant_denied'));
      const grant = await access.grants.request(oncall, wanted);
      assert.deepEqual([grant.state, grant.approvers], ['active', [{ group: 'dba', needed: 2 }]]);
      assert.equal(access.grants.groupsOf(oncall).length, 1);
      assert.ok(
        gateway.events.some(({ type, detail }) => type === 'grant' && detail['event'] === 'break-glass' && detail['id'] === grant.id),
      );
      assert.equal((await access.grants.decide(grant.id, bob, 'approve', 'seen')).state, 'active');
      assert.equal((await access.grants.decide(grant.id, eve, 'approve', 'seen')).votes.length, 2);
      await assert.rejects(access.grants.decide(grant.id, person('zoe', ['dba']), 'approve', ''), refusedWith('grant_decided'));
      const second = await access.grants.request(oncall, wanted);
      clock.advance(600_000);
      await gateway.event(({ detail }) => detail['id'] === second.id && detail['event'] === 'expired');
      assert.equal((await access.grants.decide(second.id, bob, 'approve', 'late')).votes.length, 1, 'also when it is over');
      await assert.rejects(access.grants.request(oncall, wanted), refusedWith('grant_unconfirmed'));
      await access.grants.decide(second.id, eve, 'approve', 'late');
      const third = await access.grants.request(oncall, wanted);
      assert.equal((await access.grants.decide(third.id, bob, 'deny', 'no outage')).state, 'revoked');
      assert.deepEqual(access.grants.groupsOf(oncall), []);
    });

    test('a grant that may not be asked for is refused', async () => {
      const { grants } = gateway.access;
      const wanted = { resource: 'payments', role: 'read-write', seconds: 600, reason: 'r', ticket: '', breakGlass: false };
      await assert.rejects(grants.request(ada, { ...wanted, resource: 'none' }), refusedWith('grant_resource'));
      await assert.rejects(grants.request(ada, { ...wanted, role: 'root' }), refusedWith('grant_role'));
      await assert.rejects(grants.request(ada, { ...wanted, seconds: 7201 }), refusedWith('grant_seconds'));
      await assert.rejects(grants.request(ada, { ...wanted, seconds: 0.5 }), refusedWith('grant_seconds'));
      await assert.rejects(grants.request(ada, { ...wanted, reason: ' ' }), refusedWith('grant_reason'));
      const strict = await gatewayOver(store, { name: 'gw-strict', clock, policy: policySaying('deny', 'deny') });
      await assert.rejects(strict.access.grants.request(ada, wanted), refusedWith('grant_denied'));
      await assert.rejects(
        strict.access.grants.request(person('olga', ['oncall']), { ...wanted, breakGlass: true }),
        refusedWith('grant_denied'),
      );
      await strict.access.close();
    });

    test('who is revoked is out, until restored; a credential is revoked for itself', async () => {
      const { access, live, record } = gateway;
      const { revocations } = access;
      const carl = person('carl');
      const other = openSession('s-other', person('carl', [], 'elsewhere'));
      const session = openSession('s-carl', carl);
      const forget = [live.add(session), live.add(other)];
      revocations.check(carl);
      await revocations.revokeUser('carl', 'idp', eve, 'left');
      assert.equal((await session.ended).code, 'revoked');
      assert.throws(() => revocations.check(carl), refusedWith('revoked'));
      revocations.check(other.principal);
      await revocations.revokeCredential('token-dora', 'identity-provider', 'logged out');
      assert.throws(() => revocations.check(person('dora')), refusedWith('revoked'));
      assert.deepEqual(
        (await revocations.list()).map(({ kind, id, by, reason }) => [kind, id, by, reason]),
        [
          ['user', 'idp carl', 'eve', 'left'],
          ['credential', 'token-dora', 'identity-provider', 'logged out'],
        ].sort((a, b) => (String(a[1]) < String(b[1]) ? -1 : 1)),
      );
      await revocations.restoreUser('carl', 'idp', eve, 'came back');
      // Without a time of issue nobody knows that it is newer.
      assert.throws(() => revocations.check(carl), refusedWith('revoked'));
      for (const each of forget) each();
      const lines = record.lines.filter((line) => String(line['event']).startsWith('revocation.'));
      assert.deepEqual(
        lines.map((line) => [line.type, line['event'], line['of'], line['reason']]),
        [
          ['config', 'revocation.revoked', 'idp carl', 'left'],
          ['config', 'revocation.revoked', 'token-dora', 'logged out'],
          ['config', 'revocation.restored', 'idp carl', 'came back'],
        ],
      );
    });

    test('a restored user starts anew: no credential and no grant from before comes back', async () => {
      const { revocations, grants } = gateway.access;
      const issued = (issuedAt: number): Principal => {
        const ruth = person('ruth');
        return { ...ruth, credential: { ...ruth.credential, issuedAt } };
      };
      const wanted = { resource: 'payments', role: 'read-only', seconds: 60, reason: 'on duty', ticket: '', breakGlass: false };
      const old = issued(clock.now());
      const active = await grants.request(old, wanted);
      await grants.decide(active.id, bob, 'approve', '');
      const pending = await grants.request(old, wanted);
      assert.equal(grants.groupsOf(old).length, 1);
      await revocations.revokeUser('ruth', 'idp', eve, 'left');
      // Who says when it was issued may be ahead: a gateway by a second, an identity provider by a minute.
      const renewed = issued(clock.now() + 1_001);
      const doubtful = issued(clock.now() + 1_000);
      const token = (issuedAt: number): Principal => {
        const principal = issued(issuedAt);
        return { ...principal, credential: { ...principal.credential, kind: 'oidc-token' } };
      };
      const [ofProvider, doubtfulOfProvider] = [token(clock.now() + 60_001), token(clock.now() + 60_000)];
      assert.throws(() => revocations.check(renewed), refusedWith('revoked'));
      await assert.rejects(grants.request(renewed, wanted), refusedWith('revoked'), 'on its way when the user was revoked');
      await revocations.restoreUser('ruth', 'idp', eve, 'came back');
      for (const one of [old, doubtful, doubtfulOfProvider]) {
        assert.throws(() => revocations.check(one), refusedWith('revoked'));
        await assert.rejects(grants.request(one, wanted), refusedWith('revoked'));
      }
      revocations.check(renewed);
      revocations.check(ofProvider);
      assert.deepEqual(grants.groupsOf(renewed), []);
      for (const { id } of [active, pending]) assert.equal((await grants.get(id))?.state, 'revoked');
      // A gateway that starts afterwards knows it too.
      const later = await gatewayOver(store, { name: 'gw-later', clock });
      assert.throws(() => later.access.revocations.check(old), refusedWith('revoked'));
      later.access.revocations.check(renewed);
      await later.access.close();
    });

    test('a log-in that is revoked takes along what was made from it', async () => {
      const { access, live } = gateway;
      const dora = person('nora');
      const derived = openSession('s-derived', { ...dora, credential: { ...dora.credential, id: 'made', parents: ['log-in'] } });
      const forget = live.add(derived);
      await access.revocations.revokeCredential('log-in', 'identity-provider', 'logged out');
      assert.equal((await derived.ended).code, 'revoked');
      forget();
    });

    test("a person's revocation stands over the identity provider's", async () => {
      const { revocations } = gateway.access;
      const by = async (): Promise<string | undefined> => (await revocations.list()).find(({ id }) => id === 'idp olaf')?.by;
      await revocations.revokeUser('olaf', 'idp', 'identity-provider', 'left');
      await revocations.revokeUser('olaf', 'idp', eve, 'and stays out');
      assert.equal(await by(), 'eve');
      await revocations.revokeUser('olaf', 'idp', 'identity-provider', 'left again');
      assert.equal(await by(), 'eve');
    });

    test('nothing is changed when it cannot be recorded', async () => {
      const { access, record } = await gatewayOver(store, { name: 'gw-broken', clock });
      const pending = await access.approvals.ask(question(ada));
      record.failure = new Error('disk full');
      await assert.rejects(access.approvals.ask(question(ada)), refusedWith('record_failed'));
      await assert.rejects(access.approvals.decide(pending.approval.id, bob, 'approve', ''), refusedWith('record_failed'));
      await assert.rejects(access.revocations.revokeUser('x', 'idp', eve, ''), refusedWith('record_failed'));
      // Approved elsewhere: it may not run here, since that could not be recorded.
      await gateway.access.approvals.decide(pending.approval.id, bob, 'approve', '');
      assert.equal((await pending.outcome).state, 'lost');
      await access.close();
    });

    test('what a process that is gone was waiting for is lost', async () => {
      const crashed = await gatewayOver(store, { name: 'gw-crashed', clock, timeoutSeconds: null });
      const { approval } = await crashed.access.approvals.ask(question(ada));
      const retry = await crashed.access.approvals.ask(question(ada, { mode: 'retry', exact: [Buffer.from('delete 9')] }));
      crashed.forget();
      await clock.advanceUntilScheduled(36_000);
      clock.advance(5_000);
      await gateway.event(({ detail }) => detail['id'] === approval.id && detail['event'] === 'lost');
      assert.equal((await gateway.access.approvals.get(retry.approval.id))?.state, 'pending', 'nobody has to wait for it');
      await assert.rejects(gateway.access.approvals.decide(approval.id, bob, 'approve', ''), refusedWith('approval_decided'));
      // A process that comes back under its name knows at once.
      const first = await gatewayOver(store, { name: 'gw-again', clock, timeoutSeconds: null });
      const waiting = await first.access.approvals.ask(question(ada));
      first.forget();
      const second = await gatewayOver(store, { name: 'gw-again', clock });
      assert.equal((await second.access.approvals.get(waiting.approval.id))?.state, 'lost');
      await second.access.close();
    });

    test('a list shows the beginning of a long statement, a request the whole', async () => {
      const { approvals } = gateway.access;
      const statement = `select '${'x'.repeat(100_000)}'`;
      const { approval } = await approvals.ask(question(ada, { statement, params: ['y'.repeat(5_000)], mode: 'retry', exact: [] }));
      assert.equal((await approvals.get(approval.id))?.statement, statement);
      const listed = (await approvals.list({ limit: 50 })).find(({ id }) => id === approval.id);
      assert.deepEqual([listed?.statement.length, listed?.params], [2_001, ['…']]);
    });

    test('one person cannot flood the approvers', async () => {
      const { approvals } = gateway.access;
      const pat = person('pat');
      const ask = (i: number): Promise<unknown> => approvals.ask(question(pat, { mode: 'retry', exact: [Buffer.from(`${i}`)] }));
      for (let i = 0; i < 50; i++) await ask(i);
      await assert.rejects(ask(50), refusedWith('approval_too_many'));
      await ask(0);
      await approvals.ask(question(person('quinn')));
    });

    test('lists are newest first', async () => {
      const { approvals, grants } = gateway.access;
      const all = await approvals.list({ limit: 100 });
      assert.ok(all.length > 5);
      assert.deepEqual(
        [...all].sort((a, b) => b.createdAt - a.createdAt),
        all,
      );
      const before = all[2]?.createdAt ?? 0;
      assert.ok((await approvals.list({ limit: 2, before })).every(({ createdAt }) => createdAt < before));
      assert.ok((await approvals.list({ limit: 100, state: 'used' })).every(({ state }) => state === 'used'));
      assert.ok((await grants.list({ limit: 100, user: 'olga' })).every(({ user }) => user.name === 'olga'));
    });

    test('what is over is forgotten with the record; revoked credentials once they cannot live any more', async () => {
      const { access } = gateway;
      await access.revocations.revokeCredential('token-old', bob, 'lost');
      assert.ok((await access.approvals.list({ limit: 1 })).length > 0);
      await clock.advanceUntilScheduled(401 * 86_400_000);
      await clock.advanceUntilScheduled(5_000);
      assert.deepEqual(
        (await access.approvals.list({ limit: 100 })).filter(({ state }) => state !== 'pending' && state !== 'expired'),
        [],
      );
      assert.ok(!(await access.revocations.list()).some(({ id }) => id === 'token-old'));
    });
  });
}
