import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { connect } from 'node:tls';

import { closeCodes } from '../../src/admin/events.ts';
import { SERVICE_KEY_ISSUER } from '../../src/identity/service-keys.ts';
import { type ApiStage, questionOf, startApiStage } from '../support/api-stage.ts';

let stage: ApiStage;
before(async () => {
  stage = await startApiStage({
    policies: '@id("test.stream")\npermit (principal in Group::"payments/read-write", action == Action::"events.read", resource);\n',
  });
});
after(() => stage.stop());

interface Made {
  readonly key: { readonly id: string };
  readonly secret: string;
}

/** What the server says to bytes as they are, until it closes or has been silent for a moment. */
async function raw(text: string): Promise<string> {
  const { hostname, port } = new URL(stage.url);
  const socket = connect({ host: hostname, port: Number(port), ca: readFileSync(stage.caFile) });
  await once(socket, 'secureConnect');
  let answer = '';
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString('latin1');
  });
  socket.write(text);
  socket.setTimeout(500, () => socket.destroy());
  await once(socket, 'close');
  return answer;
}

test('nobody decides by the key of a service, whoever made it', async () => {
  const adam = stage.token('adam', ['admins']);
  const asked = await stage.access.approvals.ask(questionOf({ name: 'adam', issuer: 'gw-1' }));
  // A policy of the operator's own may let such a key be made: it still decides nothing.
  const { secret } = await stage.identity.serviceKeys.create({
    service: 'helper',
    groups: ['dba'],
    ttlSeconds: 3600,
    by: {
      kind: 'user',
      name: 'adam',
      issuer: 'gw-1',
      subject: 'adam',
      groups: [],
      credential: { kind: 't', id: 't', expiresAt: 0 },
      claims: {},
    },
  });
  const decision = { decision: 'approve', reason: 'mine' };
  const approval = await stage.call('POST', `/api/v1/approvals/${asked.approval.id}/decision`, { token: secret, json: decision });
  assert.equal(approval.status, 403);
  assert.match(approval.text, /"person_required"/);
  const wanted = { resource: 'payments', role: 'read-write', seconds: 60, reason: 'task' };
  const grant = (await stage.call('POST', '/api/v1/grants', { token: adam, json: wanted })).body as { id: string };
  const granted = await stage.call('POST', `/api/v1/grants/${grant.id}/decision`, { token: secret, json: decision });
  assert.equal(granted.status, 403);
  assert.match(granted.text, /"person_required"/);
  const seen = await stage.call('GET', `/api/v1/approvals/${asked.approval.id}`, { token: secret });
  assert.equal((seen.body as { state: string }).state, 'pending');
  asked.end('cancelled');
});

test('nobody decides on what a service asked whose key they made', async () => {
  const root = stage.token('root', ['admins', 'dba']);
  const body = { service: 'puppet', groups: ['analysts'], ttlSeconds: 3600 };
  const { secret } = (await stage.call('POST', '/api/v1/keys', { token: root, json: body })).body as Made;
  const wanted = { resource: 'payments', role: 'read-write', seconds: 60, reason: 'task' };
  const { id } = (await stage.call('POST', '/api/v1/grants', { token: secret, json: wanted })).body as { id: string };
  const decision = { decision: 'approve' };
  const own = await stage.call('POST', `/api/v1/grants/${id}/decision`, { token: root, json: decision });
  assert.equal(own.status, 403);
  assert.match(own.text, /"grant_own"/);
  const puppet = questionOf({ name: 'puppet', issuer: SERVICE_KEY_ISSUER });
  const asked = await stage.access.approvals.ask(puppet);
  const approval = await stage.call('POST', `/api/v1/approvals/${asked.approval.id}/decision`, { token: root, json: decision });
  assert.equal(approval.status, 403);
  assert.match(approval.text, /"approval_own"/);
  asked.end('cancelled');
  const other = await stage.call('POST', `/api/v1/grants/${id}/decision`, { token: stage.token('dana', ['dba']), json: decision });
  assert.equal(other.status, 200, other.text);
});

test('who manages keys does not come by groups that decide or watch', async () => {
  const adam = stage.token('adam', ['admins']);
  const wanted = { service: 'mole', groups: ['analysts', 'dba'], ttlSeconds: 3600 };
  assert.equal((await stage.call('POST', '/api/v1/keys', { token: adam, json: wanted })).status, 403);
  const keys = (await stage.call('GET', '/api/v1/keys', { token: adam })).body as { keys: { id: string; service: string }[] };
  assert.ok(!keys.keys.some(({ service }) => service === 'mole'));
  const helper = keys.keys.find(({ service }) => service === 'helper');
  assert.ok(helper);
  // To rotate is to be given the new one.
  assert.equal((await stage.call('POST', `/api/v1/keys/${helper.id}/rotate`, { token: adam, json: {} })).status, 403);
  const plain = await stage.call('POST', '/api/v1/keys', { token: adam, json: { ...wanted, groups: ['analysts'] } });
  const { key } = plain.body as Made;
  assert.equal((await stage.call('POST', `/api/v1/keys/${key.id}/rotate`, { token: adam, json: {} })).status, 201);
});

