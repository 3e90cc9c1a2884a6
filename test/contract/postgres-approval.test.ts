import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { PolicyEngine } from '../../src/policy/model.ts';
import { type AccessStage, approver, startAccessStage } from '../support/access-stage.ts';
import { MemoryApprovals } from '../support/approvals.ts';
import type { Cycle, Wire } from '../support/wire.ts';
import { encode } from '../support/wire-messages.ts';

/** What waits for an approval, message by message, against a real server. Requests are decided by the test itself. */
const approvals = new MemoryApprovals();
let stage: AccessStage;
before(async () => {
  stage = await startAccessStage({
    setup: `create table tasks (id int primary key, body text); insert into tasks select i, 'task ' || i from generate_series(1, 100) i;
      create function evil(int) returns int language plpgsql immutable as $$ begin raise log 'evil has run'; return $1; end $$;
      create function evil_equal(int, int) returns bool language sql immutable as 'select evil($1) = $2';
      create operator === (function = evil_equal, leftarg = int, rightarg = int);
      create table risky (id int primary key, mark int default evil(1));
      create view task_view as select id from tasks where id = evil(1);
      grant all on tasks, risky, task_view to app_rw; grant select on tasks to app_ro`,
    policies: `@id("approval.delete") @approvers("dba") @hint("say why in the ticket")
      forbid (principal, action == Action::"delete", resource) unless { context.approvedBy.contains("dba") };`,
    services: ({ access }) => ({ access: { ...access, approvals } }),
  });
});
after(() => stage.stop());

const connect = (more: object = {}): Promise<Wire> => stage.connect('dev+read-write', ['developers'], more);
const grace = approver('grace');
/** Rows of `tasks` that are there. */
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

test('approvers see how many rows the target expects, and the record that it was asked', async () => {
  const wire = await connect();
  const known = approvals.size;
  wire.send(query('delete from tasks where id between 90 and 99'));
  const { id, question } = await approvals.nextQuestion(known);
  assert.ok('rows' in question.estimate && question.estimate.rows >= 1 && question.estimate.rows <= 20, JSON.stringify(question.estimate));
  await approvals.decide(id, grace, 'deny', 'no');
  await wire.cycle();
  const { sid } = question;
  const explain = await stage.recorded((line) => line.sid === sid && line.type === 'intent' && line['kind'] === 'explain');
  assert.equal(explain['text'], 'delete from tasks where id between 90 and 99');
  await stage.recorded((line) => line.type === 'result' && line['intent'] === explain.seq && line['status'] === 'ok');
  await wire.end();
});

for (const [what, text, why] of [
  ['a function of somebody', 'delete from tasks where id = evil(1)', /calls a function/],
  ['a view', 'delete from tasks where id in (select id from task_view)', /code that was made in the database/],
  ['a table whose default calls a function of somebody', 'delete from risky where id = 1', /code that was made in the database/],
  ['an operator of somebody', 'delete from tasks where id === 1', /operator of that name/],
  ['several statements', 'delete from tasks where id = 1; delete from tasks where id = 2', /more than one statement/],
] as const) {
  test(`no estimate where planning might run ${what}`, async () => {
    const wire = await connect();
    const known = approvals.size;
    wire.send(query(text));
    const { id, question } = await approvals.nextQuestion(known);
    assert.match('unavailable' in question.estimate ? question.estimate.unavailable : JSON.stringify(question.estimate), why);
    await approvals.decide(id, grace, 'deny', '');
    assert.equal((await wire.cycle()).errors[0]?.['C'], '42501');
    await wire.end();
    assert.doesNotMatch(stage.server.log(), /evil has run/);
  });
}

test('denied: the client is told by whom and why, and the connection goes on', async () => {
  const wire = await connect();
  const known = approvals.size;
  const before = await left();
  wire.send(query('delete from tasks where id = 2'), query('select 1'));
  const { id } = await approvals.nextQuestion(known);
  await approvals.decide(id, grace, 'deny', 'not before the backup');
  const { errors, status } = await wire.cycle();
  assert.equal(errors[0]?.['C'], '42501');
  assert.match(errors[0]?.['M'] ?? '', new RegExp(`${id} was denied by grace: not before the backup`));
  assert.match(errors[0]?.['H'] ?? '', /asks again/);
  assert.equal(status, 'I');
  assert.deepEqual((await wire.cycle()).rows, [['1']]);
  assert.equal(await left(), before);
  await wire.end();
  const line = await stage.recorded((one) => one.type === 'deny' && one['approval'] === id);
  assert.equal(line['outcome'], 'denied');
  assert.equal(line['text'], 'delete from tasks where id = 2');
  assert.deepEqual(line['policies'], ['approval.delete']);
});

