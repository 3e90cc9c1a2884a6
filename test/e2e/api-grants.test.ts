import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chooseAccount } from '../../src/access/accounts.ts';
import { MAX_PENDING_GRANTS } from '../../src/access/grant-limits.ts';
import type { Grant } from '../../src/access/model.ts';
import { loadPolicies } from '../../src/policy/engine.ts';
import type { Principal } from '../../src/policy/model.ts';
import { protocols, vocabularies } from '../../src/protocols/registry.ts';
import { type Answer, type ApiStage, questionOf, startApiStage } from '../support/api-stage.ts';
import { TestBrowser } from '../support/oidc-provider.ts';

/** Grants as people see them: the list for the access review, the page of one, and what `sluice ls` makes of them. */

let stage: ApiStage;
before(async () => {
  stage = await startApiStage({
    sections: {
      resources: [
        {
          name: 'payments',
          kind: 'postgres',
          address: '127.0.0.1:5432',
          accounts: {
            'read-only': { user: 'app_ro', password: 'none', groups: ['auditing'] },
            'read-write': { user: 'app_rw', password: 'none' },
            owner: { user: 'app', password: 'none', groups: ['owners'] },
          },
        },
      ],
      access: { grants: { break_glass_groups: ['developers'] } },
      api: { trusted_proxies: ['127.0.0.1'] },
    },
  });
  stage.provider.accounts.set('sub-dana', { name: 'dana', groups: ['dba'] });
  stage.provider.accounts.set('sub-sam', { name: 'sam', groups: ['security'] });
  stage.provider.accounts.set('sub-bob', { name: 'bob', groups: ['developers'] });
});
after(() => stage.stop());

interface Login {
  readonly cookie: string;
  readonly csrf: string;
}

async function loggedIn(subject: string): Promise<Login> {
  stage.provider.loginAs = subject;
  const begun = await stage.call('GET', '/api/v1/login/begin');
  const callback = await new TestBrowser().follow(begun.headers.get('location') ?? '', `${stage.url}/api/v1/login/callback`);
  const { pathname, search } = new URL(callback);
  const done = await stage.call('GET', `${pathname}${search}`, { headers: { cookie: cookieOf(begun, '__Host-sluice-login') } });
  const cookie = cookieOf(done, '__Host-sluice');
  const { body } = await stage.call('GET', '/api/v1/whoami', { headers: { cookie } });
  return { cookie, csrf: (body as { csrf: string }).csrf };
}

function cookieOf(answer: Answer, name: string): string {
  const line = answer.headers.getSetCookie().find((one) => one.startsWith(`${name}=`)) ?? '';
  return line.split(';', 1)[0] ?? '';
}

const show = (login: Login, path: string): Promise<Answer> => stage.call('GET', path, { headers: { cookie: login.cookie } });

const submit = (login: Login, path: string, fields: Readonly<Record<string, string>>): Promise<Answer> =>
  stage.call('POST', path, { form: { csrf: login.csrf, ...fields }, headers: { cookie: login.cookie, origin: stage.url } });

async function ask(user: string, more: Readonly<Record<string, unknown>> = {}, groups = ['developers']): Promise<string> {
  const json = { resource: 'payments', role: 'owner', seconds: 5400, reason: `a task of ${user}`, ticket: 'OPS-7', ...more };
  const answer = await stage.call('POST', '/api/v1/grants', { token: stage.token(user, groups), json });
  assert.equal(answer.status, 201, answer.text);
  return (answer.body as Grant).id;
}

const stateOf = async (id: string): Promise<string | undefined> => (await stage.access.grants.get(id))?.state;

/** The sections of the list by the title of each. */
function sections(page: string): Record<string, string> {
  const parts = page.split('<section aria-labelledby=').slice(1);
  return Object.fromEntries(parts.map((part) => [/<h2[^>]*>([^<]*)</.exec(part)?.[1] ?? '', part]));
}

