import assert from 'node:assert/strict';
import { join } from 'node:path';
import { loadPolicies } from '../../src/policy/engine.ts';
import { Classifier } from '../../src/protocols/postgres/classifier.ts';
import { vocabularies } from '../../src/protocols/registry.ts';
import { makeScene, root } from '../lib/scene.ts';
import type { Suite } from '../lib/suite.ts';

const STATEMENTS = [
  ['select', 'select id, customer, reference from payments where id = 12345'],
  ['join', 'select p.id, c.name from payments p join customers c on c.id = p.customer where p.created_at > $1 order by p.id limit 50'],
  ['insert', "insert into payments (customer, amount, reference) values (7, 19.90, 'order 4711') returning id"],
] as const;

/**
 * What it costs to know what a statement is and to decide on it, with the policies that ship: nothing known; the same action on
 * the same objects decided before (another statement of that kind); the statement itself known.
 */
export default async function decision(suite: Suite): Promise<void> {
  const { principal, target, snapshot } = await makeScene();
  const developer = { ...principal, groups: ['developers'] };
  const policies = join(root, 'deploy', 'policies');
  const remembering = loadPolicies(policies, vocabularies);
  const forgetful = loadPolicies(policies, vocabularies, policies, { remember: 0 });
  const mask = (text: string): string => text;
  for (const [label, sql] of STATEMENTS) {
    const text = Buffer.from(sql);
    let classifier = new Classifier(forgetful, developer, target, null, mask);
    const classify = (): string => classifier.classify(text, 0, text.length, snapshot).decision.kind;
    const use = (engine: typeof forgetful) => () => {
      classifier = new Classifier(engine, developer, target, null, mask);
    };
    assert.equal(classify(), 'allow');
    assert.equal(classifier.counters.misses, 1);
    suite.sync(`${label}, nothing known`, classify, { before: use(forgetful) });
    suite.sync(`${label}, known facts`, classify, { before: use(remembering) });
    assert.equal(classify(), 'allow');
    classify();
    assert.ok(classifier.counters.shapeHits + classifier.counters.textHits > 0);
    suite.sync(`${label}, known statement`, classify);
  }
  remembering.close();
  forgetful.close();
}
