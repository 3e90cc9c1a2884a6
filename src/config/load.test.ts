import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { GatewayError } from '../errors.ts';
import { loadConfig, parseConfig } from './load.ts';

const kind = 'database';
const defaultPort = 5000;
const protocols = new Map([[kind, { defaultPort }]]);

const minimal = `gateway: { name: gw-1 }
listeners: { ${kind}: 127.0.0.1:6543 }
policies: ./policies
resources:
  - name: payments
    kind: ${kind}
    address: 127.0.0.1
    accounts:
      read-only: { user: app_ro, password: env:PAYMENTS_RO }
      read-write: { user: app_rw, password: file:rw.secret }
`;

function problems(text: string, env?: Record<string, string>): string[] {
  try {
    parseConfig(text, '/etc/sluice/sluice.yaml', env === undefined ? { protocols } : { protocols, env });
  } catch (error) {
    assert.ok(error instanceof GatewayError);
    assert.equal(error.code, 'config_invalid');
    return error.publicMessage.split('\n');
  }
  return [];
}

test('a minimal file gets every default', () => {
  const { config, warnings } = parseConfig(minimal, '/etc/sluice/sluice.yaml', { protocols });
  assert.deepEqual(warnings, []);
  assert.deepEqual(config.gateway, { name: 'gw-1', dataDir: '/etc/sluice/var' });
  assert.deepEqual(config.listeners, { [kind]: { host: '127.0.0.1', port: 6543 } });
  assert.equal(config.tls, null);
  assert.equal(config.allowPlaintextLoopback, false);
  assert.deepEqual(config.workers, { count: 'auto', dispatch: 'auto' });
  assert.deepEqual(config.recording, {
    durability: 'durable',
    output: 'full',
    retentionDays: 400,
    segmentBytes: 64 * 2 ** 20,
    checkpointSeconds: 60,
  });
  assert.deepEqual(config.masking, { keepLast: 4, keepFirst: 0, optIn: [], patterns: [] });
  assert.equal(config.limits.statementBytes, 8 * 2 ** 20);
  assert.equal(config.policies, '/etc/sluice/policies');
  const [resource] = config.resources;
  assert.equal(resource?.port, defaultPort);
  assert.equal(resource?.database, 'payments');
  assert.equal(resource?.tls, 'verify-full');
  assert.deepEqual([...(resource?.accounts.keys() ?? [])], ['read-only', 'read-write']);
});

test('every part can be set', () => {
  const { config } = parseConfig(
    `${minimal.replace('gw-1 }', 'gw-1, data_dir: /data }').replace('address: 127.0.0.1\n', "address: '[::1]:7000'\n    database: pay\n    tls: disable\n    ca: ca.pem\n    protect:\n      columns: { public.cards.pan: pan, public.cards.cvv: sad }\n")}
tls: { cert: a.crt, key: /k/a.key, plaintext_loopback: true }
workers: { count: 4, dispatch: pool }
recording: { durability: buffered, output: none, retention_days: 7, segment_bytes: 1MB, checkpoint_seconds: 5, archive: null }
masking:
  keep_last: 0
  keep_first: 6
  opt_in: [uatp]
  patterns: [{ id: iban, regex: 'DE\\d{20}', keep_last: 2 }]
limits: { statement_bytes: 64 kB, message_bytes: 1048576, bind_bytes: 0, sessions: 10, login_seconds: 3, pending_logins: 20 }
store: embedded
identity: { oidc: [], saml: [] }
`,
    '/etc/sluice/sluice.yaml',
    { protocols },
  );
  assert.equal(config.gateway.dataDir, '/data');
  assert.deepEqual(config.tls, { cert: '/etc/sluice/a.crt', key: '/k/a.key' });
  assert.equal(config.allowPlaintextLoopback, true);
  assert.deepEqual(config.workers, { count: 4, dispatch: 'pool' });
  assert.equal(config.recording.segmentBytes, 2 ** 20);
  assert.deepEqual(config.masking, {
    keepLast: 0,
    keepFirst: 6,
    optIn: ['uatp'],
    patterns: [{ id: 'iban', regex: 'DE\\d{20}', keepLast: 2 }],
  });
  assert.equal(config.limits.statementBytes, 65_536);
  const [resource] = config.resources;
  assert.deepEqual([resource?.host, resource?.port, resource?.database, resource?.ca], ['::1', 7000, 'pay', '/etc/sluice/ca.pem']);
  assert.deepEqual(
    [...(resource?.protect ?? [])],
    [
      ['public.cards.pan', 'pan'],
      ['public.cards.cvv', 'sad'],
    ],
  );
});

test('a wrong value is reported where it stands, with what to write', () => {
  assert.deepEqual(problems(minimal.replace('address:', 'tls: verfy-full\n    address:')), [
    'sluice.yaml:7:10: resources[0].tls: "verfy-full" is not one of verify-full, require, disable; write tls: verify-full',
  ]);
});

