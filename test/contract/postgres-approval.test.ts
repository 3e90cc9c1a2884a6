import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type AccessStage, approver, startAccessStage } from '../support/access-stage.ts';
import { MemoryApprovals } from '../support/approvals.ts';
import type { Wire } from '../support/wire.ts';
import { encode } from '../support/wire-messages.ts';

/** What waits for an approval, message by message, against a real server. Requests are decided by the test itself. */
const approvals = new MemoryApprovals();
let stage: AccessStage;
before(async () => {
  stage = await startAccessStage({
    setup: `create table tasks (id int primary key, body text); insert into tasks select i, 'task ' || i from generate_series(1, 100) i;
      grant all on tasks to app_rw; grant select on tasks to app_ro`,
    policies: `@id("approval.delete") @approvers("dba") @hint("say why in the ticket")
      forbid (principal, action == Action::"delete", resource) unless { context.approvedBy.contains("dba") };`,
    services: ({ access }) => ({ access: { ...access, approvals } }),
  });
});
after(() => stage.stop());

const connect = (more: object = {}): Promise<Wire> => stage.connect('dev+read-write', ['developers'], more);
const grace = approver('grace');
const left = async (): Promise<number> => Number((await stage.server.sql('select count(*) from tasks', 'payments'))[0]?.rows[0]?.count);
const { query, parse, bind, describe, execute, sync } = encode;

test('a query waits, says for what, and runs when it is approved', async () => {
  const wire = await connect();
  const known = approvals.size;
  wire.send(query('delete from tasks where id = 1'), query("select 'behind'"));
  const { id, question } = await approvals.nextQuestion(known);
  assert.equal(question.statement, 'delete from tasks where id = 1');
  assert.deepEqual(question.objects, ['delete tasks']);
  assert.deepEqual(question.approvers, [{ group: 'dba', needed: 1 }]);
  assert.equal(question.mode, 'wait');
  const notice = await wire.next();
  assert.equal(notice.name, 'NoticeResponse');
  assert.match(notice.error['M'] ?? '', new RegExp(`waiting for approval by "dba", within 15 minutes: request ${id}`));
  assert.match(notice.error['H'] ?? '', /https:\/\/gateway.example\/approvals\/.*Cancel/);
  const before = await left();
  await approvals.decide(id, grace, 'approve', 'fine');
  assert.deepEqual((await wire.cycle()).tags, ['DELETE 1']);
  assert.deepEqual((await wire.cycle()).rows, [['behind']]);
  assert.equal(await left(), before - 1);
  await wire.end();
  const line = stage.record().find((one) => one.type === 'intent' && one['approval'] === id);
  assert.equal(line?.['text'], 'delete from tasks where id = 1');
  assert.deepEqual(line?.['approvers'], ['grace']);
  assert.deepEqual(line?.['approvedBy'], ['dba']);
});