test('expired: nothing runs', async () => {
  const wire = await connect();
  const known = approvals.size;
  wire.send(query('delete from tasks where id = 3'));
  const { id } = await approvals.nextQuestion(known);
  approvals.expire(id);
  const { errors } = await wire.cycle();
  assert.equal(errors[0]?.['C'], '42501');
  assert.match(errors[0]?.['M'] ?? '', /in time/);
  await wire.end();
});

test('a cancel request withdraws it, and never reaches the target', async () => {
  const wire = await connect();
  const known = approvals.size;
  wire.send(query('delete from tasks where id = 4'));
  const { id } = await approvals.nextQuestion(known);
  assert.equal((await wire.next()).name, 'NoticeResponse');
  await wire.cancel();
  const { errors, status } = await wire.cycle();
  assert.equal(errors[0]?.['C'], '57014');
  assert.equal(status, 'I');
  assert.equal((await approvals.get(id))?.state, 'cancelled');
  assert.deepEqual((await wire.query('select 2')).rows, [['2']]);
  await wire.end();
});

test('a client that leaves while it waits has lost its request', async () => {
  const wire = await connect();
  const known = approvals.size;
  const before = await left();
  wire.send(query('delete from tasks where id = 5'));
  const { id, question } = await approvals.nextQuestion(known);
  assert.equal((await wire.next()).name, 'NoticeResponse');
  wire.destroy();
  await stage.recorded((line) => line.sid === question.sid && line.type === 'session' && line['event'] === 'end');
  assert.equal((await approvals.get(id))?.state, 'lost');
  const denied = await stage.recorded((line) => line.sid === question.sid && line.type === 'deny');
  assert.equal(denied['outcome'], 'lost');
  assert.equal(await left(), before);
});

test('a client that leaves with more sent than the gateway reads is missed all the same', async () => {
  const wire = await connect();
  const known = approvals.size;
  const before = await left();
  wire.send(query('delete from tasks where id = 5'));
  const { id, question } = await approvals.nextQuestion(known);
  assert.equal((await wire.next()).name, 'NoticeResponse');
  for (let i = 0; i < 40; i++) wire.send(query(`select '${'x'.repeat(100_000)}'`));
  wire.socket.once('drain', () => assert.fail('the gateway reads on'));
  await new Promise((resolve) => setTimeout(resolve, 200));
  wire.destroy();
  await stage.recorded((line) => line.sid === question.sid && line.type === 'session' && line['event'] === 'end', 30_000);
  assert.equal((await approvals.get(id))?.state, 'lost');
  assert.equal(await left(), before);
});

test('over TLS: approved, cancelled, and left', async () => {
  const before = await left();
  let known = approvals.size;
  const wire = await connect({ tls: 'ssl-request' });
  wire.send(query('delete from tasks where id = 70'), query("select 'behind'"));
  const first = await approvals.nextQuestion(known);
  await approvals.decide(first.id, grace, 'approve', '');
  assert.deepEqual((await wire.cycle()).tags, ['DELETE 1']);
  assert.deepEqual((await wire.cycle()).rows, [['behind']]);
  known = approvals.size;
  wire.send(query('delete from tasks where id = 71'));
  await approvals.nextQuestion(known);
  assert.equal((await wire.next()).name, 'NoticeResponse');
  await wire.cancel();
  assert.equal((await wire.cycle()).errors[0]?.['C'], '57014');
  known = approvals.size;
  wire.send(query('delete from tasks where id = 72'));
  const last = await approvals.nextQuestion(known);
  assert.equal((await wire.next()).name, 'NoticeResponse');
  wire.destroy();
  await stage.recorded((line) => line.sid === last.question.sid && line.type === 'session' && line['event'] === 'end');
  assert.equal((await approvals.get(last.id))?.state, 'lost');
  assert.equal(await left(), before - 1);
});

