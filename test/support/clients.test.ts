import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { type ClientName, requireClient } from './clients.ts';

for (const name of ['psql', 'pgbench', 'pg_dump', 'pgbouncer', 'postgres-15', 'openssl'] satisfies ClientName[]) {
  const client = requireClient(name);
  test(`${name} runs`, { skip: client.skip ?? false }, () => {
    const { status, stdout } = spawnSync(client.path ?? '', [name === 'openssl' ? 'version' : '--version'], { encoding: 'utf8' });
    assert.equal(status, 0);
    assert.match(stdout, /\d+\.\d+/);
  });
}

const python = requireClient('asyncpg');
test('asyncpg can be imported', { skip: python.skip ?? false }, () => {
  const { stdout } = spawnSync(python.path ?? '', ['-c', 'import asyncpg; print(asyncpg.__version__)'], { encoding: 'utf8' });
  assert.match(stdout, /^\d+\.\d+/);
});
