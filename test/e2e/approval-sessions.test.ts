import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { LiveEvent } from '../../src/access/model.ts';
import { GatewayError } from '../../src/errors.ts';
import { issueToken } from '../../src/identity/local-token.ts';
import { tokenKey } from '../../src/identity/signing-key.ts';
import { type AccessStage, approver, startAccessStage } from '../support/access-stage.ts';
import { Wire } from '../support/wire.ts';
import { encode } from '../support/wire-messages.ts';

/** Who gets in on which account, how long it lasts, and what ends it: over the store that is shipped. */
let stage: AccessStage;
const events: LiveEvent[] = [];
before(async () => {
  stage = await startAccessStage({
    policies: `@id("approval.delete") @approvers("dba")
      forbid (principal, action == Action::"delete", resource) unless { context.approvedBy.contains("dba") };`,
    sections: {
      listeners: { postgres: '127.0.0.1:0', https: '127.0.0.1:0' },
      identity: { idle: '2s' },
      access: { grants: { break_glass_groups: ['oncall'] } },
    },
    groups: { 'read-only': ['analysts', 'developers'], 'read-write': ['developers'] },
  });
  stage.access.events.listen((event) => events.push(event));
});
after(() => stage.stop());

const refusal = (attempt: Promise<Wire>): Promise<Record<string, string>> =>
  attempt.then(
    () => assert.fail('the log-in was taken'),
    (error: { fields: Record<string, string> }) => error.fields,
  );
const accountOf = async (wire: Wire): Promise<string | null | undefined> => (await wire.query('select current_user')).rows[0]?.[0];
const liveOf = (user: string) => stage.access.live.list().filter((session) => session.principal.name === user);

test('without an account the first one that is open is taken: the least privileged', async () => {
  const wire = await stage.connect('dev', ['developers']);
  assert.equal(await accountOf(wire), 'app_ro');
  await wire.end();
  const named = await stage.connect('dev+read-write', ['developers']);
  assert.equal(await accountOf(named), 'app_rw');
  await named.end();
});

test('a refusal names the accounts that are open, and no other', async () => {
  const error = await refusal(stage.connect('ada+read-write', ['analysts']));
  assert.equal(error['C'], '3D000');
  assert.match(error['M'] ?? '', /has no account "read-write" that is open to you/);
  assert.equal(error['H'], 'open to you: read-only');
  const stranger = await refusal(stage.connect('eve', ['visitors']));
  assert.equal(stranger['C'], '42501');
  assert.doesNotMatch(`${stranger['M']} ${stranger['H']}`, /read-/);
});

test('a session is in the live list with what it does, and in the events', async () => {
  const wire = await stage.connect('ada', ['analysts'], { parameters: { application_name: 'live' } });
  await wire.query('select pan from cards limit 3');
  await wire.query('drop table cards');
  const [live] = liveOf('ada');
  assert.equal(live?.target.account, 'read-only');
  assert.equal(live?.operations, 2);
  assert.equal(live?.denied, 1);
  assert.equal(live?.masked['column'] ?? live?.masked['pan'], 3);
  assert.equal(live?.busy, false);
  await wire.end();
  await stage.recorded((line) => line.sid === live?.sid && line.type === 'session' && line['event'] === 'end');
  assert.deepEqual(liveOf('ada'), []);
  const own = events.filter((event) => event.sid === live?.sid);
  assert.deepEqual(
    own.map((event) => event.type),
    ['session.start', 'denied', 'session.end'],
  );
  const lines = new Map(stage.record().map((line) => [line.seq, line]));
  for (const event of own) assert.equal(lines.get(event.line)?.sid, live?.sid, event.type);
});

test('a killed session ends with 57P01 while a query runs, and the target stops', async () => {
  const wire = await stage.connect('ada', ['analysts']);
  wire.send(encode.query("select 'begun', pg_sleep(60)"));
  const running = async (): Promise<number> =>
    Number(
      (
        await stage.server.sql(
          "select count(*) from pg_stat_activity where query like '%begun%' and query not like '%pg_stat%' and state = 'active'",
        )
      )[0]?.rows[0]?.count,
    );
  while ((await running()) === 0) await new Promise((resolve) => setImmediate(resolve));
  const [live] = liveOf('ada');
  assert.equal(live?.busy, true);
  assert.equal(await stage.access.live.kill(live?.sid ?? '', approver('grace'), 'too long'), true);
  const { errors, status } = await wire.cycle();
  assert.deepEqual([errors[0]?.['S'], errors[0]?.['C'], status], ['FATAL', '57P01', '']);
  assert.match(errors[0]?.['M'] ?? '', /ended by grace: too long/);
  const deadline = Date.now() + 5000;
  while ((await running()) > 0) assert.ok(Date.now() < deadline, 'the query goes on');
  const result = await stage.recorded((line) => line.sid === live?.sid && line.type === 'result');
  assert.equal(result['status'], 'aborted');
});

