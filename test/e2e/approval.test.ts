import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { type AccessStage, approver, startAccessStage } from '../support/access-stage.ts';
import { requireClient } from '../support/clients.ts';

/** Approvals as people and drivers meet them: psql and node-postgres, the store that is shipped, a real server. */
const client = requireClient('psql');
const options = { skip: client.skip ?? false };
let stage: AccessStage;
before(async () => {
  stage = await startAccessStage({
    setup: `create table tasks (id int primary key, body text); insert into tasks select i, 'task ' || i from generate_series(1, 100) i;
      grant all on tasks to app_rw`,
    policies: `@id("approval.delete") @approvers("dba")
      forbid (principal, action == Action::"delete", resource) unless { context.approvedBy.contains("dba") };
      @id("approval.tasks") @approvers("dba, security")
      forbid (principal, action == Action::"update", resource)
      unless { context.approvedBy.contains("dba") && context.approvedBy.contains("security") };`,
    sections: {
      listeners: { postgres: '127.0.0.1:0', https: '127.0.0.1:0' },
      access: { approvals: { timeout: '3s', retry_window: '1m' } },
    },
  });
});
after(() => stage.stop());

const rows = async (where: string): Promise<number> =>
  Number((await stage.server.sql(`select count(*) from tasks where ${where}`, 'payments'))[0]?.rows[0]?.count);

/** psql with one command, as a person sees it: what it prints arrives while it runs. */
class Psql {
  readonly child: ChildProcess;
  readonly closed: Promise<unknown>;
  out = '';
  #waiter: (() => void) | null = null;

  constructor(command: string, more: NodeJS.ProcessEnv = {}) {
    const env = { ...stage.environment('dev+read-write', ['developers']), ...more };
    this.child = spawn(client.path ?? '', ['-X', '-At', '-c', command], { env });
    const take = (chunk: Buffer): void => {
      this.out += chunk.toString('utf8');
      this.#waiter?.();
    };
    this.child.stdout?.on('data', take);
    this.child.stderr?.on('data', take);
    this.closed = once(this.child, 'close');
  }

  /** The id in the notice, as soon as it is printed. */
  async request(): Promise<string> {
    for (;;) {
      const id = /request (\S+)/.exec(this.out)?.[1];
      if (id !== undefined) return id;
      await new Promise<void>((resolve) => {
        this.#waiter = resolve;
      });
    }
  }

  /** All that it printed. */
  async done(): Promise<string> {
    await this.closed;
    return this.out;
  }
}

test('psql waits, and gets its rows once somebody has approved', options, async () => {
  const psql = new Psql('delete from tasks where id = 1 returning body');
  const id = await psql.request();
  assert.match(psql.out, /NOTICE: {2}waiting for approval by "dba", within 3 s: request /);
  assert.match(psql.out, /HINT: {2}It is decided at https:\/\/127\.0\.0\.1:\d+\/approvals\/.*Ctrl-C/);
  assert.equal(await rows('id = 1'), 1);
  const asked = await stage.access.approvals.get(id);
  assert.equal(asked?.statement, 'delete from tasks where id = 1 returning body');
  assert.deepEqual(asked?.estimate, { rows: 1 });
  await stage.access.approvals.decide(id, approver('grace'), 'approve', 'fine');
  assert.match(await psql.done(), /task 1\nDELETE 1\n$/);
  assert.equal(await rows('id = 1'), 0);
});

test('psql says why with PGOPTIONS, and approvers read it', options, async () => {
  const psql = new Psql('delete from tasks where id = 7', { PGOPTIONS: '-c sluice.reason=OPS-12\\ fix\\ brands' });
  const id = await psql.request();
  assert.equal((await stage.access.approvals.get(id))?.reason, 'OPS-12 fix brands');
  const line = await stage.recorded((one) => one.type === 'approval' && one['event'] === 'ask' && one['request'] === id);
  assert.equal(line['reason'], 'OPS-12 fix brands');
  await stage.access.approvals.decide(id, approver('grace'), 'deny', '');
  assert.doesNotMatch(await psql.done(), /sluice\.reason/);
});

test('psql is told who denied it and why', options, async () => {
  const psql = new Psql('delete from tasks where id = 2');
  await stage.access.approvals.decide(await psql.request(), approver('grace'), 'deny', 'not today');
  assert.match(await psql.done(), /ERROR: {2}approval request \S+ was denied by grace: not today/);
  assert.equal(await rows('id = 2'), 1);
});

test('nobody can approve their own, and nobody of another group', options, async () => {
  const psql = new Psql('delete from tasks where id = 2');
  const id = await psql.request();
  const { approvals } = stage.access;
  await assert.rejects(approvals.decide(id, approver('dev'), 'approve', ''), { code: 'approval_own' });
  await assert.rejects(approvals.decide(id, approver('eve', ['developers']), 'approve', ''), { code: 'approval_not_yours' });
  await approvals.decide(id, approver('grace'), 'deny', '');
  await psql.done();
});

