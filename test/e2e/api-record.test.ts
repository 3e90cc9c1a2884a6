import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { type ApiStage, type CallOptions, questionOf, startApiStage } from '../support/api-stage.ts';
import { openSession } from '../support/control.ts';
import type { RecordLine } from '../support/stage.ts';

let stage: ApiStage;
before(async () => {
  stage = await startApiStage();
});
after(() => stage.stop());

const known = new Set<number>();

/** Makes the call and gives its answer and the lines that it left. */
async function does(path: string, more: CallOptions, expected = 200): Promise<{ body: Record<string, unknown>; lines: RecordLine[] }> {
  for (const line of await stage.record()) known.add(line.seq);
  const answer = await stage.call(more.json === undefined ? 'GET' : 'POST', path, more);
  assert.equal(answer.status, expected, `${path}: ${answer.text}`);
  const lines = (await stage.record()).filter((line) => !known.has(line.seq));
  if (more.json !== undefined && answer.status < 400) assertLine(lines, 'config', '"api.request"', '"credential"', '"source":"127.0.0.1"');
  return { body: answer.body as Record<string, unknown>, lines: lines.filter((line) => line['event'] !== 'api.request') };
}

/** That exactly one line of the type holds all of `parts`. */
function assertLine(lines: readonly RecordLine[], type: string, ...parts: readonly string[]): void {
  const found = lines.filter((line) => line.type === type && parts.every((part) => JSON.stringify(line).includes(part)));
  assert.equal(found.length, 1, `${type} with ${parts.join(', ')} among ${JSON.stringify(lines)}`);
}

test('every change leaves one line that says what was done and by whom', async () => {
  const root = stage.token('root', ['admins', 'security']);
  const dana = stage.token('dana', ['dba']);
  const bob = stage.token('bob');

  const issued = await does('/api/v1/tokens', { token: root, json: {} }, 201);
  assertLine(issued.lines, 'auth', '"event":"token"', '"user":"root"', String(issued.body['id']));
  const taken = await does(`/api/v1/tokens/${String(issued.body['id'])}/revoke`, { token: root, json: { reason: 'lost it' } });
  assertLine(taken.lines, 'config', '"revocation.revoked"', '"name":"root"', String(issued.body['id']), 'lost it');

  const person = { name: 'eve', issuer: 'https://idp.test' };
  assertLine((await does('/api/v1/users/revoke', { token: root, json: person })).lines, 'config', '"revocation.revoked"', 'root', 'eve');
  assertLine((await does('/api/v1/users/restore', { token: root, json: person })).lines, 'config', '"revocation.restored"', 'root', 'eve');

  const made = await does('/api/v1/keys', { token: root, json: { service: 'etl', groups: ['loaders'], ttlSeconds: 600 } }, 201);
  const { id } = made.body['key'] as { id: string };
  assertLine(made.lines, 'config', '"service-key"', '"create"', '"by":"root"', id, 'loaders');
  const rotated = await does(`/api/v1/keys/${id}/rotate`, { token: root, json: {} }, 201);
  assertLine(rotated.lines, 'config', '"rotate"', '"by":"root"', id);
  const fresh = (rotated.body['key'] as { id: string }).id;
  const ended = await does(`/api/v1/keys/${fresh}/revoke`, { token: root, json: { reason: 'leaked' } });
  assertLine(ended.lines, 'config', '"service-key"', '"revoke"', '"by":"root"', fresh, 'leaked');
  assertLine(ended.lines, 'config', '"revocation.revoked"', '"name":"root"', fresh, '"reason":"leaked"');

  const wanted = { resource: 'payments', role: 'read-write', seconds: 600, reason: 'task', ticket: 'OPS-1' };
  const asked = await does('/api/v1/grants', { token: bob, json: wanted }, 201);
  const grant = String(asked.body['id']);
  assertLine(asked.lines, 'approval', '"grant.request"', grant, '"name":"bob"', 'OPS-1');
  const given = await does(`/api/v1/grants/${grant}/decision`, { token: dana, json: { decision: 'approve', reason: 'fine' } });
  assertLine(given.lines, 'approval', '"grant.vote"', grant, '"name":"dana"', 'fine');
  const back = await does(`/api/v1/grants/${grant}/revoke`, { token: root, json: { reason: 'enough' } });
  assertLine(back.lines, 'approval', '"grant.revoked"', grant, '"name":"root"', 'enough');

  const waiting = await stage.access.approvals.ask(questionOf({ name: 'bob', issuer: 'gw-1' }));
  const denied = await does(`/api/v1/approvals/${waiting.approval.id}/decision`, { token: dana, json: { decision: 'deny', reason: 'no' } });
  assertLine(denied.lines, 'approval', '"vote"', waiting.approval.id, '"name":"dana"', '"deny"');

  const out = await does('/api/v1/logout', { token: bob, json: {} });
  assertLine(out.lines, 'config', '"revocation.revoked"', '"name":"bob"', 'logged out');
});

test('every reading of the record leaves its own line, also of what is not there', async () => {
  const ann = stage.token('ann', ['auditors']);
  assertLine((await does('/api/v1/record/sessions', { token: ann })).lines, 'read', '"sessions ls"', '"name":"ann"');
  assertLine((await does('/api/v1/record/sessions/none', { token: ann }, 404)).lines, 'read', '"sessions show"', 'none', '"name":"ann"');
  const searched = await does('/api/v1/record/search?text=4111111111111111&user=bob', { token: ann });
  assertLine(searched.lines, 'read', '"sessions search"', 'principal=bob', '"name":"ann"');
  assert.ok(!JSON.stringify(searched.lines).includes('4111111111111111'), 'what was searched for may be card data');
});

test('what is refused leaves a line of the refusal and none of a change', async () => {
  const mallory = stage.token('mallory');
  const session = openSession('refused-1', questionOf({ name: 'ada', issuer: 'gw-1' }).principal);
  const forget = stage.live.add(session);
  for (const [path, json] of [
    ['/api/v1/users/revoke', { name: 'root', issuer: 'gw-1' }],
    ['/api/v1/keys', { service: 'x', groups: [], ttlSeconds: 600 }],
    ['/api/v1/tokens', {}],
    [`/api/v1/sessions/${session.sid}/kill`, {}],
  ] as const) {
    const { lines } = await does(path, { token: mallory, json }, 403);
    assertLine(lines, 'deny', '"kind":"api"', '"name":"mallory"');
    assert.equal(lines.length, 1, JSON.stringify(lines));
  }
  forget();
  assert.deepEqual((await does(`/api/v1/sessions/${session.sid}/kill`, { token: mallory, json: {} }, 404)).lines, [], 'nobody is there');
});
