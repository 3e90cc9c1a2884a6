import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeCertificates } from '../../../test/support/certificates.ts';
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
  const { ca, cert, key } = makeCertificates();
  for (const [file, pem] of Object.entries({ 'ca.pem': ca, 'tls.crt': cert, 'tls.key': key })) writeFileSync(join(place, file), pem);
  writeFileSync(join(place, 'sluice.yaml'), example('config.md', 'yaml').replaceAll(/(env|file):[\w/]+/g, 'env:PW'));
  writeFileSync(join(place, 'policies', 'a.cedar'), example('policy.md', 'cedar'));
  const { code, out, err } = await run('check', '--config', join(place, 'sluice.yaml'));
  assert.deepEqual([code, err], [0, '']);
  assert.match(out, /1 policies/);
});

test('check says ok with a summary', async () => {
  const { code, out, err } = await run('check', '--config', config);
  assert.deepEqual([code, err], [0, '']);
  assert.match(out, /^ok\n.*gw-1.*\n.*store: embedded, in .*\n.*payments.*accounts ro\n.*1 policies, snapshot [0-9a-f]{64}\n$/);
});

test('check names every listener and the store, but no secret of a connection string', async () => {
  const file = join(dir, 'api.yaml');
  const listening = good.replace('listeners: { ', 'listeners: { https: 127.0.0.1:8443, ');
  writeFileSync(file, `${listening}api: { url: https://gw.example }\nstore: postgres://sluice:s3cret@db.example:5432/control\n`);
  const { code, out } = await run('check', '--config', file);
  assert.equal(code, 0);
  assert.match(out, /^ok\n {2}gateway gw-1: .+, https \(API and pages\) on 127\.0\.0\.1:8443, reached as https:\/\/gw\.example\n/);
  assert.match(out, /^ {2}store: a database of your own, db\.example:5432\/control$/m);
  assert.ok(!out.includes('s3cret'));
  const json = await run('check', '--config', file, '--json');
  const report = JSON.parse(json.out) as { ok: boolean; problems: string[]; warnings: string[]; store: string; resources: string[] };
  assert.deepEqual([json.err, report.ok, report.problems, report.resources], ['', true, [], ['payments']]);
  assert.match(report.warnings[0] ?? '', /password stands in the file/);
  assert.match((await run('check', '--config', config)).out, /^ {2}store: embedded, in .*var\/store$/m);
});

test('check --json tells the problems as well', async () => {
  const file = join(dir, 'wrong.yaml');
  writeFileSync(file, `${good}recordng: {}\n`);
  const { code, out, err } = await run('check', '--config', file, '--json');
  assert.deepEqual([code, err], [1, '']);
  assert.deepEqual(JSON.parse(out), { ok: false, problems: ['wrong.yaml:6:1: recordng: unknown key; write recording'], warnings: [] });
});

test('check reports all problems of configuration, files, secrets, masking and policies in one run, each where it stands', async () => {
  const broken = join(dir, 'broken');
  mkdirSync(join(broken, 'policies'), { recursive: true });
  writeFileSync(
    join(broken, 'sluice.yaml'),
    `gateway: { name: gw-1 }
listeners: { ${kind}: 127.0.0.1:0 }
policies: ./policies
recordng: {}
recording: { segment_bytes: 5, durability: on }
masking:
  keep_first: 7
  opt_in: [uatpp]
  patterns:
    - { id: iban, regex: 'DE[0-9' }
    - { id: pan, regex: 'a*' }
resources:
  - { name: p, kind: ${kind}, address: 127.0.0.1, ca: ./none.pem, accounts: { ro: { user: u, password: env:OTHER } } }
`,
  );
  writeFileSync(
    join(broken, 'policies', 'a.cedar'),
    `permit(principal, action, resource);
@id("semicolon; in a string") // and; here
permit(principal action, resource);
@id("b") permit(principal, action == Action::"slect", resource);
@id("c") permit(principal, action == Action::"nuke", resource);
`,
  );
  writeFileSync(join(broken, 'policies', 'b.cedar'), '@id("d") permit(principal, action, resource)\nwhen { context.hasWere };');
  const { code, out, err } = await run('check', '--config', join(broken, 'sluice.yaml'));
  assert.deepEqual([code, out], [1, '']);
  const expected = [
    /^sluice\.yaml:4:1: recordng: unknown key; write recording$/,
    /^sluice\.yaml:5:29: recording\.segment_bytes: 5 is out of range; write 64KB to 4GB$/,
    /^sluice\.yaml:5:44: recording\.durability: "on" is not one of durable, buffered$/,
    /^sluice\.yaml:7:15: masking\.keep_first: "7" is not allowed; write 0, 6 or 8$/,
    /^sluice\.yaml:8:12: masking\.opt_in\[0\]: there is no brand "uatpp"; write one of .*uatp/,
    /^sluice\.yaml:10:26: masking\.patterns\[0\]\.regex: ./,
    /^sluice\.yaml:11:13: masking\.patterns\[1\]\.id: the id is taken; write another$/,
    /^sluice\.yaml:11:25: masking\.patterns\[1\]\.regex: has no upper bound/,
    /^sluice\.yaml:13:\d+: resources\[0\]\.ca: there is no file .*none\.pem$/,
    /^sluice\.yaml:13:\d+: resources\[0\]\.accounts\.ro\.password: the environment variable OTHER is not set$/,
    /^policies\/a\.cedar:1:1: the policy has no id; write/,
    /^policies\/a\.cedar:3:18: unexpected token `action`/,
    /^policies\/a\.cedar:4:\d+: .*`Action::"slect"`; did you mean `Action::"select"`\?$/,
    /^policies\/a\.cedar:5:\d+: .*`Action::"nuke"`; docs\/policy\.md lists what there is$/,
    /^policies\/b\.cedar:2:\d+: .*did you mean `hasWhere`\?$/,
  ];
  const lines = err.trimEnd().split('\n');
  for (const [i, line] of lines.entries()) assert.match(line, expected[i] ?? /^nothing more$/);
  assert.equal(lines.length, expected.length);
});

