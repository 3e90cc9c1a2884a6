import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { GatewayError } from '../errors.ts';
import { CedarEngine, loadPolicies } from './engine.ts';
import type { Operation, Principal, Target } from './model.ts';
import { cedarSchema } from './schema.ts';
import type { ProtocolVocabulary } from './vocabulary.ts';

const files: ProtocolVocabulary = {
  protocol: 'files',
  actions: { get: ['read'], put: ['write'], run: ['write'] },
  objectTypes: [
    { name: 'Folder', in: [], attributes: [], describe: () => ({ attributes: {}, parents: [] }) },
    {
      name: 'File',
      in: ['Folder'],
      attributes: ['name'],
      describe: (path) => ({
        attributes: { name: path.slice(path.indexOf('/') + 1) },
        parents: [{ type: 'Folder', path: path.slice(0, path.indexOf('/')) }],
      }),
    },
  ],
  context: { size: 'Long', tags: 'Set<String>', safe: 'Bool', via: 'String' },
};
const target: Target = { resource: 'store', kind: 'files', account: 'ro', address: 'h:1' };
const ann: Principal = {
  kind: 'user',
  name: 'ann',
  issuer: 'i',
  subject: 'ann',
  groups: ['staff'],
  credential: { kind: 'k', id: 'c', expiresAt: 0 },
  claims: {},
};
const get = (...paths: string[]): Operation => ({
  action: 'get',
  objects: paths.map((path) => ({ type: 'File', path, action: 'get' })),
  attributes: { size: 1, tags: [], safe: true, via: 'web' },
});
const engine = (text: string): CedarEngine => new CedarEngine([{ name: 'a.cedar', text }], [files]);
const staffRead = '@id("staff") permit(principal in Group::"staff", action in Action::"read", resource);\n';

test('an operation is allowed when all its objects are', () => {
  const e = engine(
    `${staffRead}@id("no-x") @hint("not x") forbid(principal, action, resource) when { resource is File && resource.name == "x" };`,
  );
  assert.deepEqual(e.decide(ann, target, get('d/a', 'd/b')), { kind: 'allow', policies: ['staff'], snapshot: e.snapshot });
  const denied = e.decide(ann, target, get('d/a', 'd/x', 'd/b'));
  assert.ok(denied.kind === 'deny');
  assert.deepEqual([denied.reason, denied.policies, denied.hint], ['forbidden', ['no-x'], 'not x']);
  assert.match(denied.message, /get on d\/x/);
});

test('what nothing permits is denied without policies', () => {
  const e = engine(staffRead);
  for (const decision of [
    e.decide({ ...ann, groups: ['guests'] }, target, get('d/a')),
    e.decide({ ...ann, groups: [] }, target, get()),
    e.decide(ann, target, { ...get('d/a'), objects: [{ type: 'File', path: 'd/a', action: 'put' }] }),
  ]) {
    assert.ok(decision.kind === 'deny');
    assert.deepEqual([decision.reason, decision.policies], ['no-permit', []]);
  }
});

test("the operation's own action counts even when every object is allowed", () => {
  const e = engine(staffRead);
  const decision = e.decide(ann, target, { ...get('d/a'), action: 'run' });
  assert.ok(decision.kind === 'deny');
  assert.match(decision.message, /run on store/);
});

test('policies can name the resource, a folder, the account, the kind of principal and attributes', () => {
  const cases: [string, Operation, boolean][] = [
    ['resource in Resource::"store"', get('d/a'), true],
    ['resource in Resource::"other"', get('d/a'), false],
    ['resource in Folder::"store/d"', get('d/a'), true],
    ['resource in Folder::"store/e"', get('d/a'), false],
    ['resource == File::"store/d/a"', get('d/a'), true],
    ['resource == Resource::"store"', get(), true],
    ['context.account == "ro" && context.resource == "store" && context.kind == "files"', get('d/a'), true],
    ['context.account == "rw"', get('d/a'), false],
    ['principal is User && principal == User::"ann"', get('d/a'), true],
    ['principal is Service', get('d/a'), false],
    ['context.size < 2 && context.safe && context.via like "w*" && context.tags.isEmpty()', get('d/a'), true],
    ['action in Action::"files"', get('d/a'), true],
    ['context.tags.contains("x")', { ...get('d/a'), attributes: { ...get().attributes, tags: ['x', 'y'] } }, true],
  ];
  for (const [when, operation, expected] of cases) {
    const e = engine(`@id("p") permit(principal, action, resource) when { ${when} };`);
    assert.equal(e.decide(ann, target, operation).kind, expected ? 'allow' : 'deny', when);
    e.close();
  }
});

test("the operation cannot overwrite the engine's own facts", () => {
  const e = engine('@id("p") permit(principal, action, resource) when { context.account == "admin" };');
  assert.equal(e.decide(ann, target, { ...get('d/a'), attributes: { ...get().attributes, account: 'admin' } }).kind, 'deny');
});

