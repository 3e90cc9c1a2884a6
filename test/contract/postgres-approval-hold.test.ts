import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { PolicyEngine } from '../../src/policy/model.ts';
import { type AccessStage, approver, startAccessStage } from '../support/access-stage.ts';
import { MemoryApprovals } from '../support/approvals.ts';
import type { Wire } from '../support/wire.ts';
import { encode } from '../support/wire-messages.ts';

/** What the server holds, and what the gateway keeps, while a statement waits for its approval. */
const approvals = new MemoryApprovals();
let stage: AccessStage;
before(async () => {
  stage = await startAccessStage({
    setup: `create table tasks (id int primary key); insert into tasks select generate_series(1, 100); grant all on tasks to app_rw;
      create schema other; create table other.tasks (id int); grant all on schema other to app_rw; grant all on other.tasks to app_rw;
      create function elsewhere() returns text language sql as $$ select set_config('search_path', 'other', false) $$`,
    policies: `@id("approval.delete") @approvers("dba")
      forbid (principal, action == Action::"delete", resource) unless { context.approvedBy.contains("dba") };`,
    services: ({ access }) => ({ access: { ...access, approvals } }),
  });
});
after(() => stage.stop());

const { query, parse, bind, describe, execute, sync } = encode;
const grace = approver('grace');
const connect = (): Promise<Wire> => stage.connect('dev+read-write', ['developers']);
const locks = async (): Promise<unknown> =>
  (await stage.server.sql("select count(*)::int from pg_locks where relation = 'tasks'::regclass", 'payments'))[0]?.rows[0]?.count;

test('no table is locked on the server while a statement of the extended protocol waits', async () => {
  const wire = await connect();
  const known = approvals.size;
  wire.send(
    parse({ name: 's', text: 'delete from tasks where id = $1' }),
    describe('S', 's'),
    bind({ statement: 's', values: ['1'] }),
    execute(),
    sync(),
  );
  const { id } = await approvals.nextQuestion(known);
  for (let { name } = await wire.next(); name !== 'NoticeResponse'; ) ({ name } = await wire.next());
  assert.equal(await locks(), 0);
  await approvals.decide(id, grace, 'approve', '');
  const { tags, status, messages } = await wire.cycle();
  assert.deepEqual([tags, status], [['DELETE 1'], 'I']);
  assert.deepEqual(
    messages.map(({ name }) => name).filter((name) => name !== 'ParameterStatus'),
    ['BindComplete', 'CommandComplete', 'ReadyForQuery'],
  );
  assert.deepEqual((await wire.query("select 'after'")).rows, [['after']]);
  await wire.end();
});

test('a portal made before it in the same group is not lost: that counts as a transaction', async () => {
  const wire = await connect();
  const known = approvals.size;
  wire.send(
    parse({ text: "select 'kept'" }),
    bind({ portal: 'p' }),
    parse({ text: 'delete from tasks where id = 2' }),
    bind({}),
    execute(),
    sync(),
  );
  assert.equal((await approvals.nextQuestion(known)).question.mode, 'retry');
  assert.equal((await wire.cycle()).errors[0]?.['C'], '42501');
  await wire.end();
});

test('denied by other policies while it waits: the request is over, and its approval is of no use later', async () => {
  const wire = await connect();
  const { services } = stage.gateway;
  const { policy } = services;
  const strict: PolicyEngine = {
    snapshot: 'strict',
    scope: () => 'strict',
    decide: () => ({ kind: 'deny', policies: ['strict'], snapshot: 'strict', reason: 'forbidden', message: 'not any more', hint: '' }),
  };
  const known = approvals.size;
  wire.send(query('delete from tasks where id = 3'));
  const { id, question } = await approvals.nextQuestion(known);
  Object.assign(services, { policy: () => strict });
  await approvals.decide(id, grace, 'approve', '');
  const { errors } = await wire.cycle();
  Object.assign(services, { policy });
  assert.match(errors[0]?.['M'] ?? '', /not any more/);
  assert.equal(stage.access.live.list().find(({ sid }) => sid === question.sid)?.busy, false);
  wire.send(query('delete from tasks where id = 3'));
  const again = await approvals.nextQuestion(known + 1);
  await approvals.decide(again.id, grace, 'deny', '');
  assert.equal((await wire.cycle()).errors[0]?.['C'], '42501');
  await wire.end();
});

test("what somebody's function did to the search_path earlier in a pipeline is not overlooked", async () => {
  const wire = await connect();
  const known = approvals.size;
  const text = 'delete from tasks where id = 4';
  wire.send(parse({ text: 'select 1' }), bind({}), execute(), parse({ text }), bind({}), execute(), sync());
  const { id, question } = await approvals.nextQuestion(known);
  assert.equal(question.mode, 'retry');
  await wire.cycle();
  await approvals.decide(id, grace, 'approve', '');
  wire.send(parse({ text: 'select elsewhere()' }), bind({}), execute(), parse({ text }), bind({}), execute(), sync());
  const { errors, tags } = await wire.cycle();
  assert.deepEqual(tags, ['SELECT 1'], JSON.stringify(errors));
  assert.match(errors[0]?.['M'] ?? '', /settings were changed before it/);
  assert.equal((await approvals.get(id))?.state, 'approved');
  await wire.end();
});

test('the target is lost while a statement waits: the client is told, and that nothing ran', async () => {
  const wire = await connect();
  const known = approvals.size;
  wire.send(query('delete from tasks where id = 5'));
  const { id } = await approvals.nextQuestion(known);
  await stage.server.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app_rw'");
  const told = await wire.cycle();
  assert.equal(told.status, '');
  await stage.server.restart('immediate');
  const next = await connect();
  next.send(query('delete from tasks where id = 6'));
  const second = await approvals.nextQuestion(known + 1);
  await stage.server.restart('immediate');
  const { errors, status } = await next.cycle();
  assert.deepEqual([errors[0]?.['S'], errors[0]?.['C'], status], ['FATAL', '08006', ''], JSON.stringify(errors));
  assert.match(errors[0]?.['M'] ?? '', /has not run/);
  assert.deepEqual([(await approvals.get(id))?.state, (await approvals.get(second.id))?.state], ['lost', 'lost']);
});
