import assert from 'node:assert/strict';
import { test } from 'node:test';

import { clientAddress } from './client-address.ts';

const behind = clientAddress([
  { address: '10.0.0.0', prefix: 8, family: 'ipv4' },
  { address: '2001:db8::', prefix: 32, family: 'ipv6' },
]);

test('without trusted proxies nobody is believed', () => {
  assert.equal(clientAddress([])('10.0.0.1', '192.0.2.7'), '10.0.0.1');
  assert.equal(behind('192.0.2.1', '192.0.2.7'), '192.0.2.1', 'nor anybody but the proxies');
});

test('the client is the last that no trusted proxy is', () => {
  assert.equal(behind('10.0.0.1', '192.0.2.7'), '192.0.2.7');
  assert.equal(behind('10.0.0.1', '198.51.100.1, 192.0.2.7, 10.1.2.3'), '192.0.2.7', 'what stands before it may be made up');
  assert.equal(behind('10.0.0.1', '10.9.9.9, 10.1.2.3'), '10.9.9.9', 'a client among the proxies');
  assert.equal(behind('10.0.0.1', ''), '10.0.0.1');
});

test('IPv6, IPv4 within it, and ports are understood; what is no address is not', () => {
  assert.equal(behind('0000:0000:0000:0000:0000:ffff:0a00:0001', '192.0.2.7'), '192.0.2.7');
  assert.equal(behind('2001:0db8:0000:0000:0000:0000:0000:0001', '2A00:0::1'), '2a00::1');
  assert.equal(behind('10.0.0.1', '::ffff:192.0.2.7'), '192.0.2.7');
  assert.equal(behind('10.0.0.1', '[2a00::1]:4711'), '2a00::1');
  assert.equal(behind('10.0.0.1', '192.0.2.7:4711'), '192.0.2.7');
  for (const odd of ['unknown', '_hidden', '192.0.2', '192.0.2.7\u00001', ',', '192.0.2.7, '])
    assert.equal(behind('10.0.0.1', odd), '10.0.0.1', odd);
});