test('a request is read and approved on its page, and ended there', async () => {
  const id = await ask('carl');
  const [dana, sam, bob] = [await loggedIn('sub-dana'), await loggedIn('sub-sam'), await loggedIn('sub-bob')];
  const page = await show(dana, `/grants/${id}`);
  assert.equal(page.status, 200);
  for (const shown of ['payments as owner', 'carl of gw-1', '1 h 30 min', 'a task of carl', 'OPS-7', 'dba', 'waiting for a decision'])
    assert.ok(page.text.includes(shown), `${shown} is not on the page`);
  // dba may decide and not revoke; whoever it does not concern is told that there is none.
  assert.ok(page.text.includes('value="approve"'));
  assert.ok(!page.text.includes('/revoke"'));
  assert.equal((await show(bob, `/grants/${id}`)).status, 404);
  assert.equal((await submit(bob, `/grants/${id}`, { decision: 'approve' })).status, 404);
  assert.match((await show(sam, `/grants/${id}`)).text, /You are in none of the groups that are asked/);

  for (const fields of [
    { decision: 'approve', csrf: '' },
    { decision: 'approve', csrf: sam.csrf },
  ])
    assert.equal((await submit(dana, `/grants/${id}`, fields)).status, 403);
  assert.match((await submit(dana, `/grants/${id}`, { decision: 'perhaps' })).text, /role="alert"[^>]*>say approve or deny/);
  assert.match((await submit(dana, `/grants/${id}`, { decision: 'approve', reason: 'x'.repeat(1001) })).text, /the reason is too long/);
  assert.equal(await stateOf(id), 'pending');

  const done = await submit(dana, `/grants/${id}`, { decision: 'approve', reason: 'card 4111111111111111 of OPS-7' });
  assert.deepEqual([done.status, done.headers.get('location')], [303, `/grants/${id}`]);
  const active = (await show(sam, `/grants/${id}`)).text;
  assert.match(active, /dana for dba: <strong>approve<\/strong>, .*of OPS-7/);
  assert.ok(!active.includes('4111111111111111'), 'card data in a reason is masked');
  assert.equal((await submit(dana, `/grants/${id}`, { decision: 'deny' })).status, 409);

  const refused = await submit(dana, `/grants/${id}/revoke`, {});
  assert.equal(refused.status, 403);
  assert.match(refused.text, /no policy permits grant\.revoke on payments/);
  assert.equal((await submit(sam, `/grants/${id}/revoke`, { csrf: '' })).status, 403);
  assert.equal(await stateOf(id), 'active');
  assert.equal((await submit(sam, `/grants/${id}/revoke`, { reason: 'enough' })).status, 303);
  assert.equal(await stateOf(id), 'revoked');
  assert.ok(!(await show(sam, `/grants/${id}`)).text.includes('<button type="submit" class="deny">'));
});

test('nobody decides on a request of their own, and may withdraw it', async () => {
  const bob = await loggedIn('sub-bob');
  const by: Principal = { ...questionOf({ name: 'bob', issuer: stage.provider.issuer }).principal, subject: 'sub-bob' };
  const wanted = { resource: 'payments', role: 'owner', seconds: 60, reason: 'mine', ticket: '', breakGlass: false };
  const { id } = await stage.access.grants.request(by, wanted);
  const page = (await show(bob, `/grants/${id}`)).text;
  assert.match(page, /You asked for it yourself/);
  assert.ok(!page.includes('value="approve"'));
  assert.equal((await submit(bob, `/grants/${id}`, { decision: 'approve' })).status, 403);
  assert.equal((await submit(bob, `/grants/${id}/revoke`, {})).status, 303);
  assert.equal(await stateOf(id), 'cancelled');
});

test('the list tells what waits, what was taken, what is in force, and what was, with the last use', async () => {
  const dana = await loggedIn('sub-dana');
  const [waiting, active, used, denied, glass] = [
    await ask('w-pending'),
    await ask('w-active'),
    await ask('w-used'),
    await ask('w-denied'),
    await ask('w-glass', { breakGlass: true }),
  ];
  for (const [id, decision] of [
    [active, 'approve'],
    [used, 'approve'],
    [denied, 'deny'],
  ] as const)
    assert.equal((await submit(dana, `/grants/${id}`, { decision })).status, 303);
  await stage.store.db
    .updateTable('grants')
    .set({ last_used_at: Date.UTC(2026, 0, 2, 3, 4, 5) })
    .where('id', '=', used)
    .execute();

  const list = (await show(dana, '/grants')).text;
  const found = Object.entries(sections(list)).map(([title, part]) => [title, [...part.matchAll(/>(w-[a-z]+)</g)].map(([, name]) => name)]);
  assert.deepEqual(found, [
    ['Waiting', ['w-pending']],
    ['Break-glass, not confirmed yet', ['w-glass']],
    ['Active', ['w-used', 'w-active']],
    ['History', ['w-denied']],
  ]);
  assert.match(list, />w-used<.*?2026-01-02 03:04:05 UTC/s);
  assert.match(sections(list)['Active'] ?? '', />w-active<.*>never</s);
  assert.ok(list.includes(`href="/grants/${waiting}"`));
  // What is over stays to be confirmed, and two have to.
  await stage.access.grants.revoke(glass, questionOf({ name: 'root', issuer: 'gw-1' }).principal, 'over');
  assert.match(sections((await show(dana, '/grants')).text)['Break-glass, not confirmed yet'] ?? '', /w-glass.*revoked/s);
  assert.match((await show(dana, `/grants/${glass}`)).text, />Confirm</);
  await submit(dana, `/grants/${glass}`, { decision: 'approve' });
  assert.match((await show(dana, `/grants/${glass}`)).text, /You have voted; others have to as well/);
  await stage.access.grants.decide(glass, { ...questionOf({ name: 'dora', issuer: 'gw-1' }).principal, groups: ['dba'] }, 'approve', '');
  assert.match(sections((await show(dana, '/grants')).text)['History'] ?? '', /w-glass.*break-glass, confirmed/s);
  // Others see what is theirs: here nothing.
  assert.doesNotMatch((await show(await loggedIn('sub-bob'), '/grants')).text, /w-[a-z]+/);
});

