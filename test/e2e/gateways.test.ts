import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import type { LiveEvent } from '../../src/access/model.ts';
import { requireClient } from '../support/clients.ts';
import { type Gateway, startGateway } from '../support/gateway.ts';
import { paymentsResource, type RecordLine, readRecord, type Stage, startStage } from '../support/stage.ts';

/** Two gateways in processes of their own, over one control store, as they run: psql on one, the approver on the other. */
const client = requireClient('psql');
const options = { skip: client.skip ?? false };
const storeKey = Buffer.alloc(32, 7).toString('base64');
const env = { SLUICE_STORE_KEY: storeKey, HOOK_KEY: 'shared key of the hook' };
let stage: Stage;
let second: Gateway;
let hook: Server;
const told: { readonly signed: boolean; readonly event: LiveEvent; readonly link: string }[] = [];
let onTold: (() => void) | null = null;

before(async () => {
  hook = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts).toString('utf8');
      const [, at = '', signature = ''] = /^t=(\d+),v1=(.*)$/.exec(String(request.headers['sluice-signature'])) ?? [];
      const signed = createHmac('sha256', env.HOOK_KEY).update(`${at}.${body}`).digest('hex') === signature;
      const { event, blocks } = JSON.parse(body) as { event: LiveEvent; blocks: { elements?: { url: string }[] }[] };
      told.push({ signed, event, link: blocks[1]?.elements?.[0]?.url ?? '' });
      onTold?.();
      response.end();
    });
  });
  hook.listen(0, '127.0.0.1');
  await once(hook, 'listening');
  const webhook = { url: `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`, secret: 'env:HOOK_KEY' };
  stage = await startStage();
  await stage.gateway.stop();
  await stage.server.sql('create database control');
  const { port, password } = stage.server;
  const gateway = (name: string): Promise<Gateway> =>
    startGateway({
      plaintext: true,
      api: true,
      env: { ...env, CONTROL: `postgres://postgres:${password}@127.0.0.1:${port}/control` },
      resources: [paymentsResource(stage.server, stage.seeded)],
      sections: {
        gateway: { name, data_dir: './var' },
        store: 'env:CONTROL',
        access: { approvals: { timeout: '10m', webhook }, alerts: { webhook: { ...webhook }, denials: 3 } },
      },
    });
  // Both begin the same new store.
  [first, second] = await Promise.all([gateway('gw-1'), gateway('gw-2')]);
  setDefaultCACertificates([...getCACertificates('default'), readFileSync(first.caFile, 'utf8'), readFileSync(second.caFile, 'utf8')]);
});
let first: Gateway;

after(async () => {
  await first?.stop();
  await second?.stop();
  await stage?.server.stop();
  hook.close();
});

/** psql with one command, through the first gateway unless told otherwise. */
class Psql {
  readonly child: ChildProcess;
  readonly closed: Promise<unknown>;
  out = '';
  #waiter: (() => void) | null = null;

  constructor(command: string, user = 'dev', reason = '', gateway = first, token = first.token(user, ['developers'])) {
    this.child = spawn(client.path ?? '', ['-X', '-At', '-c', command], {
      env: {
        PATH: process.env['PATH'],
        PGHOST: '127.0.0.1',
        PGPORT: String(gateway.port),
        PGUSER: `${user}+read-write`,
        PGPASSWORD: token,
        PGDATABASE: 'payments',
        PGSSLMODE: 'disable',
        PGOPTIONS: reason === '' ? '' : `-c sluice.reason=${reason}`,
      },
    });
    const take = (chunk: Buffer): void => {
      this.out += chunk.toString('utf8');
      this.#waiter?.();
    };
    this.child.stdout?.on('data', take);
    this.child.stderr?.on('data', take);
    this.closed = once(this.child, 'close');
  }

  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.out);
      if (found !== null) return found;
      await Promise.race([
        new Promise<void>((resolve) => {
          this.#waiter = resolve;
        }),
        this.closed.then(() => {
          if (!pattern.test(this.out)) throw new Error(`psql ended with: ${this.out}`);
        }),
      ]);
    }
  }
}