test('an unknown key names the nearest known one', () => {
  assert.deepEqual(problems(`${minimal}recordng: {}\n`), ['sluice.yaml:11:1: recordng: unknown key; write recording']);
  assert.deepEqual(problems(minimal.replace('gw-1 }', 'gw-1, zzzzzzz: 1 }')), [
    'sluice.yaml:1:24: gateway.zzzzzzz: unknown key; known keys are name, data_dir',
  ]);
});

test('a duplicate key and an alias hide nothing else', () => {
  assert.deepEqual(problems(`${minimal.replace('{ name: gw-1 }', '&a { name: gw-1 }')}tls: *a\nlimits: { sessions: many }\nlimits: {}\n`), [
    'sluice.yaml:11:6: an alias cannot be used here; write the value itself',
    'sluice.yaml:12:21: limits.sessions: "many" is not a whole number; write 1 to 1000000, e.g. 1000',
    'sluice.yaml:13:1: Map keys must be unique; write it once',
  ]);
});

test('all problems are reported at once, in the order of the file', () => {
  const found = problems(`gateway: { data_dir: ./var }
listeners: { gopher: 127.0.0.1:70, ${kind}: nonsense }
policies: ./policies
limits: { statement_bytes: lots, sessions: 0 }
workers: { count: 0 }
resources:
  - { name: a+b, kind: ${kind}x, address: 'h:99999', accounts: {} }
  - { name: ok, kind: ${kind}, address: h, accounts: { 'a/b': { user: u } }, protect: { columns: { pan: pan } } }
  - { name: ok, kind: ${kind}, address: h, accounts: { a: { user: u, password: env:X } } }
`);
  assert.deepEqual(
    found.map((line) => line.split(': ').slice(0, 2).join(': ')),
    [
      'sluice.yaml:1:10: gateway',
      'sluice.yaml:2:14: listeners.gopher',
      `sluice.yaml:2:${38 + kind.length}: listeners.${kind}`,
      'sluice.yaml:4:28: limits.statement_bytes',
      'sluice.yaml:4:44: limits.sessions',
      'sluice.yaml:5:19: workers.count',
      'sluice.yaml:7:13: resources[0].name',
      'sluice.yaml:7:24: resources[0].kind',
      `sluice.yaml:7:${36 + kind.length}: resources[0].address`,
      `sluice.yaml:7:${57 + kind.length}: resources[0].accounts`,
      `sluice.yaml:8:${49 + kind.length}: resources[1].accounts.a/b`,
      `sluice.yaml:8:${56 + kind.length}: resources[1].accounts.a/b`,
      `sluice.yaml:8:${93 + kind.length}: resources[1].protect.columns.pan`,
      'sluice.yaml:9:5: resources[2]',
    ],
  );
  assert.match(found[7] ?? '', new RegExp(`write ${kind}$`));
});

test('what is not YAML, has a key twice or uses aliases is refused', () => {
  assert.match(problems('gateway: { name: gw-1\nlisteners: [')[0] ?? '', /^sluice\.yaml:\d+:\d+: /);
  assert.match(problems(`${minimal}policies: ./other\n`)[0] ?? '', /^sluice\.yaml:11:1: .*unique/);
  assert.deepEqual(problems(minimal.replace('{ name: gw-1 }', '&a { name: gw-1 }').concat('tls: *a\n')), [
    'sluice.yaml:11:6: an alias cannot be used here; write the value itself',
  ]);
  assert.deepEqual(
    problems('').map((line) => line.replace('sluice.yaml:1:1: ', '')),
    ['gateway is missing', 'listeners is missing', 'policies is missing', 'resources is missing'],
  );
  assert.equal(problems('- a')[0], 'sluice.yaml:1:1: is not a mapping; write key: value lines');
});

test('what is not YAML is refused with advice, once', () => {
  for (const [text, expected] of [
    ['a: b: c', /^sluice\.yaml:1:4: Nested mappings .*; indent this line .*"quotes"$/],
    ['a:\n\t- x', /Tabs .*; write spaces$/],
    ['- a\nb: 1', /; indent this line like the others/],
    ['a: @x', /in "quotes"$/],
    ['a: 1\n---\nb: 2', /: Source contains multiple documents; remove the line "---"$/],
  ] as const) {
    const found = problems(text);
    assert.equal(found.length, 1, found.join('\n'));
    assert.match(found[0] ?? '', expected);
  }
});

test('a value that is none is shown', () => {
  assert.deepEqual(problems(`${minimal}recording: { segment_bytes: 8 megs, retention_days: long }\n`), [
    'sluice.yaml:11:29: recording.segment_bytes: "8 megs" is not a size; write 64KB to 4GB, e.g. 64MB',
    'sluice.yaml:11:53: recording.retention_days: "long" is not a whole number; write 1 to 36500, e.g. 400',
  ]);
});