test('what is told to be reachable, and the default, are what a log-in gets', async () => {
  const policy = loadPolicies(stage.config.policies, vocabularies);
  const [resource] = stage.config.resources;
  const connect = protocols.get('postgres')?.connect;
  assert.ok(resource !== undefined && connect !== undefined);
  const reached = async (user: string, groups: readonly string[]): Promise<[string[], string[]]> => {
    const token = stage.token(user, groups);
    const { resources } = (await stage.call('GET', '/api/v1/resources', { token })).body as {
      resources: { accounts: { account: string; default: boolean; reachable: boolean }[] }[];
    };
    const accounts = resources.flatMap((one) => one.accounts);
    const told = accounts.filter((one) => one.default).map(({ account }) => account);
    const open = accounts.filter(({ reachable }) => reachable).map(({ account }) => account);
    // The same principal at the door.
    const principal: Principal = { ...questionOf({ name: user, issuer: 'gw-1' }).principal, groups };
    const arrival = { principal, resource, connect, policy, grants: stage.access.grants };
    if (told[0] !== undefined) assert.equal(chooseAccount(arrival, null).name, told[0]);
    for (const { account, reachable } of accounts) {
      if (reachable) assert.equal(chooseAccount(arrival, account).name, account);
      else assert.throws(() => chooseAccount(arrival, account));
    }
    return [told, open];
  };
  try {
    // The first account is for another group: it is not the default.
    assert.deepEqual(await reached('rita', ['developers']), [['read-write'], ['read-write']]);
    assert.deepEqual(await reached('rita', ['developers', 'auditing']), [['read-only'], ['read-only', 'read-write']]);
    assert.deepEqual(await reached('rita', ['strangers']), [[], []]);
    const grant = await ask('rita', { role: 'read-only', breakGlass: true });
    assert.deepEqual(await reached('rita', ['developers']), [['read-only'], ['read-only', 'read-write']]);
    assert.deepEqual(await reached('other', ['developers']), [['read-write'], ['read-write']]);
    await stage.access.grants.revoke(grant, questionOf({ name: 'root', issuer: 'gw-1' }).principal, '');
    assert.deepEqual(await reached('rita', ['developers']), [['read-write'], ['read-write']]);
  } finally {
    policy.close();
  }
});

test('errors of grants have statuses that say whose fault it is', async () => {
  const token = stage.token('nina', ['analysts']);
  const json = { resource: 'payments', role: 'owner', seconds: 60, reason: 'now', breakGlass: true };
  const refused = await stage.call('POST', '/api/v1/grants', { token, json });
  assert.deepEqual([refused.status, (refused.body as { error: { code: string } }).error.code], [403, 'grant_denied']);
  const list = await stage.call('GET', '/api/v1/policy', { token });
  assert.match(list.text, /no policy permits policy\.read on the gateway/);
});

test('how much one person may ask for is bounded, and the error says what to do', async () => {
  const token = stage.token('nora', ['developers']);
  const json = { resource: 'payments', role: 'owner', seconds: 60, reason: 'now' };
  const glass = { ...json, breakGlass: true };
  assert.equal((await stage.call('POST', '/api/v1/grants', { token, json: glass })).status, 201);
  const again = await stage.call('POST', '/api/v1/grants', { token, json: glass });
  const { error } = again.body as { error: { code: string; hint: string } };
  assert.deepEqual([again.status, error.code], [409, 'grant_unconfirmed']);
  assert.match(error.hint, /confirmed by dba/);
  for (let i = 0; i < MAX_PENDING_GRANTS; i++) assert.equal((await stage.call('POST', '/api/v1/grants', { token, json })).status, 201);
  const flood = await stage.call('POST', '/api/v1/grants', { token, json });
  assert.deepEqual([flood.status, (flood.body as { error: { code: string } }).error.code], [429, 'grant_too_many']);
});

test('behind a trusted proxy each client is one of its own, in limits and in the record', async () => {
  const guess = (forwarded: string): Promise<Answer> =>
    stage.call('GET', '/api/v1/whoami', { token: 'wrong', headers: { 'x-forwarded-for': forwarded } });
  const statuses: number[] = [];
  for (let i = 0; i < 12; i++) statuses.push((await guess(`10.0.0.${i}, 192.0.2.7`)).status);
  assert.deepEqual([statuses[0], statuses.at(-1)], [401, 429], 'what the client itself says of where it is counts for nothing');
  assert.equal((await guess('192.0.2.8')).status, 401);
  const sources = (await stage.record()).filter((line) => line.type === 'auth' && line['via'] === 'api').map((line) => line['source']);
  assert.deepEqual([...new Set(sources)], ['192.0.2.7', '192.0.2.8']);
});
