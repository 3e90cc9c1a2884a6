import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type AccessStage, startAccessStage } from '../support/access-stage.ts';
import { makeCertificates } from '../support/certificates.ts';
import { oauthPsql } from '../support/libpq-oauth.ts';
import { TestOidcProvider, testAudience, testClient, testDevice } from '../support/oidc-provider.ts';
import { type Done, run } from '../support/run.ts';

/**
 * A person logs in with psql 18 alone: libpq asks the gateway where to get a token, gets it from the provider by the device flow, over
 * TLS by an authority of the provider's own, and comes back with it. Nothing of Sluice is on that machine.
 */
const psql = oauthPsql();
const options = { skip: psql.skip ?? false };
const dir = mkdtempSync(join(tmpdir(), 'sluice-device-'));
const ca = join(dir, 'ca.crt');
let stage: AccessStage;
let provider: TestOidcProvider;
before(async () => {
  const certificates = makeCertificates();
  writeFileSync(ca, certificates.ca);
  provider = await TestOidcProvider.start({ tls: certificates, accessTokensForPeople: true });
  provider.accounts.set('17', { name: 'ann', groups: ['analysts'] });
  const corp = {
    name: 'corp',
    issuer: provider.issuer,
    client_id: testClient.id,
    client_secret: testClient.secret,
    audiences: [testAudience],
    tokens: 'user',
    scopes: ['openid', 'profile', 'groups'],
    ca,
  };
  // Shorter than what a person takes, and than libpq's interval of asking: no connection stays open meanwhile.
  stage = await startAccessStage({ sections: { identity: { oidc: [corp] }, limits: { login_seconds: 3 } } });
});
after(async () => {
  await stage.stop();
  await provider.close();
  rmSync(dir, { recursive: true });
});

/** @param confirm is given the page and the code that psql shows. */
async function logIn(user: string, env: NodeJS.ProcessEnv, confirm: (url: string, code: string) => Promise<void>): Promise<Done> {
  if (psql.skip !== undefined) throw new Error(psql.skip);
  const [program, ...args] = psql.command;
  const service = `host=127.0.0.1 port=${stage.port} dbname=payments user=${user} sslmode=require require_auth=oauth options='-c sluice.auth=oauth'`;
  const oauth = `oauth_issuer=${provider.issuer} oauth_client_id=${testDevice.id}`;
  const child = spawn(program, [...args, '-X', '-At', '-c', 'select current_user', `${service} ${oauth}`], {
    // Another authority than the system's is taken only in libpq 18's debug mode.
    env: { PATH: process.env['PATH'], HOME: dir, LC_ALL: 'C.UTF-8', PGOAUTHDEBUG: 'UNSAFE', ...env },
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  let [stdout, stderr] = ['', ''];
  let confirmed: Promise<void> | null = null;
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString('utf8')));
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8');
    const [, url, code] = /Visit (\S+) and enter the code: (\S+)\n/.exec(stderr) ?? [];
    if (url !== undefined && code !== undefined) confirmed ??= confirm(url, code);
  });
  child.stdin.end();
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  await confirmed;
  return { code, stdout, stderr };
}

/** The person's browser, which trusts the provider: Node takes more authorities only from its environment. */
async function confirmAs(subject: string | 'deny', url: string, code: string): Promise<void> {
  provider.loginAs = subject;
  const support = new URL('../support/oidc-provider.ts', import.meta.url).href;
  const script = `import { TestBrowser } from ${JSON.stringify(support)};
    console.log(await new TestBrowser().submitForms(process.argv[1]));`;
  const page = new URL(url);
  page.searchParams.set('user_code', code);
  const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', script, page.href], {
    ...process.env,
    NODE_EXTRA_CA_CERTS: ca,
  });
  assert.match(stdout, /<html|<!doctype/i, stderr);
}

test('a person logs in with psql and a browser, and takes longer than a log-in may', options, async () => {
  const { code, stdout, stderr } = await logIn('ann', { PGOAUTHCAFILE: ca }, (url, userCode) => confirmAs('17', url, userCode));
  assert.equal(code, 0, stderr);
  assert.equal(stdout, 'app_ro\n');
  assert.match(stderr, new RegExp(`Visit ${provider.issuer}/device and enter the code: [A-Z]{4}-[A-Z]{4}\n`));
  const start = await stage.recorded((line) => line.type === 'session' && line['event'] === 'start');
  const { name, issuer, subject, kind, groups, credential } = start['principal'] as Record<string, unknown>;
  assert.deepEqual(
    { name, issuer, subject, kind, groups },
    { name: 'ann', issuer: provider.issuer, subject: '17', kind: 'user', groups: ['analysts'] },
  );
  assert.equal((credential as { kind: string }).kind, 'oidc-token');
  // It asked for the scopes that the gateway named, as the client that its user named, and of no page but these.
  assert.match(stderr, /scope=openid\+profile\+groups|scope=openid%20profile%20groups/);
  const asked = [...new Set(provider.requests)];
  for (const path of ['/.well-known/openid-configuration', '/device/auth', '/token', '/device'])
    assert.ok(asked.includes(path), `${path}: ${asked.join(' ')}`);
});

test('who logs in at the provider as somebody else does not come in under that name', options, async () => {
  const { code, stderr } = await logIn('bob', { PGOAUTHCAFILE: ca }, (url, userCode) => confirmAs('17', url, userCode));
  assert.equal(code, 2);
  assert.match(stderr, /FATAL: {2}the token was not accepted/);
  await stage.recorded((line) => line.type === 'auth' && line['code'] === 'oauth_token_user_mismatch');
});

test('without the authority of the provider no code is asked for', options, async () => {
  const { code, stderr } = await logIn('ann', {}, () => assert.fail('there is nothing to confirm'));
  assert.equal(code, 2);
  assert.match(stderr, /certificate/i);
});
