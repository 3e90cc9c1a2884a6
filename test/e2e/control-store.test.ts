import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Store } from '../../src/store/model.ts';
import { dataDirectory, gatewayOver, person, question, TestClock, type TestGateway, testStore } from '../support/control.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';

const ada = person('ada');
const bob = person('bob', ['dba']);
const eve = person('eve', ['dba', 'security']);

const refusedWith =
  (code: string) =>
  (error: unknown): boolean => {
    assert.equal((error as { code?: unknown }).code, code);
    return true;
  };

for (const kind of ['embedded', 'shared'] as const) {
  describe(`approvals over the ${kind} store`, () => {
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
      await gateway.access.close();
      await store.close();
      await server?.stop();
      dir.remove();
    });

    test('what is approved runs once, with the budget that the approver chose, and the record says who and why', async () => {
      const { access, record } = gateway;
      const from = record.lines.length;
      const pending = await access.approvals.ask(question(ada));
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
      assert.deepEqual([lines[1]?.['by'], lines[1]?.['reason']], [{ name: 'bob', issuer: 'idp', subject: 'sub-bob' }, 'ticket 7']);
      assert.ok(!JSON.stringify(lines).includes('4111111111111111'));
    });

    test('who may not decide is told why', async () => {
      const { approvals } = gateway.access;
      const { approval } = await approvals.ask(question(bob, { approvers: [{ group: 'dba', needed: 2 }] }));
      await assert.rejects(approvals.decide('none', eve, 'approve', ''), refusedWith('approval_unknown'));
      await assert.rejects(approvals.decide(approval.id, bob, 'approve', ''), refusedWith('approval_own'));
      await assert.rejects(approvals.decide(approval.id, person('bob', ['dba'], 'other'), 'approve', ''), refusedWith('approval_own'));
      await assert.rejects(approvals.decide(approval.id, ada, 'approve', ''), refusedWith('approval_not_yours'));
      assert.equal((await approvals.decide(approval.id, eve, 'approve', '')).state, 'pending');
      await assert.rejects(approvals.decide(approval.id, eve, 'deny', ''), refusedWith('approval_voted'));
      assert.equal((await approvals.decide(approval.id, person('zoe', ['dba']), 'deny', '')).state, 'denied');
      await assert.rejects(approvals.decide(approval.id, person('max', ['dba']), 'approve', ''), refusedWith('approval_decided'));
    });
  });
}

function urlOf(server: Postgres): string {
  return `postgres://postgres:${server.password}@${server.host}:${server.port}/postgres`;
}
