import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { requireClient } from '../support/clients.ts';
import { TestOidcProvider, testAudience, testWorkload } from '../support/oidc-provider.ts';
import { type Done, run } from '../support/run.ts';
import { type Stage, startStage } from '../support/stage.ts';

const client = requireClient('psql');
const options = { skip: client.skip ?? false };
let provider: TestOidcProvider;
let stage: Stage;
before(async () => {
  provider = await TestOidcProvider.start({ workloadGroups: ['analysts'] });
  const ci = {
    name: 'ci',
    issuer: provider.issuer,
    client_id: 'sluice',
    login: false,
    tokens: 'service',
    audiences: [testAudience],
    name_claim: 'sub',
  };
  stage = await startStage({ gateway: { sections: { identity: { oidc: [ci] } } } });
});
after(async () => {
  await stage.stop();
  await provider.close();
});

const psql = (password: string, user: string = testWorkload.id): Promise<Done> =>
  run(client.path ?? '', ['-X', '-At', '-c', 'select count(*) from cards'], {
    ...stage.environment(stage.analyst),
    PGUSER: user,
    PGPASSWORD: password,
  });

test('a CI job logs in with the token of its own identity provider', options, async () => {
  const { code, stdout, stderr } = await psql(await provider.workloadToken());
  assert.equal(stderr, '');
  assert.equal(code, 0);
  assert.equal(stdout, '200\n');
  const start = (await stage.settledRecord()).find((line) => line.type === 'session' && line['event'] === 'start');
  const principal = start?.['principal'] as {
    kind: string;
    issuer: string;
    subject: string;
    groups: string[];
    credential: { kind: string };
  };
  assert.deepEqual(
    { ...principal, credential: principal.credential.kind },
    {
      kind: 'service',
      name: testWorkload.id,
      issuer: provider.issuer,
      subject: testWorkload.id,
      groups: ['analysts'],
      credential: 'oidc-token',
    },
  );
});

test('what is wrong with a token is in the record, and not for the client to know', options, async () => {
  const wrong = await psql(await provider.workloadToken('urn:another'));
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /not accepted/);
  assert.doesNotMatch(wrong.stderr, /audience/);
  const token = await provider.workloadToken();
  const other = await psql(token, 'ada');
  assert.equal(other.code, 2);
  const codes = (await stage.settledRecord()).filter((line) => line.type === 'auth' && line['ok'] === false).map((line) => line['code']);
  assert.deepEqual(codes, ['token_audience', 'token_user_mismatch']);
  const signature = token.split('.')[2] ?? '';
  assert.ok(!`${stage.gateway.log()}${JSON.stringify(stage.record())}`.includes(signature));
});
