import assert from 'node:assert/strict';
import { join } from 'node:path';
import { loadPolicies } from '../../src/policy/engine.ts';
import type { Principal } from '../../src/policy/model.ts';
import { Classifier } from '../../src/protocols/postgres/classifier.ts';
import { operationOf } from '../../src/protocols/postgres/policy-operation.ts';
import { vocabularies } from '../../src/protocols/registry.ts';
import { makeScene, root } from '../lib/scene.ts';
import type { Suite } from '../lib/suite.ts';

/** Texts of which no two have one shape, by their number and that of the table. */
const STATEMENTS: readonly (readonly [string, (text: number, table: string) => string])[] = [
  ['select', (n, table) => `select id, customer, reference as r${n} from ${table} where id = 12345`],
  [
    'join',
    (n, table) =>
      `select p.id, c.name as r${n} from ${table} p join customers c on c.id = p.customer where p.created_at > $1 order by p.id limit 50`,
  ],
  ['insert', (n, table) => `insert into ${table} (customer, amount, reference) values (7, 19.90, 'order 4711') returning id as r${n}`],
];

/** New texts that one call classifies: what the bench does between calls leaves its traces in the caches, which is none of its work. */
const BATCH = 16;
/** Texts of each kind before anything is timed: it takes that many until the optimizer is through with what they run. */
const WARM = 20_000;

/**
 * What it costs to know what a statement is and to decide on it, with the policies that ship, and with its names masked for the record.
 *
 * - Uncached statement: a text never seen before, by a user already known, under policies that are loaded. It names tables that
 *   this user's statements have named before.
 * - Uncached, alone: the same, one by one with other work in between.
 * - Uncached, new table: it names a table that no statement has named before.
 * - Uncached, new user: nothing was ever decided for this user.
 * - Cached statement: one that differs in literals only from one seen before.
 * - And the decision alone, without what is remembered of earlier ones.
 */
export default async function decision(suite: Suite): Promise<void> {
  const { principal, target, snapshot, services } = await makeScene();
  const developer = { ...principal, groups: ['developers'] };
  const policies = join(root, 'deploy', 'policies');
  const engine = loadPolicies(policies, vocabularies);
  const forgetful = loadPolicies(policies, vocabularies, policies, { remember: 0 });
  const newClassifier = (who: Principal): Classifier => new Classifier(engine, who, target, null, (text) => services.masker.string(text));
  let made = 0;
  const stranger = (): Principal => ({ ...developer, name: `dev${made++}` });
  const decide = ({ classifier, text }: Asked): string => classifier.classify(text, 0, text.length, snapshot).decision.kind;

  let asked: Asked[] = [];
  const decideAll = (): void => {
    for (const one of asked) decide(one);
  };
  const uncached = (what: string, next: () => Asked, batch = BATCH): void => {
    const before = (): void => {
      asked = Array.from({ length: batch }, () => next());
    };
    suite.sync(what, decideAll, { before, batch });
  };

  const known = STATEMENTS.map(([label, textOf]) => {
    const classifier = newClassifier(developer);
    const ask = (table = 'payments', by = classifier): Asked => ({ classifier: by, text: Buffer.from(textOf(made++, table)) });
    return { label, classifier, ask };
  });
  for (let i = 0; i < WARM && suite.time >= 300; i++) for (const { ask } of known) decide(ask());

  for (const { label, classifier, ask } of known) {
    classifier.forget();
    const { misses, shapeHits, textHits } = classifier.counters;
    assert.equal(decide(ask()), 'allow');
    assert.equal(decide(ask()), 'allow');
    assert.equal(classifier.counters.misses - misses, 2);
    uncached(`${label}, uncached statement`, () => ask());
    uncached(`${label}, uncached, alone`, () => ask(), 1);
    assert.equal(classifier.counters.shapeHits + classifier.counters.textHits, shapeHits + textHits);
    const same = ask();
    assert.equal(decide(same), 'allow');
    decide(same);
    assert.equal(classifier.counters.shapeHits + classifier.counters.textHits, shapeHits + textHits + 1);
    suite.sync(`${label}, cached statement`, () => decide(same));
  }

  for (const { label, classifier, ask } of known) {
    uncached(`${label}, uncached, new table`, () => ask(`payments${made}`));
    uncached(`${label}, uncached, new user`, () => ask('payments', newClassifier(stranger())));

    const { text } = ask();
    const [info] = classifier.classify(text, 0, text.length, snapshot).statements;
    assert.ok(info !== undefined);
    const operation = operationOf(info);
    let who = stranger();
    assert.equal(forgetful.decide(who, target, operation).kind, 'allow');
    suite.sync(`${label}, decision alone, new user`, () => forgetful.decide(who, target, operation), {
      before: () => {
        who = stranger();
      },
    });
    suite.sync(`${label}, decision alone`, () => forgetful.decide(developer, target, operation));
  }
  engine.close();
  forgetful.close();
}

interface Asked {
  readonly classifier: Classifier;
  readonly text: Buffer;
}