test('check says what to do about a directory of policies that is missing or empty, and a certificate that is none', async () => {
  const file = join(dir, 'files.yaml');
  writeFileSync(file, `${good.replace('./policies', './none')}tls: { cert: files.yaml, key: files.yaml }\n`);
  const missing = await run('check', '--config', file);
  assert.match(missing.err, /^files\.yaml:3:11: policies: there is no directory .*none; make it, e\.g\. as a copy of deploy\/policies$/m);
  assert.match(missing.err, /^files\.yaml:6:14: tls\.cert: .*files\.yaml is not a certificate in PEM$/m);
  assert.match(missing.err, /^files\.yaml:6:31: tls\.key: .*files\.yaml is not a private key in PEM/m);
  mkdirSync(join(dir, 'none'));
  assert.match((await run('check', '--config', file)).err, /^files\.yaml:3:11: policies: .* holds no \*\.cedar file/m);
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
  const verifier = new LocalTokenVerifier('gw-1', tokenKey(join(dir, 'var')).publicKey, () => 1_000_000);
  const principal = verifier.verify(out.trim(), 'ci', 'connect');
  assert.throws(() => verifier.verify(out.trim(), 'ci', 'api'), { code: 'token_audience' });
  const both = await run('token', 'issue', '--config', config, '--user', 'ci', '--group', 'a', '--ttl', '15m', '--api');
  for (const part of ['connect', 'api'] as const) assert.equal(verifier.verify(both.out.trim(), 'ci', part).name, 'ci', part);
  assert.deepEqual([principal.kind, principal.groups, principal.credential.expiresAt], ['service', ['a', 'b'], 1_900_000]);
});

test('token issue --json tells the id by which the token is revoked', async () => {
  const { code, out } = await run('token', 'issue', '--config', config, '--user', 'ann', '--group', 'a', '--ttl', '15m', '--json');
  const issued = JSON.parse(out) as { token: string; id: string; expiresAt: number; user: string };
  const verifier = new LocalTokenVerifier('gw-1', tokenKey(join(dir, 'var')).publicKey, () => 1_000_000);
  const { credential } = verifier.verify(issued.token, 'ann', 'connect');
  assert.deepEqual([code, issued.id, issued.expiresAt, issued.user], [0, credential.id, credential.expiresAt, 'ann']);
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
  const holds = await run('verify', join(dir, 'other'));
  assert.equal(holds.code, 0);
  assert.match(holds.out, /^verified: \d+ lines, 1 segments/m);
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
  // The data directory of a configuration holds its record.
  const file = join(dir, 'verified.yaml');
  writeFileSync(file, good.replace('name: gw-1', 'name: gw-1, data_dir: ./other'));
  assert.equal((await run('verify', '--config', file)).code, 1);
  writeFileSync(segment, readFileSync(segment, 'utf8').replace('sid-2', 'sid-1'));
  const again = await run('verify', '--config', file);
  assert.deepEqual([again.code, again.err], [0, '']);
  assert.equal((await run('verify', '--config', file, join(dir, 'other'))).code, 2);
  assert.equal((await run('verify', join(dir, 'none'))).code, 1);
});
