import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Resource } from '../config/model.ts';
import { GatewayError } from '../errors.ts';
import type { Operation, PolicyEngine, Principal } from '../policy/model.ts';
import { type Arrival, chooseAccount, stillGranted } from './accounts.ts';

const CONNECT: Operation = { action: 'connect', objects: [], attributes: {} };

function arrival(groups: readonly string[], granted: readonly string[] = [], closed: readonly string[] = []): Arrival {
  const account = (user: string, forGroups: readonly string[] | null) => ({ user, password: 'env:X', groups: forGroups });
  const resource: Resource = {
    name: 'db',
    kind: 'sql',
    host: 'h',
    port: 1,
    database: 'd',
    tls: 'disable',
    ca: null,
    accounts: new Map([
      ['read', account('r', ['staff'])],
      ['write', account('w', ['writers'])],
      ['open', account('o', null)],
    ]),
    protect: new Map(),
  };
  const principal: Principal = {
    kind: 'user',
    name: 'ada',
    issuer: 'i',
    subject: 'ada',
    groups,
    credential: { kind: 'token', id: '1', expiresAt: 0 },
    claims: {},
  };
  const policy: PolicyEngine = {
    snapshot: 's',
    scope: () => '',
    decide: (_who, target) =>
      closed.includes(target.account)
        ? { kind: 'deny', policies: ['shut'], snapshot: 's', reason: 'forbidden', message: 'shut', hint: 'ask' }
        : { kind: 'allow', policies: [], snapshot: 's' },
  };
  const grants = { groupsOf: () => granted.map((group, i) => ({ group, grant: `g${i}`, expiresAt: 1 })) };
  return { principal, resource, connect: CONNECT, policy, grants };
}

const refusal = (attempt: () => unknown): GatewayError => {
  try {
    attempt();
  } catch (error) {
    if (error instanceof GatewayError) return error;
  }
  return assert.fail('it was open');
};

test('the first account that groups and policy open is taken', () => {
  assert.equal(chooseAccount(arrival(['staff', 'writers']), null).name, 'read');
  assert.equal(chooseAccount(arrival(['writers']), null).name, 'write');
  assert.equal(chooseAccount(arrival(['staff', 'writers'], [], ['read']), null).name, 'write');
  assert.equal(chooseAccount(arrival([]), null).name, 'open');
  assert.equal(chooseAccount(arrival(['staff', 'writers']), 'write').name, 'write');
});

test('a grant gives its own account, and its group to a session on that account alone', () => {
  const granted = chooseAccount(arrival(['staff'], ['db/write']), 'write');
  assert.deepEqual([granted.name, granted.grants, granted.principal.groups], ['write', ['g0'], ['staff', 'db/write']]);
  const other = chooseAccount(arrival(['staff'], ['db/write']), null);
  assert.deepEqual([other.name, other.grants, other.principal.groups], ['read', [], ['staff']]);
  assert.equal(refusal(() => chooseAccount(arrival(['staff'], ['other/write']), 'write')).code, 'account_unknown');
});

test('a refusal names what is open and nothing else', () => {
  const closed = refusal(() => chooseAccount(arrival(['staff']), 'write'));
  assert.equal(closed.hint, 'open to you: read, open');
  const missing = refusal(() => chooseAccount(arrival(['staff']), 'none'));
  assert.equal(missing.publicMessage.replace('none', 'write'), closed.publicMessage);
  const forbidden = refusal(() => chooseAccount(arrival(['staff'], [], ['read']), 'read'));
  assert.deepEqual([forbidden.code, forbidden.hint], ['denied', 'ask; open to you: open']);
  const all = refusal(() => chooseAccount(arrival([], [], ['open']), null));
  assert.deepEqual([all.code, all.publicMessage], ['denied', 'denied: shut']);
});

test('approval is no answer to a log-in', () => {
  const asks = arrival(['staff']);
  const policy: PolicyEngine = {
    ...asks.policy,
    decide: () => ({ kind: 'approve', policies: ['p'], snapshot: 's', approvers: [], message: 'needs approval', hint: '' }),
  };
  assert.equal(refusal(() => chooseAccount({ ...asks, policy }, null)).code, 'denied');
});

test('a grant that is gone takes the session with it', () => {
  const chosen = chooseAccount(arrival([], ['db/write']), 'write');
  assert.equal(stillGranted(chosen, arrival([], ['db/write']).grants), true);
  assert.equal(stillGranted(chosen, arrival([]).grants), false);
  assert.equal(stillGranted(chooseAccount(arrival(['staff']), null), arrival([]).grants), true);
});
