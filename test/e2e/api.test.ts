import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { errorSchema } from '../../src/admin/openapi.ts';
import type { Route } from '../../src/admin/route.ts';
import { breach, type Schema } from '../../src/admin/schema.ts';
import { type ApiStage, questionOf, startApiStage } from '../support/api-stage.ts';
import { openSession } from '../support/control.ts';

/** Every route answers, as the document says, to who may and to nobody else. */

let stage: ApiStage;
before(async () => {
  stage = await startApiStage();
});
after(() => stage.stop());

const everything = ['dba', 'security', 'auditors', 'admins', 'developers'];

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}
interface Operation {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, { readonly schema: Schema }>> }>>;
}

async function document(): Promise<Document> {
  return (await stage.call('GET', '/api/v1/openapi.json')).body as Document;
}

test('the document has every route and nothing else', async () => {
  const { openapi, paths } = await document();
  assert.equal(openapi, '3.1.0');
  const documented = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(documented.sort(), stage.api.routes.map(({ method, path }) => `${method} ${path}`).sort());
  const ids = Object.values(paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId));
  assert.equal(new Set(ids).size, ids.length);
});

/** A request to each route that succeeds for somebody who may do everything. */
const requests: Readonly<Record<string, () => Promise<{ path?: string; json?: unknown; status: number }>>> = {
  decideApproval: async () => ({
    path: `/api/v1/approvals/${await pending()}/decision`,
    json: { decision: 'approve', reason: 'ok' },
    status: 200,
  }),
  getApproval: async () => ({ path: `/api/v1/approvals/${await pending()}`, status: 200 }),
  requestGrant: async () => ({
    json: { resource: 'payments', role: 'read-write', seconds: 600, reason: 'a task', ticket: 'OPS-1' },
    status: 201,
  }),
  getGrant: async () => ({ path: `/api/v1/grants/${await requested()}`, status: 200 }),
  decideGrant: async () => ({ path: `/api/v1/grants/${await requested()}/decision`, json: { decision: 'deny' }, status: 200 }),
  revokeGrant: async () => ({ path: `/api/v1/grants/${await active()}/revoke`, json: {}, status: 200 }),
  killSession: async () => {
    stage.live.add({ ...openSession('live-2', questionOf({ name: 'ada', issuer: 'gw-1' }).principal) });
    return { path: '/api/v1/sessions/live-2/kill', json: { reason: 'enough' }, status: 200 };
  },
  showRecordedSession: async () => ({ path: '/api/v1/record/sessions/none', status: 404 }),
  issueToken: async () => ({ json: { ttlSeconds: 600 }, status: 201 }),
  revokeToken: async () => ({ path: '/api/v1/tokens/0b0e7f0a-3c55-4d2e-9a43-5f0f6f3a8d11/revoke', json: {}, status: 200 }),
  revokeUser: async () => ({ json: { name: 'gone', issuer: 'gw-1', reason: 'left' }, status: 200 }),
  restoreUser: async () => ({ json: { name: 'gone', issuer: 'gw-1', reason: 'came back' }, status: 200 }),
  createKey: async () => ({ json: { service: 'ci', groups: ['analysts'], ttlSeconds: 3600 }, status: 201 }),
  rotateKey: async () => ({ path: `/api/v1/keys/${await key('ci-rotate')}/rotate`, json: { overlapSeconds: 60 }, status: 201 }),
  revokeKey: async () => ({ path: `/api/v1/keys/${await key('ci-revoke')}/revoke`, json: {}, status: 200 }),
  streamEvents: async () => ({ status: 426 }),
  beginLogin: async () => ({ status: 303 }),
  finishLogin: async () => ({ path: '/api/v1/login/callback?state=unknown&code=x', status: 400 }),
  finishSamlLogin: async () => ({ status: 400 }),
  beginDeviceLogin: async () => ({ json: { provider: 'company' }, status: 200 }),
  pollDeviceLogin: async () => ({ json: { id: await device() }, status: 202 }),
  redeemCode: async () => ({ json: { code: 'unknown', verifier: 'v'.repeat(43) }, status: 400 }),
  backchannelLogout: async () => ({ status: 400 }),
};

