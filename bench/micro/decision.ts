import assert from 'node:assert/strict';
import { join } from 'node:path';
import { loadPolicies } from '../../src/policy/engine.ts';
import type { Principal } from '../../src/policy/model.ts';
import { Classifier } from '../../src/protocols/postgres/classifier.ts';
import { operationOf } from '../../src/protocols/postgres/policy-operation.ts';
import { vocabularies } from '../../src/protocols/registry.ts';
import { makeScene, root } from '../lib/scene.ts';
import type { Suite } from '../lib/suite.ts';

const STATEMENTS = [
  ['select', 'select id, customer, reference from payments where id = 12345'],
  ['join', 'select p.id, c.name from payments p join customers c on c.id = p.customer where p.created_at > $1 order by p.id limit 50'],
  ['insert', "insert into payments (customer, amount, reference) values (7, 19.90, 'order 4711') returning id"],
] as const;

/**
 * What it costs to know what a statement is and to decide on it, with the policies that ship. New user: nothing was ever decided for
 * this user. New facts: Cedar has been asked about this user and these objects, the whole of the question is new. Known facts:
 * another statement that looks the same to policies. Known statement: one that differs in literals only. And the decision alone.
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
    let users = 0;
    const use = (engine: typeof forgetful, who: () => Principal) => () => {
      classifier = new Classifier(engine, who(), target, null, mask);
    };
    const stranger = (): Principal => ({ ...developer, name: `dev${users++}` });
    assert.equal(classify(), 'allow');
    assert.equal(classifier.counters.misses, 1);
    suite.sync(`${label}, new user`, classify, { before: use(forgetful, stranger) });
    suite.sync(`${label}, new facts`, classify, { before: use(forgetful, () => developer) });
    suite.sync(`${label}, known facts`, classify, { before: use(remembering, () => developer) });
    assert.equal(classify(), 'allow');
    classify();
    assert.ok(classifier.counters.shapeHits + classifier.counters.textHits > 0);
    suite.sync(`${label}, known statement`, classify);

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
    suite.sync(`${label}, decision alone, new facts`, () => forgetful.decide(developer, target, operation));
    suite.sync(`${label}, decision alone, known facts`, () => remembering.decide(developer, target, operation));
  }
  remembering.close();
  forgetful.close();
}