test('whatever does not fit the schema, and any error, is a denial', () => {
  const e = engine(
    '@id("all") permit(principal, action, resource);\n@id("sum") forbid(principal, action, resource) when { context.size + 9223372036854775807 < 0 };',
  );
  const errors: [string, Operation][] = [
    ['missing attribute', { ...get('d/a'), attributes: { size: 1 } }],
    ['wrong type', { ...get('d/a'), attributes: { ...get().attributes, size: 'big' } }],
    ['not an integer', { ...get('d/a'), attributes: { ...get().attributes, size: 1.5 } }],
    ['unknown attribute', { ...get('d/a'), attributes: { ...get().attributes, more: 1 } }],
    ['unknown action', { ...get('d/a'), action: 'fly' }],
    ['a group is no action', { ...get('d/a'), action: 'read' }],
    ['unknown type of object', { ...get(), objects: [{ type: 'Disk', path: 'd', action: 'get' }] }],
    ['overflow in a forbid, which Cedar would skip', get('d/a')],
  ];
  for (const [what, operation] of errors) {
    const decision = e.decide(ann, target, operation);
    assert.ok(decision.kind === 'deny' && decision.reason === 'error', what);
  }
  assert.equal(e.decide(ann, target, { ...get('d/a'), attributes: { ...get().attributes, size: -1 } }).kind, 'allow');
  e.close();
  const closed = e.decide(ann, target, get('d/a'));
  assert.ok(closed.kind === 'deny' && closed.reason === 'error');
});

test('names are data, never policy text', () => {
  const e = engine(staffRead);
  for (const odd of ['"', '\\', 'a"::Group', '\u0000', '\ud800', '']) {
    assert.equal(e.decide({ ...ann, name: odd, groups: [odd] }, target, get(`d/${odd}`)).kind, 'deny');
    assert.equal(e.decide({ ...ann, name: odd }, target, get(`d/${odd}`)).kind, odd === '\ud800' ? 'deny' : 'allow', JSON.stringify(odd));
  }
});

test('problems name their place and what to write', () => {
  assert.throws(
    () =>
      engine(
        '@id("a") permit(principal, action == Action::"gett", resource);\n\n  @id("b") forbid(principal, action, resource) when { context.saef };',
      ),
    (error) => {
      assert.ok(error instanceof GatewayError && error.code === 'policy_invalid');
      const [first, second, ...more] = error.publicMessage.split('\n');
      assert.match(first ?? '', /^a\.cedar:1:38: .*unrecognized action `Action::"gett"`; did you mean `Action::"get"`\?$/);
      assert.match(second ?? '', /^a\.cedar:3:55: .*`saef`.*; did you mean `safe`\?$/);
      assert.deepEqual(more, []);
      return true;
    },
  );
});

test('vocabularies may share groups but neither actions nor types', () => {
  const other: ProtocolVocabulary = { ...files, protocol: 'web', actions: { visit: ['read'] }, objectTypes: [], context: {} };
  const e = new CedarEngine([{ name: 'a.cedar', text: staffRead }], [files, other]);
  assert.equal(e.decide(ann, { ...target, kind: 'web' }, { action: 'visit', objects: [], attributes: {} }).kind, 'allow');
  assert.throws(() => cedarSchema([files, { ...other, actions: { get: [] } }]), /web: the action get is declared by files already/);
  assert.throws(
    () => cedarSchema([files, { ...files, protocol: 'web', actions: {} }]),
    /the object type File is declared by files already/,
  );
  assert.throws(() => cedarSchema([{ ...other, actions: { read: [], visit: ['read'] } }]), /read is both an action and a group/);
  assert.throws(() => cedarSchema([{ ...other, context: { account: 'String' } }]), /the context attribute account is the engine's own/);
});

test('a directory is loaded in order of name, and its snapshot follows content, not place', () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-policy-'));
  try {
    for (const sub of ['one', 'two']) {
      mkdirSync(join(dir, sub));
      writeFileSync(join(dir, sub, '20-b.cedar'), '@id("b") permit(principal, action, resource);');
      writeFileSync(join(dir, sub, '10-a.cedar'), staffRead);
      writeFileSync(join(dir, sub, 'notes.txt'), 'not a policy');
    }
    const one = loadPolicies(join(dir, 'one'), [files], 'policies');
    assert.deepEqual(
      one.policies.map(({ id, file, line, effect }) => [id, file, line, effect]),
      [
        ['staff', 'policies/10-a.cedar', 1, 'permit'],
        ['b', 'policies/20-b.cedar', 1, 'permit'],
      ],
    );
    assert.match(one.snapshot, /^[0-9a-f]{64}$/);
    assert.equal(loadPolicies(join(dir, 'two'), [files]).snapshot, one.snapshot);
    writeFileSync(join(dir, 'two', '20-b.cedar'), '@id("b") permit(principal, action, resource); ');
    assert.notEqual(loadPolicies(join(dir, 'two'), [files]).snapshot, one.snapshot);
    writeFileSync(join(dir, 'two', '30-c.cedar'), staffRead);
    assert.throws(
      () => loadPolicies(join(dir, 'two'), [files], 'p'),
      /p\/30-c\.cedar:1:1: the policy id "staff" is taken by the policy at p\/10-a\.cedar:1/,
    );
    mkdirSync(join(dir, 'empty'));
    assert.throws(() => loadPolicies(join(dir, 'empty'), [files]), { code: 'policy_invalid' });
    assert.throws(() => loadPolicies(join(dir, 'none'), [files]), /cannot read the policies/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