async function pending(): Promise<string> {
  const asked = await stage.access.approvals.ask(questionOf({ name: 'bob', issuer: 'gw-1' }));
  return asked.approval.id;
}
async function requested(): Promise<string> {
  const json = { resource: 'payments', role: 'read-write', seconds: 600, reason: 'a task' };
  const { body } = await stage.call('POST', '/api/v1/grants', { token: stage.token('bob'), json });
  return (body as { id: string }).id;
}
async function active(): Promise<string> {
  const id = await requested();
  const decided = await stage.call('POST', `/api/v1/grants/${id}/decision`, {
    token: stage.token('root', everything),
    json: { decision: 'approve' },
  });
  assert.equal(decided.status, 200, decided.text);
  return id;
}
async function key(service: string): Promise<string> {
  const json = { service, groups: [], ttlSeconds: 3600 };
  const made = await stage.call('POST', '/api/v1/keys', { token: stage.token('root', everything), json });
  return (made.body as { key: { id: string } }).key.id;
}
async function device(): Promise<string> {
  const begun = await stage.call('POST', '/api/v1/login/device', { json: {} });
  return (begun.body as { id: string }).id;
}

async function send(route: Route, token?: string): Promise<{ status: number; text: string; type: string; expected: number }> {
  const { path = route.path, json, status } = (await requests[route.id]?.()) ?? { status: 200 };
  const form = route.form === undefined ? {} : { form: { nothing: 'here' } };
  const answer = await stage.call(route.method, path, {
    ...(token === undefined ? {} : { token }),
    ...(json === undefined ? {} : { json }),
    ...form,
  });
  return { status: answer.status, text: answer.text, type: answer.headers.get('content-type') ?? '', expected: status };
}

test('every documented route answers as its schema says', async (t) => {
  await pending();
  const { paths } = await document();
  const root = stage.token('root', everything);
  // The log-out takes its own token back.
  const once = stage.token('root', everything);
  for (const route of stage.api.routes) {
    await t.test(`${route.method} ${route.path}`, async () => {
      const answer = await send(route, route.access === 'open' ? undefined : route.id === 'logout' ? once : root);
      assert.equal(answer.status, answer.expected, answer.text);
      const described = paths[route.path]?.[route.method.toLowerCase()]?.responses[String(answer.status)];
      if (answer.status === 303) return;
      if (!answer.type.startsWith('application/json')) {
        assert.ok(described?.content?.['text/plain'], answer.type);
        return;
      }
      const schema = answer.status >= 400 && answer.status !== 426 ? errorSchema : described?.content?.['application/json']?.schema;
      assert.ok(schema, `no schema for ${answer.status}`);
      assert.equal(breach(schema, JSON.parse(answer.text)), null, answer.text);
    });
  }
});

test('nobody gets in without a token, and without a permit only where things are their own', async (t) => {
  const outsider = stage.token('outsider');
  for (const route of stage.api.routes) {
    if (route.access === 'open') continue;
    await t.test(`${route.method} ${route.path}`, async () => {
      const anonymous = await send(route);
      assert.equal(anonymous.status, 401, anonymous.text);
      if (route.access === 'logged-in') return;
      const { status, text } = await send(route, outsider);
      // What is not theirs is not there for them; lists are empty.
      const expected = route.own !== true ? [403] : route.method === 'GET' ? [200, 404] : route.id === 'requestGrant' ? [201] : [403, 404];
      assert.ok(expected.includes(status), `${status} ${text}`);
      if (status === 200) {
        const lists = Object.values(JSON.parse(text) as object).filter(Array.isArray);
        assert.ok(lists.length > 0 && lists.every((one) => one.length === 0), text);
      }
      if (status === 403) assert.match(text, /"code":"forbidden"/);
    });
  }
});

test('a port that is taken is an error that says so', async () => {
  const { hostname, port } = new URL(stage.url);
  await assert.rejects(startApiStage({ sections: { listeners: { postgres: '127.0.0.1:6543', https: `${hostname}:${port}` } } }), {
    code: 'listen_failed',
  });
});
