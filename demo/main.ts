import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { optionsOf } from '../scripts/usage.ts';
import { ApiClient } from '../src/cli/api-client.ts';
import { type Gateway, startGateway } from '../test/support/gateway.ts';
import { type Postgres, startPostgres } from '../test/support/postgres.ts';
import { Wire } from '../test/support/wire.ts';
import { filesBelow, leaks, recordLines } from './evidence.ts';
import { type Seeded, seedPayments } from './seed.ts';
import { type Stage, type Step, steps } from './session.ts';
import { cut, failed, note, passed, print, title } from './terminal.ts';

/**
 * Everything in one place: a PostgreSQL server with a seeded payments database, the gateway before it, and a session that
 * shows and checks what the gateway does. `--once` exits when it is through: 0 only when every step behaved.
 */
const usage = `
usage: npm run demo [-- --once]

Starts a PostgreSQL with a seeded payments database and the gateway before it, plays a session that shows and checks what
the gateway does, and stays up until Ctrl-C.

  --once   ends when the session is through; the exit code is 0 only when every step behaved
`;
const { once } = optionsOf({ name: 'demo', usage, options: { once: { type: 'boolean', default: false } } });
const user = 'ada';
/** With dba: nobody approves their own, whatever groups they are in. */
const groups = ['analysts', 'developers', 'dba'];
/** Somebody whom deploy/policies/50-approvals.cedar asks. */
const approver = { name: 'grace', groups: ['dba'] };

const server = await startPostgres();
const seeded = await seedPayments(server.superuser);
const gateway = await startGateway({
  api: true,
  resources: [
    {
      name: 'payments',
      kind: 'postgres',
      address: `${server.host}:${server.port}`,
      database: seeded.database,
      tls: 'disable',
      accounts: {
        'read-only': { user: seeded.accounts.readOnly.user, password: 'env:DEMO_READ_ONLY' },
        'read-write': { user: seeded.accounts.readWrite.user, password: 'env:DEMO_READ_WRITE' },
      },
      protect: { columns: { 'public.cards.pan': 'pan', 'public.cards.cvv': 'sad' } },
    },
  ],
  env: { DEMO_READ_ONLY: seeded.accounts.readOnly.password, DEMO_READ_WRITE: seeded.accounts.readWrite.password },
});
const token = gateway.token(user, groups, '8h');
/** The same person as a reader alone: whoever may write is asked for an approval before a whole protected table leaves. */
const readerToken = gateway.token(user, ['analysts'], '8h');
const approverToken = gateway.token(approver.name, approver.groups, '8h');

const [version] = (await server.sql('show server_version'))[0]?.rows ?? [];
print(
  `PostgreSQL ${version.server_version} on ${server.host}:${server.port} with ${seeded.cards.length.toLocaleString('en')} card numbers; gateway on 127.0.0.1:${gateway.port}, API at ${gateway.apiUrl}`,
);

const misbehaved = await play(server, gateway, seeded).catch((error: unknown) => {
  failed(error instanceof Error ? error.message : String(error));
  return ['the log-ins'];
});

if (once) {
  await end();
  print(misbehaved.length === 0 ? '\nEvery step behaved.' : `\nMisbehaved: ${misbehaved.join('; ')}`);
  process.exit(misbehaved.length === 0 ? 0 : 1);
}

title('Try it');
const login = `port=${gateway.port} dbname=payments sslmode=require`;
print(`   PGPASSWORD='${token}' psql 'host=127.0.0.1 ${login} user=${user}+read-write'`);
note(`${user} may read and write: for example, update cards set holder = lower(holder)`);
print(`\n   export SLUICE_URL=${gateway.apiUrl} SLUICE_CA=${gateway.caFile} SLUICE_TOKEN='${approverToken}'`);
print('   npm run -s sluice -- approvals ls');
note(`in a second terminal, as ${approver.name}: then approvals approve ID, or approvals deny ID --reason TEXT`);
note(`record: ${gateway.recordDir}`);
note('Ctrl-C ends the demo and removes everything');
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    void end().then(() => process.exit(0));
  });
}
// Stays up: nothing else keeps the process alive.
setInterval(() => {}, 1 << 30);