test('an idle session of a person ends with 57P05; one of a service does not, nor one at work', async () => {
  const key = tokenKey(stage.gateway.services.config.gateway.dataDir);
  const token = issueToken({ user: 'robot', kind: 'service', groups: ['analysts'], ttlMs: 60_000 }, 'gw-1', key.privateKey, Date.now());
  const robot = await Wire.connect({ port: stage.port, user: 'robot', password: token, database: 'payments' });
  const idle = await stage.connect('ada', ['analysts']);
  const working = await stage.connect('bob', ['analysts']);
  working.send(encode.query('select pg_sleep(3.5)'));
  const { errors } = await idle.cycle();
  assert.deepEqual([errors[0]?.['S'], errors[0]?.['C'], errors[0]?.['H']], ['FATAL', '57P05', 'log in again']);
  assert.equal((await working.cycle()).status, 'I');
  assert.deepEqual((await robot.query('select 1')).rows, [['1']]);
  await Promise.all([working.end(), robot.end()]);
});

test('revoking a user ends the open session within a second, and the next log-in', async () => {
  const wire = await stage.connect('mallory', ['analysts']);
  const began = Date.now();
  await stage.access.revocations.revokeUser('mallory', 'gw-1', approver('grace'), 'left the company');
  const { errors } = await wire.cycle();
  assert.ok(Date.now() - began < 1000);
  assert.deepEqual([errors[0]?.['S'], errors[0]?.['C']], ['FATAL', '28000']);
  assert.equal((await refusal(stage.connect('mallory', ['analysts'])))['C'], '28000');
});

const grantTo = async (name: string, groups: readonly string[], seconds: number): Promise<string> => {
  const wanted = { resource: 'payments', role: 'read-write', reason: 'fix order 12', ticket: 'OPS-12', breakGlass: false, seconds };
  const { id } = await stage.access.grants.request(approver(name, groups), wanted);
  await stage.access.grants.decide(id, approver('grace'), 'approve', '');
  return id;
};

test('a grant opens an account to somebody who has no other, and revoking it ends the session', async () => {
  assert.equal((await refusal(stage.connect('eve+read-write', ['support'])))['C'], '3D000');
  const id = await grantTo('eve', ['support'], 60);
  const wire = await stage.connect('eve+read-write', ['support']);
  assert.equal(await accountOf(wire), 'app_rw');
  await wire.query("update orders set note = 'x' where id = 1");
  await stage.access.grants.revoke(id, approver('grace'), 'done');
  const { errors } = await wire.cycle();
  assert.deepEqual([errors[0]?.['S'], errors[0]?.['C']], ['FATAL', '28000']);
  assert.equal((await refusal(stage.connect('eve+read-write', ['support'])))['C'], '3D000');
});

test('a grant that expires ends its sessions in the middle of a query, and no other', async () => {
  const id = await grantTo('kim', ['developers'], 3);
  const bystander = await stage.connect('kim', ['developers']);
  const wire = await stage.connect('kim+read-write', ['developers']);
  wire.send(encode.query("update orders set note = 'x' where pg_sleep(20) is not null"));
  bystander.send(encode.query('select pg_sleep(4)'));
  const { errors, status } = await wire.cycle();
  assert.deepEqual([errors[0]?.['S'], errors[0]?.['C'], status], ['FATAL', '28000', '']);
  assert.match(errors[0]?.['M'] ?? '', /grant .* has expired/);
  const start = await stage.recorded(
    (line) => line.type === 'session' && line['event'] === 'start' && Array.isArray(line['grants']) && line['grants'].includes(id),
  );
  await stage.recorded((line) => line.sid === start.sid && line.type === 'result' && line['status'] === 'aborted');
  await stage.recorded((line) => line.sid === start.sid && line['event'] === 'end' && line['reason'] === 'grant_expired');
  assert.equal((await bystander.cycle()).status, 'I');
  await bystander.end();
});

test('the store is away: what needs nobody goes on, what needs approval is refused with the reason', async () => {
  const { services } = stage.gateway;
  const { access } = services;
  const away = (): Promise<never> =>
    Promise.reject(
      new GatewayError({
        code: 'store_unavailable',
        source: 'gateway',
        phase: 'decide',
        publicMessage: 'the control store does not answer',
      }),
    );
  const approvals = { ask: away, claim: away, decide: away, get: away, list: away };
  Object.assign(services, { access: { ...access, approvals } });
  try {
    const wire = await stage.connect('dev+read-write', ['developers']);
    assert.equal((await wire.query('select 1')).status, 'I');
    const { errors } = await wire.query('delete from orders where id = 1');
    assert.equal(errors[0]?.['C'], '42501');
    assert.match(errors[0]?.['M'] ?? '', /needs approval by "dba", which cannot be asked for: the control store does not answer/);
    await wire.end();
  } finally {
    Object.assign(services, { access });
  }
});
