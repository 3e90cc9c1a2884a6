import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { requireClient } from '../support/clients.ts';
import { TestBrowser, TestOidcProvider, testClient } from '../support/oidc-provider.ts';
import { freePort } from '../support/postgres.ts';
import { type Stage, startStage } from '../support/stage.ts';

/** From nothing to rows: `sluice login` with a provider, then psql by the service that it wrote, against a gateway as operators start it. */

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const psql = requireClient('psql');
const skip = psql.skip === undefined ? {} : { skip: psql.skip };

let stage: Stage;
let provider: TestOidcProvider;
let url: string;
const home = mkdtempSync(join(tmpdir(), 'sluice-home-'));

before(async () => {
  const [data, api] = [await freePort(), await freePort()];
  url = `https://127.0.0.1:${api}`;
  provider = await TestOidcProvider.start({ redirectUris: [`${url}/api/v1/login/callback`] });
  provider.accounts.set('sub-ada', { name: 'ada', groups: ['analysts'] });
  provider.loginAs = 'sub-ada';
  const company = {
    name: 'company',
    issuer: provider.issuer,
    client_id: testClient.id,
    client_secret: testClient.secret,
    scopes: ['openid', 'profile', 'groups'],
  };
  stage = await startStage({
    gateway: {
      plaintext: false,
      sections: { listeners: { postgres: `127.0.0.1:${data}`, https: `127.0.0.1:${api}` }, identity: { oidc: [company] } },
    },
  });
});
after(async () => {
  await stage.stop();
  await provider.close();
  rmSync(home, { recursive: true, force: true });
});

test('sluice login, then psql by the service it wrote, with the certificate checked in full', skip, async () => {
  const ca = join(stage.gateway.dir, 'var', 'tls.crt');
  setDefaultCACertificates([...getCACertificates('default'), readFileSync(ca, 'utf8')]);
  const env = { PATH: process.env['PATH'], HOME: home };
  const args = ['--disable-warning=ExperimentalWarning', join(root, 'src', 'cli', 'main.ts'), 'login', '--url', url, '--ca', ca];
  const login = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const address = await new Promise<string>((resolve, reject) => {
    const look = (chunk: Buffer): void => {
      said += chunk.toString();
      const found = /^ {2}(https:\S+)$/m.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    };
    login.stderr.on('data', look);
    login.stdout.on('data', look);
    login.once('close', () => reject(new Error(said)));
  });
  const closed = new Promise<number | null>((resolve) => login.once('close', resolve));
  const waiting = new URL(address).searchParams.get('redirect') ?? '';
  await (await fetch(await new TestBrowser().follow(address, waiting))).text();
  assert.equal(await closed, 0, said);

  const query = 'select pan from cards order by id limit 1';
  const done = spawnSync(psql.path ?? 'psql', ['-XAt', 'service=sluice-payments', '-c', query], { env, encoding: 'utf8', timeout: 30_000 });
  assert.equal(done.status, 0, done.stderr);
  const pan = stage.seeded.cards[0]?.pan ?? '';
  assert.equal(done.stdout, `${'*'.repeat(pan.length - 4)}${pan.slice(-4)}\n`);
  const start = stage.record().find((line) => line.type === 'session' && line['event'] === 'start');
  const principal = start?.['principal'] as { name: string; issuer: string; subject: string } | undefined;
  assert.deepEqual([principal?.name, principal?.issuer, principal?.subject], ['ada', provider.issuer, 'sub-ada']);
});
