import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';

import type { Operation, Principal, Target } from './model.ts';
import { PolicyReloader, type ReloadOptions, type ReloadOutcome } from './reload.ts';
import type { ProtocolVocabulary } from './vocabulary.ts';

const doors: ProtocolVocabulary = { protocol: 'doors', actions: { open: [], shut: [] }, objectTypes: [], context: {} };
const target: Target = { resource: 'front', kind: 'doors', account: 'a', address: '' };
const ann: Principal = {
  kind: 'user',
  name: 'ann',
  issuer: 'i',
  subject: 'ann',
  groups: [],
  credential: { kind: 'k', id: 'c', expiresAt: 0 },
  claims: {},
};
const may = (action: string): string => `@id("${action}") permit(principal, action == Action::"${action}", resource);\n`;
const doing = (action: string): Operation => ({ action, objects: [], attributes: {} });

/** A directory with one policy, followed; `next` resolves with the next outcome that is told. */
function follow(t: TestContext, options: Partial<ReloadOptions> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-reload-'));
  writeFileSync(join(dir, 'a.cedar'), may('open'));
  const outcomes: ReloadOutcome[] = [];
  const waiting: ((outcome: ReloadOutcome) => void)[] = [];
  const reloader = new PolicyReloader({
    dir,
    vocabularies: [doors],
    label: 'policies',
    settleMs: 20,
    ...options,
    onOutcome: (outcome) => {
      const first = waiting.shift();
      if (first === undefined) outcomes.push(outcome);
      else first(outcome);
    },
  });
  // What is followed does not keep the process alive.
  const alive = setInterval(() => {}, 1000);
  t.after(() => {
    clearInterval(alive);
    reloader.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const next = (): Promise<ReloadOutcome> => {
    const [first] = outcomes.splice(0, 1);
    return first === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(first);
  };
  const kinds = (): string[] => ['open', 'shut'].map((action) => reloader.current.decide(ann, target, doing(action)).kind);
  return { dir, reloader, next, kinds, outcomes };
}

test('a change of the files is in force as a whole, and the old policies deny', async (t) => {
  const { dir, reloader, next, kinds } = follow(t);
  const old = reloader.current;
  reloader.watch();
  assert.deepEqual(kinds(), ['allow', 'deny']);
  // Two files at once: what is between them is never in force.
  writeFileSync(join(dir, 'b.cedar'), may('shut'));
  writeFileSync(join(dir, 'a.cedar'), '@id("no") forbid(principal, action == Action::"open", resource);\n');
  const outcome = await next();
  assert.deepEqual(outcome, { kind: 'reloaded', snapshot: reloader.current.snapshot, before: old.snapshot });
  assert.notEqual(reloader.current.snapshot, old.snapshot);
  assert.deepEqual(kinds(), ['deny', 'allow']);
  const late = old.decide(ann, target, doing('open'));
  assert.ok(late.kind === 'deny' && late.reason === 'error');
});

test('a bad file leaves the policies before in force, and says so once', async (t) => {
  const { dir, reloader, next, kinds, outcomes } = follow(t, { pollMs: 25 });
  const { snapshot } = reloader.current;
  reloader.watch();
  writeFileSync(join(dir, 'b.cedar'), `${may('shut')}@id("x") permit(principal, action == Action::"opne", resource);\n`);
  const outcome = await next();
  assert.ok(outcome.kind === 'refused');
  assert.equal(outcome.snapshot, snapshot);
  assert.equal(outcome.problems.length, 1);
  assert.match(outcome.problems[0] ?? '', /^policies\/b\.cedar:2:.*did you mean `Action::"open"`\?$/);
  assert.deepEqual(kinds(), ['allow', 'deny']);
  // Repaired: the problem was not told again by any look in between.
  writeFileSync(join(dir, 'b.cedar'), may('shut'));
  assert.equal((await next()).kind, 'reloaded');
  assert.deepEqual(kinds(), ['allow', 'allow']);
  assert.deepEqual(outcomes, []);
});

test('an empty or missing directory is refused', (t) => {
  const { dir, reloader, kinds } = follow(t);
  rmSync(join(dir, 'a.cedar'));
  assert.equal(reloader.reload().kind, 'refused');
  rmSync(dir, { recursive: true });
  assert.equal(reloader.reload().kind, 'refused');
  assert.deepEqual(kinds(), ['allow', 'deny']);
});

test('files behind a link that is turned elsewhere, as orchestrators do, are noticed', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'sluice-reload-link-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const [version, action] of [
    ['v1', 'open'],
    ['v2', 'shut'],
  ] as const) {
    mkdirSync(join(root, version));
    writeFileSync(join(root, version, 'a.cedar'), may(action));
  }
  const dir = join(root, 'policies');
  symlinkSync('v1', dir);
  const { reloader, next, kinds } = follow(t, { dir, pollMs: 25 });
  reloader.watch();
  assert.deepEqual(kinds(), ['allow', 'deny']);
  symlinkSync('v2', join(root, 'new'));
  renameSync(join(root, 'new'), dir);
  assert.equal((await next()).kind, 'reloaded');
  assert.deepEqual(kinds(), ['deny', 'allow']);
});

test('asked to, it says whether anything changed', (t) => {
  const { dir, reloader } = follow(t);
  assert.equal(reloader.reload().kind, 'unchanged');
  writeFileSync(join(dir, 'a.cedar'), may('shut'));
  assert.equal(reloader.reload().kind, 'reloaded');
  assert.equal(reloader.reload().kind, 'unchanged');
  reloader.close();
  assert.equal(reloader.current.decide(ann, target, doing('shut')).kind, 'deny');
});

test('the first policies have to be valid', (t) => {
  assert.throws(() => follow(t, { dir: join(tmpdir(), 'sluice-nowhere') }), { code: 'policy_invalid' });
});