async function call(
  gateway: Gateway,
  token: string,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${gateway.apiUrl}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

async function toldOf(wanted: (event: LiveEvent) => boolean): Promise<(typeof told)[number]> {
  for (;;) {
    const found = told.find(({ event }) => wanted(event));
    if (found !== undefined) return found;
    await new Promise<void>((resolve) => {
      onTold = resolve;
    });
  }
}

/** The first such line of the first gateway's record, once it is there: another process writes it. */
async function recorded(wanted: (line: RecordLine) => boolean, gateway = first): Promise<RecordLine> {
  for (;;) {
    const found = readRecord(gateway.recordDir).find(wanted);
    if (found !== undefined) return found;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const orders = async (): Promise<number> => Number((await stage.server.sql('select count(*) from orders', 'payments'))[0]?.rows[0]?.count);

test('what one gateway holds is approved through the other, and the hook was told where to decide', options, async () => {
  const before = await orders();
  const psql = new Psql('update orders set status = status', 'dev', 'OPS-12');
  const [, id = ''] = await psql.prints(/request (\S+)/);
  const message = await toldOf((event) => event.type === 'approval' && event.detail['id'] === id && event.detail['reason'] === 'OPS-12');
  assert.equal(message.signed, true);
  assert.equal(message.link, `${first.apiUrl}/approvals/${id}`);
  const answer = await call(second, second.token('dora', ['dba']), 'POST', `/api/v1/approvals/${id}/decision`, {
    decision: 'approve',
    reason: 'OPS-12',
  });
  assert.equal(answer.status, 200);
  await psql.closed;
  assert.match(psql.out, new RegExp(`UPDATE ${before}\\n$`));
  // Nobody waits for a result to be on disk: it comes a moment later.
  const intent = await recorded((line) => line.type === 'intent' && line['approval'] === id);
  const result = await recorded((line) => line.type === 'result' && line['intent'] === intent.seq);
  assert.equal(result['tag'], `UPDATE ${before}`);
  // Each gateway has recorded its part.
  assert.deepEqual(
    readRecord(second.recordDir)
      .filter((line) => line.type === 'approval')
      .map((line) => [line['event'], line['request']]),
    [['vote', id]],
  );
});

test('nobody approves through the other gateway what they asked for at the first', options, async () => {
  const psql = new Psql('update orders set status = status', 'dora');
  const [, id = ''] = await psql.prints(/request (\S+)/);
  // Another gateway's token: another issuer, the same name.
  const answer = await call(second, second.token('dora', ['dba']), 'POST', `/api/v1/approvals/${id}/decision`, {
    decision: 'approve',
    reason: 'mine',
  });
  assert.equal(answer.status, 403);
  psql.child.kill('SIGINT');
  await psql.closed;
  assert.match(psql.out, /canceling statement due to user request/);
});

test('a gateway that is restarted while something waits: an error for the client, and nothing ran', options, async () => {
  const before = await orders();
  const psql = new Psql('delete from orders');
  const [, id = ''] = await psql.prints(/request (\S+)/);
  await first.kill('SIGKILL');
  await psql.closed;
  assert.match(psql.out, /server closed the connection unexpectedly|connection to server was lost/);
  await first.start();
  assert.equal(await orders(), before);
  const dba = second.token('dora', ['dba']);
  const { body } = await call(second, dba, 'GET', `/api/v1/approvals/${id}`);
  assert.equal((body as { state: string }).state, 'lost');
  assert.equal((await call(second, dba, 'POST', `/api/v1/approvals/${id}/decision`, { decision: 'approve', reason: 'late' })).status, 409);
  assert.equal(await orders(), before);
});

test('a session is ended, and a user revoked, through the other gateway', options, async () => {
  const admin = second.token('root', ['admins']);
  const psql = new Psql("select 'up', pg_sleep(60)");
  const { sid: id } = await recorded((line) => line.type === 'intent' && String(line['text']).includes("'up'"));
  const killed = await call(second, admin, 'POST', `/api/v1/sessions/${id}/kill`, { reason: 'test' });
  assert.equal(killed.status, 200);
  await psql.closed;
  assert.match(psql.out, /the session was ended by root: test/);

  const other = new Psql("select 'again', pg_sleep(60)", 'mallory');
  await other.prints(/^/);
  await recorded((line) => line.type === 'intent' && String(line['text']).includes("'again'"));
  const revoked = await call(second, admin, 'POST', '/api/v1/users/revoke', { name: 'mallory', issuer: 'gw-1', reason: 'left' });
  assert.equal(revoked.status, 200);
  await other.closed;
  assert.match(other.out, /FATAL:.*revoked/);
  const again = new Psql('select 1', 'mallory');
  await again.closed;
  assert.match(again.out, /FATAL/);
});

test('a token of one gateway is good at the other, until it or its user is revoked', options, async () => {
  const said = async (gateway: Gateway, token: string): Promise<string> => {
    const psql = new Psql("select 'in'", 'ivy', '', gateway, token);
    await psql.closed;
    return psql.out;
  };
  const admin = first.token('root', ['admins']);
  const local = first.token('ivy', ['developers', 'admins']);
  assert.equal(await said(second, local), 'in\n');
  // One that the first gateway's API made, as at the end of a log-in.
  const { status, body } = await call(first, local, 'POST', '/api/v1/tokens', {});
  assert.equal(status, 201, JSON.stringify(body));
  const { token, id } = body as { token: string; id: string };
  assert.equal(await said(second, token), 'in\n');
  const other = (await call(first, local, 'POST', '/api/v1/tokens', { audience: 'api' })).body as { token: string };
  assert.equal((await call(second, other.token, 'GET', '/api/v1/whoami')).status, 200);
  assert.equal((await call(second, token, 'GET', '/api/v1/whoami')).status, 401, 'one for connections is good for them alone');
  assert.equal((await call(first, admin, 'POST', `/api/v1/tokens/${id}/revoke`, { reason: 'lost' })).status, 200);
  assert.match(await said(second, token), /FATAL/);
  assert.equal(await said(second, local), 'in\n');
  assert.equal((await call(first, admin, 'POST', '/api/v1/users/revoke', { name: 'ivy', issuer: 'gw-1', reason: 'left' })).status, 200);
  for (const gateway of [first, second]) assert.match(await said(gateway, local), /FATAL/);
});

test('a user revoked by name is out at every gateway, with the tokens of every command line', options, async () => {
  const admin = first.token('root', ['admins']);
  const tokens = [first.token('yan', ['developers']), second.token('yan', ['developers'])];
  const change = async (what: 'revoke' | 'restore'): Promise<void> => {
    const { status, body } = await call(first, admin, 'POST', `/api/v1/users/${what}`, { name: 'yan', reason: 'test' });
    assert.deepEqual([status, body], [200, { done: true, name: 'yan', issuers: ['gw-1', 'gw-2'] }]);
  };
  // Known by a session at the other gateway, and by nothing else.
  const there = new Psql("select 'there', pg_sleep(60)", 'yan', '', second, tokens[1]);
  await recorded((line) => line.type === 'intent' && String(line['text']).includes("'there'"), second);
  await change('revoke');
  await there.closed;
  assert.match(there.out, /FATAL:.*revoked/);
  for (const gateway of [first, second])
    for (const token of tokens) assert.equal((await call(gateway, token, 'GET', '/api/v1/whoami')).status, 401);
  await change('restore');
  // What was given out before stays ended.
  assert.equal((await call(second, tokens[1] ?? '', 'GET', '/api/v1/whoami')).status, 401);
  const { revocations } = (await call(first, admin, 'GET', '/api/v1/revocations')).body as { revocations: readonly { id: string }[] };
  assert.deepEqual(
    revocations.filter(({ id }) => id.endsWith(' yan')),
    [],
  );
});

test('sessions and alerts of one gateway are seen at the other, and a session is killed for its own resource', options, async () => {
  const watcher = second.token('sam', ['security']);
  const psql = new Psql("select 'seen', pg_sleep(60)", 'vera');
  const { sid } = await recorded((line) => line.type === 'intent' && String(line['text']).includes("'seen'"));
  type Shown = {
    readonly sessions: readonly { readonly sid: string; readonly gateway: string; readonly user: string }[];
    readonly complete: boolean;
  };
  const shown = async (token: string): Promise<Shown> => (await call(second, token, 'GET', '/api/v1/sessions')).body as Shown;
  const { sessions, complete } = await shown(watcher);
  assert.equal(complete, true);
  assert.deepEqual(
    sessions.filter((session) => session.sid === sid).map(({ gateway, user }) => [gateway, user]),
    [['gw-1', 'vera']],
  );
  // Whose it is sees it and ends it from anywhere, and nobody else without the right.
  assert.deepEqual((await shown(second.token('other', ['developers']))).sessions, []);
  const own = first.token('vera', ['developers']);
  assert.deepEqual(
    (await shown(own)).sessions.map((session) => session.sid),
    [sid],
  );
  const end = async (token: string): Promise<number> =>
    (await call(second, token, 'POST', `/api/v1/sessions/${sid}/kill`, { reason: 'done' })).status;
  assert.equal(await end(second.token('other', ['developers'])), 403);
  assert.equal(await end(own), 200);
  await psql.closed;
  assert.match(psql.out, /the session was ended by vera: done/);
});

test('a gateway that starts with another key: its new tokens are good at the other, the old ones nowhere', options, async () => {
  const old = second.token('root', ['admins']);
  assert.equal((await call(first, old, 'GET', '/api/v1/whoami')).status, 200);
  await second.kill('SIGTERM');
  rmSync(join(second.dir, 'var', 'keys', 'token.key'));
  await second.start();
  assert.equal((await call(first, second.token('root', ['admins']), 'GET', '/api/v1/whoami')).status, 200);
  for (const gateway of [first, second]) assert.equal((await call(gateway, old, 'GET', '/api/v1/whoami')).status, 401);
});

test('a burst of denials raises an alert that names the lines', options, async () => {
  const psql = new Psql('select 1');
  await psql.closed;
  for (let i = 0; i < 3; i++) await new Psql('drop table orders', 'eve').closed;
  const { event, signed } = await toldOf((one) => one.type === 'alert' && one.detail['rule'] === 'denials');
  assert.equal(signed, true);
  assert.equal(event.user, 'eve');
  const lines = event.detail['lines'] as readonly string[];
  const named = await Promise.all(lines.map((name) => recorded((line) => `${line.sid}:${line.seq}` === name)));
  assert.deepEqual(
    named.map((line) => line.type),
    ['deny', 'deny', 'deny'],
  );
  assert.equal((await recorded((line) => line.seq === event.line))['event'], 'alert');
  const { body } = await call(second, second.token('sam', ['security']), 'GET', '/api/v1/alerts');
  const { alerts } = body as { readonly alerts: readonly LiveEvent[] };
  assert.ok(alerts.some(({ gateway, line }) => gateway === 'gw-1' && line === event.line));
});

test('the records of both verify', options, () => {
  for (const gateway of [first, second]) {
    const { status, stdout, stderr } = gateway.sluice('verify', gateway.recordDir);
    assert.equal(status, 0, stdout + stderr);
  }
});
