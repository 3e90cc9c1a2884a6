import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { LocalTokenVerifier } from '../../identity/local-token.ts';
import { tokenKey } from '../../identity/signing-key.ts';
import { protocols } from '../../protocols/registry.ts';
import { recordSession, testRecorder } from '../../recording/testing.ts';
import type { Io } from '../command.ts';
import { runCommand } from '../run.ts';
import { check } from './check.ts';
import { sessionsList, sessionsReplay, sessionsShow } from './sessions.ts';
import { sessionsDenials, sessionsLogins, sessionsSearch } from './sessions-search.ts';
import { tokenIssue } from './token-issue.ts';
import { verify } from './verify.ts';

const commands = [check, tokenIssue, sessionsList, sessionsShow, sessionsSearch, sessionsDenials, sessionsLogins, sessionsReplay, verify];
const [kind = ''] = [...protocols.keys()];
const dir = mkdtempSync(join(tmpdir(), 'sluice-cli-'));
after(() => rmSync(dir, { recursive: true }));
const config = join(dir, 'sluice.yaml');
mkdirSync(join(dir, 'policies'));
writeFileSync(join(dir, 'policies', 'a.cedar'), '@id("a") permit(principal, action, resource);');
const good = `gateway: { name: gw-1 }
listeners: { ${kind}: 127.0.0.1:0 }
policies: ./policies
masking: { patterns: [{ id: iban, regex: 'DE[0-9]{20}' }] }
resources: [{ name: payments, kind: ${kind}, address: 127.0.0.1, accounts: { ro: { user: u, password: env:PW } } }]
`;
writeFileSync(config, good);

async function run(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const io: Io = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    env: { PW: 'x' },
    now: () => 1_000_000,
    stopped: async () => {},
  };
  return { code: await runCommand(argv, commands, io), out, err };
}

test('the examples of the documentation are good', async () => {
  const docs = join(import.meta.dirname, '../../../docs');
  const example = (file: string, language: string): string =>
    new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 's').exec(readFileSync(join(docs, file), 'utf8'))?.[1] ?? '';
  const place = join(dir, 'docs');
  mkdirSync(join(place, 'policies'), { recursive: true });
  for (const file of ['tls.crt', 'tls.key']) writeFileSync(join(place, file), '');
  writeFileSync(join(place, 'sluice.yaml'), example('config.md', 'yaml').replaceAll(/(env|file):[\w/]+/g, 'env:PW'));
  writeFileSync(join(place, 'policies', 'a.cedar'), example('policy.md', 'cedar'));
  const { code, out, err } = await run('check', '--config', join(place, 'sluice.yaml'));
  assert.deepEqual([code, err], [0, '']);
  assert.match(out, /1 policies/);
});

test('check says ok with a summary', async () => {
  const { code, out, err } = await run('check', '--config', config);
  assert.deepEqual([code, err], [0, '']);
  assert.match(out, /^ok\n.*gw-1.*\n.*payments.*accounts ro\n.*1 policies, snapshot [0-9a-f]{64}\n$/);
});

test('check reports patterns and policies together, with file and line', async () => {
  const broken = join(dir, 'broken');
  mkdirSync(join(broken, 'policies'), { recursive: true });
  writeFileSync(join(broken, 'sluice.yaml'), good.replace('DE[0-9]{20}', 'DE[0-9'));
  writeFileSync(join(broken, 'policies', 'a.cedar'), '\npermit(principal, action, resource);');
  const { code, out, err } = await run('check', '--config', join(broken, 'sluice.yaml'));
  assert.deepEqual([code, out], [1, '']);
  assert.match(err, /^sluice\.yaml: masking: .*iban/m);
  assert.match(err, /^policies\/a\.cedar:2:1: the policy has no id/m);
});

test('check looks for every secret', async () => {
  writeFileSync(join(dir, 'secret.yaml'), good.replace('env:PW', 'env:OTHER'));
  const { code, err } = await run('check', '--config', join(dir, 'secret.yaml'));
  assert.equal(code, 1);
  assert.match(err, /^secret\.yaml:5:\d+: resources\[0\]\.accounts\.ro\.password: the environment variable OTHER is not set$/m);
});

