import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';

const resources = [
  { name: 'payments', kind: 'postgres', address: '127.0.0.1:1', tls: 'disable', accounts: { ro: { user: 'u', password: 'env:PW' } } },
];

test('a gateway started twice says that its address is taken, and leaves no chain behind', async () => {
  const gateway = await startGateway({ resources, env: { PW: 'x' } });
  try {
    const second = gateway.sluice('gateway', '--config', gateway.config);
    assert.equal(second.status, 1);
    assert.match(second.stderr, new RegExp(`^cannot listen on 127\\.0\\.0\\.1:${gateway.port}: .*EADDRINUSE`, 'm'));
    assert.deepEqual(readdirSync(gateway.recordDir), ['gw-1-1']);
  } finally {
    await gateway.stop();
  }
});

test('SIGHUP has the policies read anew and does not end the gateway, SIGTERM does', async () => {
  const gateway = await startGateway({ resources, env: { PW: 'x' } });
  try {
    process.kill(gateway.pid, 'SIGHUP');
    // The log is another process's: it shows when it is written.
    while (!gateway.log().includes('policies unchanged')) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await gateway.kill('SIGTERM'), 0);
  } finally {
    await gateway.stop();
  }
});