test('values are approved, and each Bind by itself; Parse and Describe pass', async () => {
  const wire = await connect();
  let known = approvals.size;
  const before = await left();
  wire.send(parse({ name: 'd', text: 'delete from tasks where id = $1' }), describe('S', 'd'), sync());
  const described = await wire.cycle();
  assert.deepEqual(
    described.messages.map((message) => message.name),
    ['ParseComplete', 'ParameterDescription', 'NoData', 'ReadyForQuery'],
  );
  assert.equal(approvals.size, known);
  wire.send(bind({ statement: 'd', values: ['6'] }), describe('P', ''), execute(), sync(), query("select 'behind'"));
  const first = await approvals.nextQuestion(known);
  assert.equal(first.question.statement, 'delete from tasks where id = $1');
  assert.deepEqual(first.question.params, ['6']);
  assert.ok('rows' in first.question.estimate, JSON.stringify(first.question.estimate));
  assert.equal(first.question.mode, 'wait');
  await approvals.decide(first.id, grace, 'approve', '');
  assert.deepEqual((await wire.cycle()).tags, ['DELETE 1']);
  assert.deepEqual((await wire.cycle()).rows, [['behind']]);
  known = approvals.size;
  wire.send(bind({ statement: 'd', values: ['7'] }), execute(), sync());
  const second = await approvals.nextQuestion(known);
  assert.deepEqual(second.question.params, ['7']);
  await approvals.decide(second.id, grace, 'deny', '');
  assert.equal((await wire.cycle()).errors[0]?.['C'], '42501');
  assert.equal(await left(), before - 1);
  await wire.end();
  const parsed = stage.record().find((line) => line['kind'] === 'parse' && line['name'] === 'd');
  assert.equal(parsed?.['approval'], 'needed');
  const bound = stage.record().find((line) => line['kind'] === 'bind' && line['approval'] === first.id);
  assert.equal(bound?.['stmt'], parsed?.seq);
});

test('two approvals in one pipeline: the second is in a transaction that the first has opened, and is refused until approved', async () => {
  const wire = await connect();
  const known = approvals.size;
  const before = await left();
  wire.send(
    parse({ name: 'p', text: 'delete from tasks where id = $1' }),
    bind({ statement: 'p', values: ['8'] }),
    execute(),
    bind({ statement: 'p', values: ['9'] }),
    execute(),
    sync(),
  );
  const first = await approvals.nextQuestion(known);
  assert.equal(first.question.mode, 'wait');
  await approvals.decide(first.id, grace, 'approve', '');
  const second = await approvals.nextQuestion(known + 1);
  assert.equal(second.question.mode, 'retry');
  const { errors, tags } = await wire.cycle();
  assert.deepEqual(tags, ['DELETE 1']);
  assert.match(errors[0]?.['M'] ?? '', new RegExp(`denied until approved by "dba": request ${second.id}`));
  assert.equal(await left(), before, 'the group failed as one');
  await wire.end();
});

test('in a transaction: refused at once, and once approved it runs once, exactly as it was', async () => {
  const wire = await connect();
  const known = approvals.size;
  const before = await left();
  await wire.query('begin');
  const refused = await wire.extended('delete from tasks where id = $1', ['10']);
  const { id, question } = await approvals.nextQuestion(known);
  assert.equal(question.mode, 'retry');
  assert.equal(refused.errors[0]?.['C'], '42501');
  assert.match(refused.errors[0]?.['H'] ?? '', /roll back.*https:/);
  assert.equal(refused.status, 'E');
  // In an aborted transaction nobody is asked again.
  assert.equal((await wire.extended('delete from tasks where id = $1', ['10'])).errors[0]?.['C'], '25P02');
  await wire.query('rollback');
  assert.equal(approvals.size, known + 1);
  await approvals.decide(id, grace, 'approve', '');
  // Another value, another text, another user: not what was approved.
  const other = await stage.connect('eve+read-write', ['developers'], { parameters: { options: '-c sluice.approval=retry' } });
  assert.equal((await other.extended('delete from tasks where id = $1', ['10'])).errors[0]?.['C'], '42501');
  await other.end();
  await wire.query('begin');
  assert.equal((await wire.extended('delete from tasks where id = $1', ['11'])).errors[0]?.['C'], '42501');
  await wire.query('rollback');
  await wire.query('begin');
  assert.equal((await wire.extended('delete from tasks  where id = $1', ['10'])).errors[0]?.['C'], '42501');
  await wire.query('rollback');
  assert.equal((await approvals.get(id))?.state, 'approved');
  await wire.query('begin');
  assert.deepEqual((await wire.extended('delete from tasks where id = $1', ['10'])).tags, ['DELETE 1']);
  assert.equal((await approvals.get(id))?.state, 'used');
  assert.equal((await wire.extended('delete from tasks where id = $1', ['10'])).errors[0]?.['C'], '42501');
  await wire.query('rollback');
  assert.equal(await left(), before);
  await wire.end();
});

