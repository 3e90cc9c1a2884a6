import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { startPostgres } from './postgres.ts';

test('starts PostgreSQL 18, asks for the password over TCP, restarts, and leaves nothing behind', async () => {
  const server = await startPostgres();
  const { pid, dir } = server;
  assert.equal(server.version, '18');
  const [row] = (await server.sql('show server_version'))[0]?.rows ?? [];
  assert.match(row.server_version, /^18\./);
  const wrong = new pg.Client({ host: server.host, port: server.port, user: 'postgres', password: 'wrong', database: 'postgres' });
  await assert.rejects(wrong.connect(), /password authentication failed/);
  await server.sql('create table kept(a int); insert into kept values (7)');
  await server.restart();
  assert.notEqual(server.pid, pid);
  assert.equal((await server.sql('select a from kept'))[0]?.rows[0].a, 7);
  await server.stop();
  assert.throws(() => process.kill(server.pid, 0), { code: 'ESRCH' });
  assert.equal(existsSync(dir), false);
});

test('serves TLS with a certificate that verifies against its own CA', async () => {
  const server = await startPostgres({ tlsOnly: true });
  try {
    const login = { host: 'localhost', port: server.port, user: 'postgres', password: server.password, database: 'postgres' };
    const client = new pg.Client({ ...login, ssl: { ca: server.certificates?.ca ?? '' } });
    await client.connect();
    const { rows } = await client.query('select ssl, version from pg_stat_ssl where pid = pg_backend_pid()');
    assert.equal(rows[0].ssl, true);
    await client.end();
    await assert.rejects(new pg.Client(login).connect(), /no pg_hba.conf entry/);
  } finally {
    await server.stop();
  }
});

test('the server ends when the process that started it is killed', async () => {
  const support = new URL('./postgres.ts', import.meta.url);
  const script = `const { startPostgres } = await import(${JSON.stringify(support.href)});
    const server = await startPostgres(); console.log(server.pid, server.dir); setInterval(() => {}, 1000);`;
  const starter = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await new Promise<[string]>((resolve) => createInterface(starter.stdout).once('line', (text) => resolve([text])));
  const [pid = '', dir = ''] = line.split(' ');
  process.kill(Number(pid), 0);
  starter.kill('SIGKILL');
  const deadline = Date.now() + 15_000;
  while (existsSync(dir) && Date.now() < deadline) await delay(20);
  assert.equal(existsSync(dir), false);
  assert.throws(() => process.kill(Number(pid), 0), { code: 'ESRCH' });
});