/** Plays the session and returns the titles of the steps that misbehaved. */
async function play(postgres: Postgres, gate: Gateway, data: Seeded): Promise<string[]> {
  const pans = new Set(data.cards.map((card) => card.pan));
  const { user: account, password } = data.accounts.readOnly;
  const direct = await within(Wire.connect({ port: postgres.port, user: account, password, database: data.database }), 'the direct log-in');
  const through = (name: string, secret: string): Promise<Wire> =>
    within(
      Wire.connect({ port: gate.port, tls: 'ssl-request', user: name, password: secret, database: 'payments' }),
      `the log-in as ${name}`,
    );
  const reader = await through(user, readerToken);
  const writer = await through(`${user}+read-write`, token);
  const api = (secret: string): ApiClient => new ApiClient(gate.apiUrl, secret, gate.caFile);
  const requesting = { name: user, api: api(token) };
  const approving = { name: approver.name, api: api(approverToken) };
  const stage: Stage = { direct, reader, writer, requester: requesting, approver: approving, seeded: data, pans };
  const closing: Step = {
    title: 'The record it left',
    async run() {
      await Promise.all([direct.end(), reader.end(), writer.end()]);
      return showRecord(gate, pans);
    },
  };
  const wrong: string[] = [];
  for (const [index, step] of [...steps, closing].entries()) {
    title(`${index + 1}. ${step.title}`);
    try {
      passed(await within(step.run(stage), 'the step'));
    } catch (error) {
      failed(error instanceof Error ? error.message : String(error));
      wrong.push(`${index + 1}. ${step.title}`);
    }
  }
  return wrong;
}

async function showRecord(gate: Gateway, pans: ReadonlySet<string>): Promise<string> {
  const lines = recordLines(gate.recordDir);
  note('each line also holds v, prev, t and sid; reply bytes and long lines are cut here');
  for (const { v: _v, s: _s, prev: _prev, t: _t, sid: _sid, seq, type, ...rest } of lines) {
    print(`   ${String(seq).padStart(2)} ${type.padEnd(10)} ${cut(JSON.stringify(rest, short), 140)}`);
  }

  const types = new Set(lines.map((line) => line.type));
  for (const type of ['auth', 'intent', 'result', 'deny', 'approval']) assert.ok(types.has(type), `no line of type ${type}`);
  for (const file of filesBelow(gate.dir)) {
    assert.deepEqual(leaks(readFileSync(file), pans), [], `card numbers in ${relative(gate.dir, file)}`);
  }
  const verified = gate.sluice('verify', gate.recordDir);
  print(`   ${verified.stdout.trim().replaceAll('\n', '\n   ')}`);
  assert.equal(verified.status, 0, `sluice verify: ${verified.stderr}`);
  assert.notEqual(verifyTampered(gate), 0, 'a copy with one character changed was verified as well');
  return `the record verifies, a copy with one character changed refused; no card number in any file the gateway wrote`;
}

/** Fails, instead of waiting for ever, what a broken gateway would leave without an answer. */
async function within<T>(running: Promise<T>, what: string): Promise<T> {
  const limit = new AbortController();
  const late = delay(30_000, null, { signal: limit.signal }).then(() => {
    throw new Error(`${what} had no answer within 30 s`);
  });
  try {
    return await Promise.race([running, late]);
  } finally {
    late.catch(() => {});
    limit.abort();
  }
}

function short(key: string, value: unknown): unknown {
  return key === 'data' && typeof value === 'string' ? cut(value, 24) : value;
}

/** The exit code of verify on a copy of the record in which one character of one line is another. */
function verifyTampered(gate: Gateway): number | null {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-tampered-'));
  try {
    cpSync(gate.recordDir, folder, { recursive: true });
    const file = filesBelow(folder).find((path) => path.endsWith('.jsonl') && readFileSync(path, 'utf8').includes('drop table cards'));
    assert.ok(file !== undefined, 'the denied statement is not in the record');
    writeFileSync(file, readFileSync(file, 'utf8').replace('drop table cards', 'drop table cardz'));
    return gate.sluice('verify', folder).status;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function end(): Promise<void> {
  const code = await gateway.stop();
  await server.stop();
  if (code !== 0) {
    failed(`the gateway ended with ${code} on SIGTERM`);
    misbehaved.push('drain');
  }
}
