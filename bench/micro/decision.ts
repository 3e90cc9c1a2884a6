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

/**
 * What it costs to know what a statement is and to decide on it, with the policies that ship.
 *
 * - Uncached statement: a text never seen before, by a user already known, under policies that are loaded. It names tables that
 *   this user's statements have named before.
 * - Uncached, new table: it names a table that no statement has named before.
 * - Uncached, new user: nothing was ever decided for this user.
 * - Cached statement: one that differs in literals only from one seen before.
 * - And the decision alone, without what is remembered of earlier ones.
 */
export default async function decision(suite: Suite): Promise<void> {
  const { principal, target, snapshot } = await makeScene();
  const developer = { ...principal, groups: ['developers'] };
  const policies = join(root, 'deploy', 'policies');
  const engine = loadPolicies(policies, vocabularies);
  const forgetful = loadPolicies(policies, vocabularies, policies, { remember: 0 });
  const mask = (text: string): string => text;
  let made = 0;
  for (const [label, textOf] of STATEMENTS) {
    let classifier = new Classifier(engine, developer, target, null, mask);
    let text: Buffer<ArrayBufferLike> = Buffer.alloc(0);
    const classify = (): string => classifier.classify(text, 0, text.length, snapshot).decision.kind;
    const newText = (table = 'payments'): void => {
      text = Buffer.from(textOf(made++, table));
    };
    const stranger = (): Principal => ({ ...developer, name: `dev${made++}` });
    newText();
    assert.equal(classify(), 'allow');
    newText();
    assert.equal(classify(), 'allow');
    assert.equal(classifier.counters.misses, 2);
    suite.sync(`${label}, uncached statement`, classify, { before: () => newText() });
    suite.sync(`${label}, uncached, new table`, classify, { before: () => newText(`payments${made}`) });
    assert.equal(classifier.counters.shapeHits + classifier.counters.textHits, 0);
    suite.sync(`${label}, uncached, new user`, classify, {
      before: () => {
        newText();
        classifier = new Classifier(engine, stranger(), target, null, mask);
      },
    });
    assert.equal(classify(), 'allow');
    classify();
    assert.ok(classifier.counters.shapeHits + classifier.counters.textHits > 0);
    suite.sync(`${label}, cached statement`, classify);

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