test('identity, access and store: every mistake with its place', () => {
  const found = problems(
    `${minimal}store: here\nidentity: { oidc: [{ issuer: http://idp.example, algorithms: [HS256] }], idle: 5 }\naccess: { approvals: { timeout: never } }\napi: { url: https://x }\nrecording: { archive: s3 }\n`,
  );
  assert.deepEqual(
    found.map((line) => line.split(': ')[1]),
    [
      'store',
      'identity.oidc[0]',
      'identity.oidc[0]',
      'identity.oidc[0].issuer',
      'identity.oidc[0].algorithms[0]',
      'identity.idle',
      'access.approvals.timeout',
      'api.url',
      'recording.archive',
    ],
  );
});

test('trusted proxies are addresses or networks, and never everybody', () => {
  const api = minimal.replace('listeners: { ', 'listeners: { https: 127.0.0.1:8443, ');
  const { config } = parseConfig(`${api}api: { trusted_proxies: [10.0.0.7, 10.1.0.0/16, "2001:db8::/32"] }\n`, '/s.yaml', { protocols });
  assert.deepEqual(config.api?.trustedProxies, [
    { address: '10.0.0.7', prefix: 32, family: 'ipv4' },
    { address: '10.1.0.0', prefix: 16, family: 'ipv4' },
    { address: '2001:db8::', prefix: 32, family: 'ipv6' },
  ]);
  const found = problems(`${api}api: { trusted_proxies: [0.0.0.0/0, proxy, 10.0.0.0/33, 10.0.0.0/8/8, "::/0"] }\n`);
  assert.equal(found.length, 5, found.join('\n'));
  for (const line of found) assert.match(line, /is not an address or a network of proxies; write e\.g\. 10\.0\.0\.7 or 10\.0\.0\.0\/24$/);
  assert.match(problems(`${minimal}api: { trusted_proxies: [10.0.0.7] }\n`)[0] ?? '', /there is no API to reach/);
});

test('identity, access and API have their defaults, and the API an address of its own', () => {
  const { config } = parseConfig(minimal.replace('listeners: { ', 'listeners: { https: 127.0.0.1:8443, '), '/s.yaml', { protocols });
  assert.deepEqual(config.api, { address: { host: '127.0.0.1', port: 8443 }, url: 'https://127.0.0.1:8443', trustedProxies: [] });
  assert.equal('https' in config.listeners, false);
  assert.deepEqual(config.identity, { oidc: [], saml: [], mfaClasses: [], tokenSeconds: 28_800, idleSeconds: 900 });
  assert.equal(config.access.approvals.timeoutSeconds, 900);
  assert.equal(config.resources[0]?.accounts.get('read-only')?.groups, null);
});

test('secrets are looked up only when asked, and named without their content', () => {
  assert.deepEqual(problems(minimal), []);
  assert.deepEqual(problems(minimal, {}), [
    'sluice.yaml:3:11: policies: there is no directory /etc/sluice/policies; make it, e.g. as a copy of deploy/policies',
    'sluice.yaml:9:44: resources[0].accounts.read-only.password: the environment variable PAYMENTS_RO is not set',
    'sluice.yaml:10:45: resources[0].accounts.read-write.password: the file /etc/sluice/rw.secret cannot be read: there is no such file',
  ]);
});

test('a literal secret, clear traffic and an unverified certificate are warned about', () => {
  const { warnings } = parseConfig(
    minimal.replace('env:PAYMENTS_RO', 'hunter2').replace('address: 127.0.0.1', 'tls: disable\n    address: db.example'),
    '/s.yaml',
    { protocols },
  );
  assert.deepEqual(warnings, [
    's.yaml:7:10: resources[0].tls: traffic to the resource is in the clear',
    's.yaml:10:44: resources[0].accounts.read-only.password: the secret stands in the file itself; write env:NAME or file:PATH',
  ]);
});

test('loadConfig reads from disk and says which file it could not read', () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-config-'));
  try {
    writeFileSync(join(dir, 'sluice.yaml'), minimal);
    writeFileSync(join(dir, 'rw.secret'), 'x\n');
    mkdirSync(join(dir, 'policies'));
    writeFileSync(join(dir, 'policies', 'a.cedar'), '');
    const { config } = loadConfig(join(dir, 'sluice.yaml'), { protocols, env: { PAYMENTS_RO: 'y' } });
    assert.equal(config.file, join(dir, 'sluice.yaml'));
    assert.throws(
      () => loadConfig(join(dir, 'none.yaml'), { protocols }),
      /none\.yaml: cannot read the configuration: there is no such file/,
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
});