test('an approval holds for one search_path, which approvers see', async () => {
  const retry = { parameters: { options: '-c sluice.approval=retry' } };
  const wire = await connect(retry);
  const text = 'delete from tasks where id = 80';
  const known = approvals.size;
  assert.equal((await wire.query(text)).errors[0]?.['C'], '42501');
  const { id, question } = await approvals.nextQuestion(known);
  assert.equal(question.statement, text);
  await approvals.decide(id, grace, 'approve', '');
  await wire.query('set search_path = other, public');
  assert.equal((await wire.query(text)).errors[0]?.['C'], '42501');
  const elsewhere = await approvals.nextQuestion(known + 1);
  assert.equal(elsewhere.question.statement, `${text}\n-- under search_path other, public`);
  await wire.query('reset search_path');
  wire.send(parse({ text: 'set search_path = other, public' }), bind(), execute(), parse({ text }), bind(), execute(), sync());
  const sneaked = await wire.cycle();
  assert.match(sneaked.errors[0]?.['M'] ?? '', /settings were changed before it/);
  assert.equal((await approvals.get(id))?.state, 'approved');
  assert.deepEqual((await wire.query(text)).tags, ['DELETE 1']);
  await wire.end();
});

test('a driver that cannot wait asks for retry by a start-up option, which the server never sees', async () => {
  const wire = await connect({ parameters: { options: '-c sluice.approval=retry -c statement_timeout=12345' } });
  const known = approvals.size;
  const { errors, status } = await wire.query('delete from tasks where id = 12');
  const { question } = await approvals.nextQuestion(known);
  assert.equal(question.mode, 'retry');
  assert.equal(errors[0]?.['C'], '42501');
  assert.equal(status, 'I');
  assert.deepEqual((await wire.query('show statement_timeout')).rows, [['12345ms']]);
  await wire.end();
  await assert.rejects(connect({ parameters: { options: '-c sluice.approval=never' } }), /"sluice.approval" takes wait or retry/);
});

test('a client says why by a start-up option: approvers see it and the record has it, masked; the server never sees it', async () => {
  const wire = await connect({
    parameters: { options: '-c sluice.reason=OPS-12\\ for\\ 4111111111111111\\\nnow -c statement_timeout=12345' },
  });
  const known = approvals.size;
  wire.send(query('delete from tasks where id = 14'));
  const { id, question } = await approvals.nextQuestion(known);
  assert.match(question.reason, /^OPS-12 for \*+1111 now$/);
  assert.doesNotMatch((await wire.next()).error['H'] ?? '', /sluice\.reason/);
  await approvals.decide(id, grace, 'approve', '');
  await wire.cycle();
  assert.deepEqual((await wire.query('show statement_timeout')).rows, [['12345ms']]);
  await wire.end();
  const start = await stage.recorded((line) => line.sid === question.sid && line.type === 'session' && line['event'] === 'start');
  assert.equal(start['reason'], question.reason);
  assert.doesNotMatch(JSON.stringify(stage.record()), /4111111111111111/);
  await assert.rejects(connect({ parameters: { options: `-c sluice.reason=${'x'.repeat(501)}` } }), /"sluice.reason" takes up to 500/);
});