test('a request whose end is not clear ends the connection, with whatever follows it', async () => {
  const hidden = 'GET /api/v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n';
  const plain = await raw(`POST /api/v1/logout HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`);
  assert.match(plain, /^HTTP\/1\.1 401 /);
  for (const framing of [
    `Content-Length: 0\r\nContent-Length: ${hidden.length}\r\n\r\n`,
    'Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
    'Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
  ]) {
    const answer = await raw(`POST /api/v1/logout HTTP/1.1\r\nHost: x\r\n${framing}${hidden}`);
    assert.doesNotMatch(answer, /"live":true/, framing);
    assert.match(answer, /^(?:HTTP\/1\.1 400 |$)/, framing);
  }
});

test('a text that the store cannot take is refused, not a failure of the gateway', async () => {
  const root = stage.token('root', ['admins', 'security', 'auditors']);
  for (const path of ['/api/v1/approvals/%00', '/api/v1/grants/a%00b', '/approvals/%00'])
    assert.equal((await stage.call('GET', path, { token: root })).status, 404, path);
  assert.equal((await stage.call('GET', '/api/v1/grants?user=%00', { token: root })).status, 400);
  const body = { name: 'a\0', issuer: 'b' };
  assert.equal((await stage.call('POST', '/api/v1/users/revoke', { token: root, json: body })).status, 400);
});

test('half of a character in a reason leaves no revocation half done', async () => {
  const json = { resource: 'payments', role: 'read-write', seconds: 60, reason: 'task' };
  const grant = (await stage.call('POST', '/api/v1/grants', { token: stage.token('sue'), json })).body as { id: string };
  const root = stage.token('root', ['admins']);
  const raw = '{"name":"sue","reason":"left \\ud800"}';
  const revoked = await stage.call('POST', '/api/v1/users/revoke', { token: root, raw, headers: { 'content-type': 'application/json' } });
  assert.deepEqual([revoked.status, revoked.body], [200, { done: true, name: 'sue', issuers: ['gw-1'] }], revoked.text);
  const ended = await stage.access.grants.get(grant.id);
  assert.deepEqual([ended?.state, ended?.ended?.reason], ['revoked', 'left \ufffd']);
  assert.equal((await stage.access.revocations.list()).find(({ id }) => id === 'gw-1 sue')?.reason, 'left \ufffd');
});

test('a stream that stands on a grant ends with it', async () => {
  const carl = stage.token('carl');
  const wanted = { resource: 'payments', role: 'read-write', seconds: 600, reason: 'watch' };
  const grant = (await stage.call('POST', '/api/v1/grants', { token: carl, json: wanted })).body as { id: string };
  const dana = stage.token('dana', ['dba']);
  const decided = await stage.call('POST', `/api/v1/grants/${grant.id}/decision`, { token: dana, json: { decision: 'approve' } });
  assert.equal(decided.status, 200, decided.text);
  const headers = { authorization: `Bearer ${carl}` };
  const socket = new WebSocket(`${stage.url.replace('https', 'wss')}/api/v1/events`, { headers } as unknown as string[]);
  await once(socket, 'open');
  const closed = once(socket, 'close') as Promise<[{ readonly code: number }]>;
  assert.equal((await stage.call('POST', `/api/v1/grants/${grant.id}/revoke`, { token: carl, json: {} })).status, 200);
  const [{ code }] = await closed;
  assert.equal(code, closeCodes.noLongerAllowed);
});

test('nobody pushes what waits off the page by asking for a lot', async () => {
  const first = await stage.access.approvals.ask(questionOf({ name: 'bob', issuer: 'gw-1' }));
  const decoys: string[] = [];
  for (let n = 0; n < 201; n++) {
    const decoy = await stage.access.approvals.ask(questionOf({ name: 'mallory', issuer: 'gw-1' }, { exact: [Buffer.from(`decoy ${n}`)] }));
    decoys.push(decoy.approval.id);
    decoy.end('cancelled');
    await decoy.outcome;
  }
  const page = await stage.call('GET', '/approvals', { token: stage.token('dana', ['dba']) });
  assert.equal(page.status, 200);
  assert.ok(page.text.includes(first.approval.id), 'the oldest still waits, and is shown');
  assert.ok(!page.text.includes(decoys[0] ?? ''), 'the first decoy is not');
  first.end('cancelled');
});

// The last: it uses up what this address may try.
test('to guess at log-ins under way is limited; to be told of log-outs is not', async () => {
  const statuses: number[] = [];
  for (let i = 0; i < 40; i++) {
    const { status } = await stage.call('POST', '/api/v1/login/device/poll', { json: { id: `guess-${i}` } });
    statuses.push(status);
  }
  assert.equal(statuses[0], 400);
  assert.equal(statuses.at(-1), 429);
  const forged = await stage.call('POST', '/api/v1/login/backchannel', { form: { logout_token: 'x' } });
  assert.equal(forged.status, 429, 'one who guesses is not listened to');
});
