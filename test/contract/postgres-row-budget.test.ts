import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type AccessStage, approver, startAccessStage } from '../support/access-stage.ts';
import { MemoryApprovals } from '../support/approvals.ts';
import type { Wire } from '../support/wire.ts';
import { encode } from '../support/wire-messages.ts';

/** Ways around the number of rows that an approval is limited to, each with a budget of 5 of 100 rows. */
const approvals = new MemoryApprovals();
let stage: AccessStage;
before(async () => {
  stage = await startAccessStage({
    setup: `create table tasks (id int primary key); insert into tasks select generate_series(1, 100); grant all on tasks to app_rw`,
    policies: `@id("approval.tasks") @approvers("dba")
      forbid (principal, action in [Action::"select", Action::"declare", Action::"delete"], resource)
      when { context.tables.contains("tasks") } unless { context.approvedBy.contains("dba") };`,
    sections: { access: { approvals: { in_transaction: 'wait' } } },
    services: ({ access }) => ({ access: { ...access, approvals } }),
  });
});
after(() => stage.stop());

const { query, parse, bind, execute, sync, flush } = encode;
const left = async (): Promise<number> => Number((await stage.server.sql('select count(*) from tasks', 'payments'))[0]?.rows[0]?.count);
const connect = (): Promise<Wire> => stage.connect('dev+read-write', ['developers']);
async function approveNext(send: () => void): Promise<void> {
  const known = approvals.size;
  send();
  await approvals.decide((await approvals.nextQuestion(known)).id, approver('grace'), 'approve', '', 5);
}

const hidden = 'with d as (delete from tasks returning id) select count(*) from d';
for (const [what, send, begin] of [
  ['a write within WITH', [query(hidden)], false],
  ['the same in a transaction', [query(hidden)], true],
  ['the same by the extended protocol', [parse({ text: hidden }), bind({}), execute(), sync()], false],
  ['a text that commits by itself', [query('delete from tasks; commit')], true],
  ['a cursor', [query('declare c cursor for select * from tasks')], true],
] as const) {
  test(`${what} is refused where it would be limited`, async () => {
    const wire = await connect();
    if (begin) await wire.query('begin');
    await approveNext(() => wire.send(...send));
    const { errors, status } = await wire.cycle();
    assert.equal(errors[0]?.['C'], '42501');
    assert.match(errors[0]?.['M'] ?? '', /limits its rows, which cannot be counted/);
    assert.equal(status, begin ? 'E' : 'I');
    await wire.end();
    assert.equal(await left(), 100);
  });
}

test('FETCH takes from the budget of the portal that it reads', async () => {
  const wire = await connect();
  await wire.query('begin');
  await approveNext(() =>
    wire.send(parse({ name: 's', text: 'select id from tasks' }), bind({ portal: 'p', statement: 's' }), execute('p', 2), flush()),
  );
  for (let { name } = await wire.next(); name !== 'PortalSuspended'; ) ({ name } = await wire.next());
  wire.send(sync());
  await wire.cycle();
  assert.deepEqual((await wire.query('fetch 3 from p')).rows, [['3'], ['4'], ['5']]);
  const { errors, rows } = await wire.query('fetch 1 from p');
  assert.deepEqual([rows, errors[0]?.['S'], errors[0]?.['C']], [[], 'FATAL', '54000']);
  await wire.ended();
});

test('FETCH by the extended protocol, bound before the portal was', async () => {
  const wire = await connect();
  await wire.query('begin');
  await approveNext(() =>
    wire.send(
      ...[parse({ name: 'f', text: 'fetch all from p' }), bind({ portal: 'q', statement: 'f' })],
      ...[parse({ name: 's', text: 'select id from tasks' }), bind({ portal: 'p', statement: 's' })],
      ...[execute('q'), sync()],
    ),
  );
  const { errors, rows } = await wire.cycle();
  assert.deepEqual([rows.length <= 5, errors[0]?.['S'], errors[0]?.['C']], [true, 'FATAL', '54000'], JSON.stringify(errors));
  await wire.ended();
});

test('no byte of a row too many passes, also of one that is streamed', async () => {
  for (const text of ["select repeat('x', 3000000), id from tasks", "copy (select repeat('x', 3000000), id from tasks) to stdout"]) {
    const wire = await connect();
    await approveNext(() => wire.send(query(text)));
    const { messages, errors } = await wire.cycle();
    assert.equal(messages.filter(({ name }) => name === 'DataRow' || name === 'CopyData').length, 5, text);
    assert.equal(errors[0]?.['C'], '54000');
    await wire.ended();
  }
});