test('who says no reason is told how to give one, waiting or to send it again', async () => {
  const wire = await connect();
  const known = approvals.size;
  wire.send(query('delete from tasks where id = 15'));
  const { id, question } = await approvals.nextQuestion(known);
  assert.equal(question.reason, '');
  assert.match(
    (await wire.next()).error['H'] ?? '',
    /SET sluice\.reason = '\.\.\.' before it, or connect with options='-c sluice\.reason=/,
  );
  await approvals.decide(id, grace, 'deny', '');
  await wire.cycle();
  await wire.query('begin');
  assert.match((await wire.query('delete from tasks where id = 15')).errors[0]?.['H'] ?? '', /options='-c sluice\.reason=/);
  await wire.end();
  const start = await stage.recorded((line) => line.sid === question.sid && line.type === 'session' && line['event'] === 'start');
  assert.ok(!('reason' in start));
});

/** What approvers are told the next deletion is for; it is denied. */
async function reasonOfNext(wire: Wire, text = 'delete from tasks where id = 16'): Promise<string> {
  const known = approvals.size;
  wire.send(query(text));
  const { id, question } = await approvals.nextQuestion(known);
  await approvals.decide(id, grace, 'deny', '');
  await wire.cycle();
  return question.reason;
}

test('SET sluice.reason says why from then on, masked and in one line, and RESET goes back', async () => {
  const wire = await connect({ parameters: { options: '-c sluice.reason=at\\ start' } });
  assert.deepEqual((await wire.query("set sluice.reason = e'OPS-13 for\\n4111111111111111'")).tags, ['SET']);
  assert.match(await reasonOfNext(wire), /^OPS-13 for \*+1111$/);
  // The server has it as it was given, and nobody sees that in clear.
  assert.match((await wire.query('show sluice.reason')).rows[0]?.[0] ?? '', /^OPS-13 for\n\*+1111$/);
  await wire.query(`set session sluice.reason to '${'\u{1f4b3}'.repeat(501)}'`);
  assert.equal(await reasonOfNext(wire), '\u{1f4b3}'.repeat(500));
  await wire.query("select 1; set sluice.reason = 'the last'; select 2");
  assert.equal(await reasonOfNext(wire), 'the last');
  for (const back of ['reset sluice.reason', 'set sluice.reason to default', 'reset all', 'discard all']) {
    await wire.query("set sluice.reason = 'another'");
    assert.equal(await reasonOfNext(wire), 'another');
    assert.deepEqual((await wire.query(back)).errors, []);
    assert.equal(await reasonOfNext(wire), 'at start', back);
  }
  await wire.end();
  assert.doesNotMatch(JSON.stringify(stage.record()), /4111111111111111/);
});

test('only a SET of the session that has succeeded says why', async () => {
  const wire = await connect();
  await wire.query("set sluice.reason = 'first'");
  await wire.query('begin');
  await wire.query("set local sluice.reason = 'local'");
  await wire.query('commit');
  assert.equal(await reasonOfNext(wire), 'first');
  // Denied for the setting beside it; refused by the server; not reached.
  assert.equal((await wire.query("set sluice.reason = 'second'; set client_encoding = 'latin1'")).errors[0]?.['C'], '42501');
  await wire.query('begin');
  await wire.query('select 1/0');
  assert.equal((await wire.query("set sluice.reason = 'third'")).errors[0]?.['C'], '25P02');
  await wire.query('rollback');
  assert.equal((await wire.query("select 1/0; set sluice.reason = 'fourth'")).errors[0]?.['C'], '22012');
  await wire.query("set application_name = 'sluice.reason'");
  assert.equal(await reasonOfNext(wire), 'first');
  // Other plans and what was declared go, what it is for does not.
  await wire.query('discard plans');
  assert.equal(await reasonOfNext(wire), 'first');
  await wire.end();
});

test('SET sluice.reason by the extended protocol: when it is executed, and as often', async () => {
  const wire = await connect();
  wire.send(parse({ name: 'why', text: "set sluice.reason = 'extended'" }), bind({ statement: 'why' }), sync());
  await wire.cycle();
  assert.equal(await reasonOfNext(wire), '');
  wire.send(bind({ statement: 'why' }), execute(), sync());
  await wire.cycle();
  assert.equal(await reasonOfNext(wire), 'extended');
  await wire.query('reset sluice.reason');
  wire.send(bind({ statement: 'why' }), execute(), sync());
  await wire.cycle();
  assert.equal(await reasonOfNext(wire), 'extended');
  await wire.end();
});

test('in one pipeline the reason comes first, and other settings still need a Sync', async () => {
  const wire = await connect();
  const known = approvals.size;
  const remove = [parse({ text: 'delete from tasks where id = 16' }), bind(), execute(), sync()];
  wire.send(parse({ text: "set sluice.reason = 'pipelined'" }), bind(), execute(), ...remove);
  const { question } = await approvals.nextQuestion(known);
  assert.deepEqual([question.reason, question.mode], ['pipelined', 'retry']);
  assert.equal((await wire.cycle()).errors[0]?.['C'], '42501');
  wire.send(parse({ text: "set application_name = 'other'" }), bind(), execute(), ...remove);
  assert.match((await wire.cycle()).errors[0]?.['M'] ?? '', /settings were changed before it in the same pipeline/);
  await wire.end();
});

test('PREPARE by SQL passes; EXECUTE asks with the text and its values', async () => {
  const wire = await connect();
  const known = approvals.size;
  assert.deepEqual((await wire.query('prepare gone (int) as delete from tasks where id = $1')).tags, ['PREPARE']);
  wire.send(query('execute gone (13)'));
  const { id, question } = await approvals.nextQuestion(known);
  assert.equal(question.statement, 'execute gone (13)\nprepare gone (int) as delete from tasks where id = $1');
  await approvals.decide(id, grace, 'approve', '');
  assert.deepEqual((await wire.cycle()).tags, ['DELETE 1']);
  const around = await wire.query('create temp table t as execute gone (14)');
  assert.notEqual(around.errors.length, 0);
  assert.equal(approvals.size, known + 1);
  await wire.end();
});

test('EXECUTE by the extended protocol asks as well', async () => {
  const wire = await connect();
  const known = approvals.size;
  await wire.query('prepare gone (int) as delete from tasks where id = $1');
  wire.send(parse({ text: 'execute gone (15)' }), bind(), execute(), sync());
  const { id, question } = await approvals.nextQuestion(known);
  assert.equal(question.statement, 'execute gone (15)\nprepare gone (int) as delete from tasks where id = $1');
  assert.deepEqual(question.approvers, [{ group: 'dba', needed: 1 }]);
  await approvals.decide(id, grace, 'deny', '');
  assert.equal((await wire.cycle()).errors[0]?.['C'], '42501');
  await wire.end();
});

test('a row budget ends a session whose rows are more', async () => {
  const wire = await connect();
  let known = approvals.size;
  const before = await left();
  wire.send(query('delete from tasks where id between 20 and 29 returning id'));
  const first = await approvals.nextQuestion(known);
  await approvals.decide(first.id, grace, 'approve', '', 10);
  assert.equal((await wire.cycle()).rows.length, 10);
  assert.equal(await left(), before - 10);
  known = approvals.size;
  // A write without rows, by the extended protocol: known when it is done, and its Sync has waited.
  wire.send(parse({ text: 'delete from tasks where id between 30 and 39' }), bind(), execute(), sync());
  const second = await approvals.nextQuestion(known);
  await approvals.decide(second.id, grace, 'approve', '', 9);
  const { errors, status } = await wire.cycle();
  assert.equal(status, '');
  assert.equal(errors[0]?.['S'], 'FATAL');
  assert.equal(errors[0]?.['C'], '54000');
  assert.match(errors[0]?.['M'] ?? '', /more than the 9 rows that were approved/);
  await wire.ended();
  const intent = await stage.recorded((line) => line.type === 'intent' && line['approval'] === second.id);
  const result = await stage.recorded((line) => line.type === 'result' && line['intent'] === intent.seq);
  assert.equal(result['status'], 'aborted');
  assert.equal(await left(), before - 10, 'rolled back');
});

test('a write by simple query is committed only when its rows are within the budget', async () => {
  const wire = await connect();
  const before = await left();
  const ask = async (text: string, budget: number): Promise<Cycle> => {
    const known = approvals.size;
    wire.send(query(text), query("select 'behind'"));
    await approvals.decide((await approvals.nextQuestion(known)).id, grace, 'approve', '', budget);
    const cycle = await wire.cycle();
    if (cycle.status !== '') assert.deepEqual((await wire.cycle()).rows, [['behind']]);
    return cycle;
  };
  const names = ({ messages }: Cycle): string[] => messages.map(({ name }) => name).filter((name) => name !== 'NoticeResponse');
  wire.send(parse({ text: "select 'older'" }), sync());
  await wire.cycle();
  const plain = await ask('delete from tasks where id between 60 and 62', 3);
  assert.deepEqual(names(plain), ['CommandComplete', 'ReadyForQuery']);
  assert.deepEqual([plain.tags, plain.status], [['DELETE 3'], 'I']);
  // As after any simple query, there is no unnamed statement: least of all the one that was approved once.
  wire.send(bind(), execute(), sync());
  assert.equal((await wire.cycle()).errors[0]?.['C'], '26000');
  const returning = await ask('delete from tasks where id in (63, 64) returning id', 2);
  assert.deepEqual(names(returning), ['RowDescription', 'DataRow', 'DataRow', 'CommandComplete', 'ReadyForQuery']);
  for (const text of [
    'delete from tasks where id = 1 / (id - id)',
    'delete from tasks where nothing = 1',
    "delete from tasks where id = 'x'",
  ]) {
    const failed = await ask(text, 5);
    assert.deepEqual(names(failed), ['ErrorResponse', 'ReadyForQuery'], text);
    assert.equal(failed.status, 'I');
  }
  const several = await ask('delete from tasks where id = 65; delete from tasks where id = 66', 5);
  assert.equal(several.errors[0]?.['C'], '42501');
  assert.equal(await left(), before - 5);
  const over = await ask('delete from tasks where id > 66', 4);
  assert.deepEqual([over.errors[0]?.['S'], over.errors[0]?.['C'], over.tags], ['FATAL', '54000', []]);
  await wire.ended();
  assert.equal(await left(), before - 5);
});

test('what is sent behind a waiting statement stays in bounded memory, and runs afterwards', async () => {
  const wire = await connect();
  const known = approvals.size;
  wire.send(query('delete from tasks where id = 40'));
  const { id } = await approvals.nextQuestion(known);
  const long = query(`select '${'x'.repeat(100_000)}'`);
  let taken = 0;
  for (let i = 0; i < 300; i++) wire.socket.write(long, () => taken++);
  wire.send(query("select 'last'"));
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.ok(taken < 300, 'the gateway stopped reading');
  await approvals.decide(id, grace, 'approve', '');
  for (;;) {
    const cycle = await wire.cycle();
    assert.notEqual(cycle.status, '');
    if (cycle.rows[0]?.[0] === 'last') break;
  }
  await wire.end();
});

test('a statement prepared before its policies asked for approval has to be prepared again', async () => {
  const wire = await connect();
  const { services } = stage.gateway;
  const { policy } = services;
  const lenient: PolicyEngine = {
    snapshot: 'lenient',
    scope: () => 'lenient',
    decide: () => ({ kind: 'allow', policies: [], snapshot: 'lenient' }),
  };
  Object.assign(services, { policy: () => lenient });
  wire.send(parse({ name: 'early', text: 'delete from tasks where id = $1' }), sync());
  assert.equal((await wire.cycle()).status, 'I');
  await wire.query('prepare early_too (int) as delete from tasks where id = $1');
  Object.assign(services, { policy });
  const known = approvals.size;
  wire.send(bind({ statement: 'early', values: ['50'] }), execute(), sync());
  for (const { errors } of [await wire.cycle(), await wire.query('execute early_too (50)')]) {
    assert.equal(errors[0]?.['C'], '0A000');
    assert.match(errors[0]?.['H'] ?? '', /prepare it again/);
  }
  assert.equal(approvals.size, known);
  await wire.end();
});

test('a gateway that ends while a statement waits says so, and nothing ran', async () => {
  const wire = await connect();
  const known = approvals.size;
  const before = await left();
  wire.send(query('delete from tasks where id = 41'));
  const { id } = await approvals.nextQuestion(known);
  assert.equal((await wire.next()).name, 'NoticeResponse');
  const closed = stage.gateway.close(5000);
  const { errors, status } = await wire.cycle();
  assert.deepEqual([errors[0]?.['S'], errors[0]?.['C'], status], ['FATAL', '57P01', '']);
  await closed;
  assert.equal((await approvals.get(id))?.state, 'lost');
  assert.equal(await left(), before);
});
