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

test('what is remembered of one question answers no other, however many there were', () => {
  const text = `${staffRead}@id("no-x") forbid(principal, action, resource) when { resource is File && resource.name == "x" };
    @id("no-big") forbid(principal, action, resource) when { context.size > 9 };
    @id("not-rw") forbid(principal, action, resource) when { context.account == "rw" && context.via == "cli" };`;
  const remembering = engine(text);
  const forgetful = new CedarEngine([{ name: 'a.cedar', text }], [files], { remember: 0 });
  const outsider = { ...ann, name: 'bob', groups: [] };
  const other = { ...target, account: 'rw' };
  // More objects than are kept, twice over, so that those of the first turn have been forgotten in the second.
  for (let i = 0; i < 4000; i++) {
    const path = `d${i % 2000}/${i % 7 === 0 ? 'x' : 'y'}`;
    const operation: Operation = {
      ...get(path, 'e/z'),
      attributes: { size: i % 11, tags: [], safe: true, via: i % 2 === 0 ? 'cli' : 'web' },
    };
    const who = i % 5 === 0 ? outsider : ann;
    const where = i % 3 === 0 ? other : target;
    assert.deepEqual(remembering.decide(who, where, operation), forgetful.decide(who, where, operation), `${i}`);
  }
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
  const nowhere = e.decide(ann, { ...target, resource: '' }, { ...get(), action: 'run' });
  assert.ok(nowhere.kind === 'deny');
  assert.equal(nowhere.message, 'no policy permits run on the gateway');
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

test('a forbid with approvers asks for their approval', () => {
  const e = engine(
    `${staffRead}@id("put") permit(principal, action == Action::"put", resource);
     @id("x") @approvers("dba") forbid(principal, action, resource) when { resource is File && resource.name == "x" } unless { context.approvedBy.contains("dba") };
     @id("big") @hint("ask nicely") @approvers("dba:2, security") forbid(principal, action == Action::"put", resource) when { context.size > 10 } unless { context.approvedBy.containsAll(["dba", "security"]) };
     @id("no-y") forbid(principal, action, resource) when { resource is File && resource.name == "y" };`,
  );
  const asked = e.decide(ann, target, get('d/a', 'd/x'));
  assert.ok(asked.kind === 'approve');
  assert.deepEqual([asked.approvers, asked.policies, asked.snapshot], [[{ group: 'dba', needed: 1 }], ['x'], e.snapshot]);
  assert.equal(asked.message, 'get on d/x needs approval by dba');
  assert.equal(e.decide(ann, target, get('d/a', 'd/x'), ['dba']).kind, 'allow');
  assert.equal(e.decide(ann, target, get('d/a', 'd/x'), ['security']).kind, 'approve');

  // Two objects, each with forbids of its own: the union, and the most that any asks of a group.
  const put = {
    ...get('d/x'),
    objects: [...get('d/x').objects, { type: 'File', path: 'd/b', action: 'put' }],
    attributes: { ...get().attributes, size: 11 },
  };
  const both = e.decide(ann, target, put);
  assert.ok(both.kind === 'approve');
  assert.deepEqual(both.approvers, [
    { group: 'dba', needed: 2 },
    { group: 'security', needed: 1 },
  ]);
  assert.deepEqual([both.policies, both.hint], [['x', 'big'], 'ask nicely']);
  assert.equal(e.decide(ann, target, put, ['security', 'dba']).kind, 'allow');

  // Nothing that approval lifts: denied, whoever else would have been asked.
  for (const operation of [get('d/x', 'd/y'), { ...get('d/x'), action: 'run' }]) {
    const denied = e.decide(ann, target, operation);
    assert.ok(denied.kind === 'deny');
    assert.equal(e.decide(ann, target, operation, ['dba']).kind, 'deny');
  }
  const guest = e.decide({ ...ann, groups: [] }, target, get('d/x'));
  assert.ok(guest.kind === 'deny' && guest.reason === 'no-permit');
});

test('policies see what the identity provider said, and how long ago', () => {
  const seconds = 1_700_000_000;
  const age = (claims: Principal['claims'], when: string, now = seconds): string => {
    const e = new CedarEngine([{ name: 'a.cedar', text: `@id("p") permit(principal, action, resource) when { ${when} };` }], [files], {
      now: () => now * 1000,
      mfaClasses: ['gold'],
    });
    const { kind } = e.decide({ ...ann, claims }, target, get('d/a'));
    e.close();
    return kind;
  };
  const cases: [Principal['claims'], string, boolean][] = [
    [{ amr: ['pwd', 'otp'] }, 'context.mfa && context.amr.contains("otp")', true],
    [{ amr: ['mfa'] }, 'context.mfa', true],
    [{ amr: 'pwd' }, 'context.mfa', false],
    [{ amr: ['pwd', 'pin'] }, 'context.mfa', false],
    [{ amr: ['hwk', 'fpt'] }, 'context.mfa', true],
    [{ acr: 'gold' }, 'context.mfa && context.acr == "gold"', true],
    [{ acr: 'silver' }, 'context.mfa', false],
    [{}, 'context.mfa || context.acr != "" || context.amr.contains("pwd")', false],
    [{}, 'context.authAge == 9007199254740991 && context.issuer == "i"', true],
    [{ auth_time: seconds - 90 }, 'context.authAge == 120', true],
    [{ auth_time: seconds }, 'context.authAge == 0', true],
    // What is not known is not fresh, however it is asked.
    [{ auth_time: 'yesterday' }, 'context.authAge < 1000000000', false],
    [{}, 'context.authAge * 1000 <= 3600000', false],
    [{}, 'context["auth\\u{41}ge"] < 3600', false],
    [{ auth_time: seconds }, 'context["auth\\u{41}ge"] < 3600', false],
  ];
  for (const [claims, when, expected] of cases)
    assert.equal(age(claims, when), expected ? 'allow' : 'deny', `${JSON.stringify(claims)} ${when}`);
});

test('a decision that depends on the time is not remembered beyond it', () => {
  let now = 1_000_000_000;
  const fresh = '@id("p") permit(principal, action, resource) when { context.authAge >= 0 && context.authAge <= 120 };';
  const e = new CedarEngine([{ name: 'a.cedar', text: fresh }], [files], { now: () => now });
  const who = { ...ann, claims: { auth_time: 999_999 } };
  const scopes = new Set<string>();
  for (const [later, kind] of [
    [0, 'allow'],
    [100_000, 'allow'],
    [130_000, 'deny'],
    [0, 'allow'],
  ] as const) {
    now = 1_000_000_000 + later;
    assert.equal(e.decide(who, target, get('d/a')).kind, kind, String(later));
    scopes.add(e.scope(who));
  }
  assert.equal(scopes.size, 3);
  const timeless = engine(staffRead);
  assert.equal(timeless.scope(who), timeless.scope({ ...who, claims: { auth_time: 5 } }));
  assert.notEqual(timeless.scope(who), timeless.scope({ ...who, claims: { amr: ['otp'] } }));
});

test('a group that a grant gives counts for its resource and account only', () => {
  const e = engine('@id("p") permit(principal, action, resource) when { context.granted };');
  const holder = { ...ann, groups: ['store/rw'] };
  for (const [resource, account, kind] of [
    ['store', 'rw', 'allow'],
    ['store', 'ro', 'deny'],
    ['other', 'rw', 'deny'],
  ] as const)
    assert.equal(e.decide(holder, { ...target, resource, account }, get('d/a')).kind, kind);
  const named = engine('@id("p") permit(principal in Group::"store/rw", action, resource);');
  assert.equal(named.decide(holder, target, get('d/a')).kind, 'allow');
});

test('policies may only name resources that are registered, where these are known', () => {
  const text = '@id("p") permit(principal, action, resource in Resource::"stroe");';
  engine(text).close();
  assert.throws(
    () => new CedarEngine([{ name: 'a.cedar', text }], [files], { resources: ['store', 'archive'] }),
    /a\.cedar:1:48: Resource::"stroe": there is no resource "stroe"; did you mean "store"\?/,
  );
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