test('two groups have to approve: one is not enough', options, async () => {
  const psql = new Psql("update tasks set body = 'done' where id = 3");
  const id = await psql.request();
  assert.match(psql.out, /approval by "dba" and "security"/);
  await stage.access.approvals.decide(id, approver('grace'), 'approve', '');
  assert.equal((await stage.access.approvals.get(id))?.state, 'pending');
  await stage.access.approvals.decide(id, approver('sam', ['security']), 'approve', '');
  assert.match(await psql.done(), /UPDATE 1/);
});

test('nobody decides in time: denied', options, async () => {
  const psql = new Psql('delete from tasks where id = 4');
  assert.match(await psql.done(), /ERROR: {2}nobody approved request \S+ in time/);
  assert.equal(await rows('id = 4'), 1);
});

test('Ctrl-C withdraws the request', options, async () => {
  const psql = new Psql('delete from tasks where id = 5');
  const id = await psql.request();
  psql.child.kill('SIGINT');
  assert.match(await psql.done(), /ERROR: {2}canceling statement due to user request/);
  await stage.recorded((line) => line.type === 'approval' && line['event'] === 'cancelled' && line['request'] === id);
  await assert.rejects(stage.access.approvals.decide(id, approver('grace'), 'approve', ''), { code: 'approval_decided' });
  assert.equal(await rows('id = 5'), 1);
});

test('psql is killed while it waits: the request is lost, and nothing runs', options, async () => {
  const psql = new Psql('delete from tasks where id = 6');
  const id = await psql.request();
  psql.child.kill('SIGKILL');
  await stage.recorded((line) => line.type === 'approval' && line['event'] === 'lost' && line['request'] === id);
  await assert.rejects(stage.access.approvals.decide(id, approver('grace'), 'approve', ''), { code: 'approval_decided' });
  assert.equal(await rows('id = 6'), 1);
});

const driver = (more: pg.ClientConfig = {}): pg.Client => {
  const env = stage.environment('dev+read-write', ['developers']);
  return new pg.Client({
    host: '127.0.0.1',
    port: stage.port,
    user: 'dev+read-write',
    password: env['PGPASSWORD'],
    database: 'payments',
    ...more,
  });
};

test('node-postgres waits with bound values, query by query', async () => {
  const db = driver();
  await db.connect();
  const text = 'delete from tasks where id = $1 returning body';
  const noticed = once(db, 'notice');
  const first = db.query(text, [10]);
  const second = db.query('select 1 as one');
  const [notice] = (await noticed) as [{ message: string }];
  const id = /request (\S+)/.exec(notice.message)?.[1] ?? '';
  const asked = await stage.access.approvals.get(id);
  assert.deepEqual([asked?.statement, asked?.params], [text, ['10']]);
  await stage.access.approvals.decide(id, approver('grace'), 'approve', '');
  assert.deepEqual((await first).rows, [{ body: 'task 10' }]);
  assert.deepEqual((await second).rows, [{ one: 1 }]);
  await db.end();
});

test('a driver with a time-out of its own asks for retry: refused at once, and once approved it runs once', async () => {
  const db = driver({ options: '-c sluice.approval=retry' });
  await db.connect();
  const text = 'delete from tasks where id = $1';
  const refusal = await db.query(text, [11]).then(
    () => assert.fail('it ran'),
    (error: pg.DatabaseError) => error,
  );
  assert.equal(refusal.code, '42501');
  const id = /request (\S+)/.exec(refusal.message)?.[1] ?? '';
  await stage.access.approvals.decide(id, approver('grace'), 'approve', '');
  await assert.rejects(db.query(text, [12]), { code: '42501' });
  const results = await Promise.allSettled([db.query(text, [11]), db.query(text, [11])]);
  assert.deepEqual(
    results.map((result) => result.status),
    ['fulfilled', 'rejected'],
  );
  assert.equal(await rows('id in (11, 12)'), 1);
  await db.end();
});

test('of two sessions that send what was approved once, one runs', async () => {
  const [a, b] = [driver({ options: '-c sluice.approval=retry' }), driver({ options: '-c sluice.approval=retry' })];
  await Promise.all([a.connect(), b.connect()]);
  const text = 'delete from tasks where id = 13';
  const refusal = await a.query(text).catch((error: Error) => error);
  const id = /request (\S+)/.exec(refusal instanceof Error ? refusal.message : '')?.[1] ?? '';
  await stage.access.approvals.decide(id, approver('grace'), 'approve', '');
  const results = await Promise.allSettled([a.query(text), b.query(text)]);
  assert.deepEqual(results.map((result) => result.status).sort(), ['fulfilled', 'rejected']);
  await Promise.all([a.end(), b.end()]);
});