test('token issue prints a token the gateway takes, and nothing else', async () => {
  const { code, out, err } = await run(
    'token',
    'issue',
    '--config',
    config,
    '--user',
    'ci',
    '--group',
    'a',
    '--group',
    'b',
    '--ttl',
    '15m',
    '--service',
  );
  assert.deepEqual([code, err], [0, '']);
  assert.match(out, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
  const principal = new LocalTokenVerifier('gw-1', tokenKey(join(dir, 'var')).publicKey, () => 1_000_000).verify(out.trim(), 'ci');
  assert.deepEqual([principal.kind, principal.groups, principal.credential.expiresAt], ['service', ['a', 'b'], 1_900_000]);
});

test('token issue warns of a token without groups, on stderr', async () => {
  const { code, out, err } = await run('token', 'issue', '--config', config, '--user', 'ann', '--ttl', '15m');
  assert.equal(code, 0);
  assert.match(out, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
  assert.match(err, /^warning: no --group: .*denied\n$/);
});

test('token issue refuses what it cannot issue', async () => {
  for (const argv of [
    ['--user', 'a'],
    ['--ttl', '8h'],
    ['--user', 'a', '--ttl', 'soon'],
    ['--user', 'a+b', '--ttl', '8h'],
    ['--user', 'a', '--ttl', '999999d'],
  ]) {
    const { code, out } = await run('token', 'issue', '--config', config, ...argv);
    assert.deepEqual([code, out], [2, ''], argv.join(' '));
  }
});

test('sessions are listed, shown, searched and replayed, and each reading is recorded first', async () => {
  const recorder = testRecorder(join(dir, 'var'));
  await recordSession(recorder, 'sid-1', 2);
  await recorder.close();
  const list = await run('sessions', 'ls', '--config', config, '--json');
  assert.equal(list.code, 0);
  assert.deepEqual(
    list.out
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { sid: string }).sid),
    ['sid-1'],
  );
  assert.match((await run('sessions', 'ls', '--config', config)).out, /^SESSION .*\nsid-1 /);
  const show = await run('sessions', 'show', 'sid-1', '--config', config, '--json');
  assert.equal((JSON.parse(show.out) as { operations: unknown[] }).operations.length, 2);
  assert.equal((await run('sessions', 'show', 'sid-1', '--config', config)).out.match(/^#\d+ /gm)?.length, 2);
  assert.equal((await run('sessions', 'replay', 'sid-1', '--config', config)).out.match(/^#\d+ /gm)?.length, 2);
  assert.equal((await run('sessions', 'search', 'no such text', '--config', config)).out, '');
  assert.equal((await run('sessions', 'search', '--config', config, '--json')).out.trim().split('\n').length, 2);
  assert.deepEqual((await run('sessions', 'show', 'sid-2', '--config', config)).code, 1);
  assert.deepEqual((await run('sessions', 'search', '--since', 'yesterday', '--config', config)).code, 2);

  await run('sessions', 'search', 'card 4111111111111111', '--config', config);
  const lines = readdirSync(join(dir, 'var', 'record'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.jsonl'))
    .map((name) => readFileSync(join(dir, 'var', 'record', name), 'utf8'))
    .join('');
  assert.match(lines, /"type":"read".*"command":"sessions replay","args":\["sid-1"\]/);
  assert.match(lines, /"command":"sessions search","args":\["text=card \*+1111"\]/);
  assert.doesNotMatch(lines, /4111111111111111/);
});

test('denials and log-ins are listed, in text and as JSON', async () => {
  const place = join(dir, 'events');
  mkdirSync(place);
  const file = join(dir, 'events.yaml');
  writeFileSync(file, good.replace('name: gw-1', 'name: gw, data_dir: ./events'));
  const recorder = testRecorder(place);
  recorder.append('auth', 's1', '"ok":true,"user":"ann","source":"127.0.0.1:5","credential":"t1"');
  recorder.append('session', 's1', '"event":"start","principal":{"name":"ann"},"target":{"resource":"payments"}');
  recorder.append('intent', 's1', '"kind":"query","text":"select 1"');
  recorder.append('deny', 's1', '"kind":"query","policies":["p"],"text":"drop table cards","reason":"forbidden","message":"no drop by p"');
  recorder.append('auth', '', '"ok":false,"code":"token_expired","user":"bob","resource":"payments","source":"127.0.0.1:6"');
  await recorder.close();
  const denials = await run('sessions', 'denials', '--config', file);
  assert.match(denials.out, /^2026-01-31\S+ {2}s1 {2}ann@payments {2}DENIED \(no drop by p\) {2}drop table cards\n$/);
  const json = await run('sessions', 'denials', '--user', 'ann', '--since', '2026-01-31', '--config', file, '--json');
  assert.deepEqual((JSON.parse(json.out) as { policies: string[] }).policies, ['p']);
  assert.equal((await run('sessions', 'denials', '--user', 'bob', '--config', file)).out, '');
  assert.match(
    (await run('sessions', 'logins', '--config', file)).out,
    /ann@payments .* ok {2}session s1\n.*bob@payments .* REFUSED token_expired\n$/,
  );
  assert.match((await run('sessions', 'logins', '--failed', '--config', file)).out, /^\S+ {2}bob@payments [^\n]*\n$/);
  assert.equal((await run('sessions', 'logins', '--since', 'yesterday', '--config', file)).code, 2);
});

test('verify says whether the record holds', async () => {
  const recorder = testRecorder(join(dir, 'other'));
  await recordSession(recorder, 'sid-1', 1);
  await recorder.close();
  const good = await run('verify', join(dir, 'other'));
  assert.equal(good.code, 0);
  assert.match(good.out, /^verified: \d+ lines, 1 segments/m);
  assert.equal((JSON.parse((await run('verify', join(dir, 'other'), '--json')).out) as { ok: boolean }).ok, true);
  const segment = join(
    dir,
    'other',
    'record',
    ...readdirSync(join(dir, 'other', 'record'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.jsonl')),
  );
  writeFileSync(segment, readFileSync(segment, 'utf8').replace('sid-1', 'sid-2'));
  const bad = await run('verify', join(dir, 'other'));
  assert.equal(bad.code, 1);
  assert.match(bad.out, /^problem: .*\.jsonl:\d+: /m);
  assert.match(bad.out, /^DOES NOT HOLD: /m);
  assert.equal((await run('verify')).code, 2);
  assert.equal((await run('verify', join(dir, 'none'))).code, 1);
});
