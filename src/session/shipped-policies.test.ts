import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type AdminAction, adminQuestion, adminVocabulary } from '../policy/admin-vocabulary.ts';
import { CedarEngine, loadPolicies } from '../policy/engine.ts';
import type { Principal } from '../policy/model.ts';
import { vocabularies } from '../protocols/registry.ts';

// The policies that ship, as far as they are about the gateway itself.
const engine = loadPolicies(join(import.meta.dirname, '../../deploy/policies'), vocabularies, 'policies', { resources: ['payments'] });
const actions = Object.keys(adminVocabulary.actions).filter((action) => action !== 'grant.request') as Exclude<
  AdminAction,
  'grant.request'
>[];

function member(...groups: string[]): Principal {
  return {
    kind: 'user',
    name: 'ann',
    issuer: 'i',
    subject: 'ann',
    groups,
    credential: { kind: 'k', id: 'c', expiresAt: 0 },
    claims: {},
  };
}

function allowed(principal: Principal): string[] {
  return actions.filter((action) => {
    const { target, operation } = adminQuestion(action, 'payments');
    const decision = engine.decide(principal, target, operation);
    assert.ok(decision.kind === 'allow' || (decision.kind === 'deny' && decision.reason === 'no-permit'), `${action}: ${decision.kind}`);
    return decision.kind === 'allow';
  });
}

test('each group may do its part of the administration and nothing else', () => {
  const readOnly = ['approval.list', 'grant.list', 'session.list', 'record.read', 'metrics.read', 'events.read', 'policy.read'];
  const deciding = ['approval.list', 'grant.list', 'session.list', 'approval.decide', 'grant.decide'];
  for (const [group, expected] of [
    ['analysts', []],
    ['developers', []],
    ['payments/read-write', []],
    ['dba', deciding],
    ['approvers', deciding],
    ['auditors', readOnly],
    ['security', [...readOnly, 'approval.decide', 'grant.decide', 'grant.revoke', 'session.kill', 'token.revoke', 'user.revoke']],
    ['monitoring', ['metrics.read', 'events.read']],
  ] as const) {
    assert.deepEqual(allowed(member(group)).sort(), [...expected].sort(), group);
  }
  const admins = allowed(member('admins'));
  assert.ok(admins.includes('key.manage') && !admins.includes('approval.decide') && !admins.includes('record.read'));
});

test('whoever manages keys makes none that decides, watches or runs the gateway', () => {
  const keyOf = (...groups: string[]): string => {
    const { target, operation } = adminQuestion('key.manage', '', { groups });
    return engine.decide(member('admins'), target, operation).kind;
  };
  assert.deepEqual([keyOf(), keyOf('analysts', 'monitoring')], ['allow', 'allow']);
  for (const group of ['admins', 'approvers', 'auditors', 'dba', 'security']) assert.equal(keyOf('analysts', group), 'deny', group);
});

test('a request for a grant asks dba, unless the glass is broken', () => {
  const facts = { role: 'read-write', seconds: 3600, breakGlass: false };
  const asked = adminQuestion('grant.request', 'payments', facts);
  const decision = engine.decide(member(), asked.target, asked.operation);
  assert.ok(decision.kind === 'approve');
  assert.deepEqual([decision.approvers, decision.policies], [[{ group: 'dba', needed: 1 }], ['admin.request-approval']]);
  assert.equal(engine.decide(member(), asked.target, asked.operation, ['dba']).kind, 'allow');
  const broken = adminQuestion('grant.request', 'payments', { ...facts, breakGlass: true });
  assert.equal(engine.decide(member(), broken.target, broken.operation).kind, 'allow');
});

test('a request for a grant that does not say what for is denied', () => {
  const { target } = adminQuestion('grant.list', 'payments');
  const decision = engine.decide(member(), target, { action: 'grant.request', objects: [], attributes: {} });
  assert.ok(decision.kind === 'deny' && decision.reason === 'error');
});

test('the examples of the documentation are good, one by one and together', () => {
  const docs = readFileSync(join(import.meta.dirname, '../../docs/policy.md'), 'utf8');
  const examples = [...docs.matchAll(/```cedar\n(.*?)```/gs)].map(([, text = ''], i) => ({ name: `example-${i}.cedar`, text }));
  assert.ok(examples.length >= 5);
  const options = { resources: ['payments'] };
  for (const example of examples) new CedarEngine([example], vocabularies, options).close();
  const all = new CedarEngine(examples, vocabularies, options);
  const corrections = all.policies.find(({ id }) => id === 'ledger.corrections');
  assert.deepEqual(corrections?.approvers, [
    { group: 'accounting', needed: 1 },
    { group: 'dba', needed: 2 },
  ]);
  all.close();
});

test("whatever a policy says of the protocols' actions says nothing of these", () => {
  const all = Object.entries(adminVocabulary.actions).flatMap(([, groups]) => groups);
  for (const group of new Set(all)) {
    const others = vocabularies.filter((vocabulary) => vocabulary !== adminVocabulary);
    assert.ok(!others.some((vocabulary) => Object.values(vocabulary.actions).some((groups) => groups.includes(group))), group);
  }
});
