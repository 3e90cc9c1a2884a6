import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type AccessStage, approver, startAccessStage } from '../support/access-stage.ts';
import { MemoryApprovals } from '../support/approvals.ts';
import type { Wire } from '../support/wire.ts';
import { encode } from '../support/wire-messages.ts';

/** A server before 18 does not report its search_path: what was approved under one must not run under another. */
const approvals = new MemoryApprovals();
let stage: AccessStage;
before(async () => {
  stage = await startAccessStage({
    postgres: { version: 'debian' },
    setup: `create table tasks (id int); insert into tasks select generate_series(1, 100); create schema other;
      create table other.tasks (id int); insert into other.tasks select generate_series(1, 100);
      grant all on schema other to app_rw; grant all on tasks, other.tasks to app_rw`,
    policies: `@id("approval.delete") @approvers("dba")
      forbid (principal, action == Action::"delete", resource) unless { context.approvedBy.contains("dba") };`,
    services: ({ access }) => ({ access: { ...access, approvals } }),
  });
});
after(() => stage.stop());

const { parse, bind, execute, sync } = encode;
const connect = (options = ''): Promise<Wire> =>
  stage.connect('dev+read-write', ['developers'], { parameters: { options: `-c sluice.approval=retry ${options}` } });
async function approve(wire: Wire, text: string): Promise<string> {
  const known = approvals.size;
  assert.equal((await wire.query(text)).errors[0]?.['C'], '42501');
  const { id } = await approvals.nextQuestion(known);
  await approvals.decide(id, approver('grace'), 'approve', '');
  return id;
}
const left = async (): Promise<unknown> => (await stage.server.sql('select count(*)::int from other.tasks', 'payments'))[0]?.rows[0]?.count;

test('approved in a transaction, it runs in the next one', async () => {
  const wire = await connect();
  await wire.query('begin');
  await approve(wire, 'delete from tasks where id = 1');
  await wire.query('rollback');
  await wire.query('begin');
  assert.deepEqual((await wire.query('delete from tasks where id = 1')).tags, ['DELETE 1']);
  await wire.query('commit');
  await wire.end();
});

for (const [id, what, text] of [
  [2, 'SET', 'set search_path = other'],
  [3, 'set_config', "select set_config('search_path', 'other', false)"],
] as const) {
  test(`not after ${what} of another search_path`, async () => {
    const wire = await connect();
    const asked = await approve(wire, `delete from tasks where id = ${id}`);
    assert.deepEqual((await wire.query(text)).errors, []);
    assert.equal((await wire.query(`delete from tasks where id = ${id}`)).errors[0]?.['C'], '42501');
    assert.equal((await approvals.get(asked))?.state, 'approved');
    assert.equal(await left(), 100);
    await wire.end();
  });
}

test('not by a statement that was prepared before', async () => {
  const wire = await connect();
  wire.send(parse({ name: 'to', text: 'set search_path = other' }), sync());
  await wire.cycle();
  const asked = await approve(wire, 'delete from tasks where id = 4');
  wire.send(bind({ statement: 'to' }), execute(), sync());
  assert.deepEqual((await wire.cycle()).tags, ['SET']);
  assert.equal((await wire.query('delete from tasks where id = 4')).errors[0]?.['C'], '42501');
  assert.equal((await approvals.get(asked))?.state, 'approved');
  await wire.end();
});

test('not in a session that began under another', async () => {
  const wire = await connect();
  const asked = await approve(wire, 'delete from tasks where id = 5');
  const other = await connect('-c search_path=other');
  assert.equal((await other.query('delete from tasks where id = 5')).errors[0]?.['C'], '42501');
  assert.equal((await approvals.get(asked))?.state, 'approved');
  assert.equal(await left(), 100);
  await wire.end();
  await other.end();
});
