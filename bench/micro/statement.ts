import assert from 'node:assert/strict';
import { analyzeSql, lineage, statementShape } from '../../native/binding/index.js';
import { analysisOf, type Lineage, type StatementInfo } from '../../src/protocols/postgres/analysis.ts';
import { Classifier } from '../../src/protocols/postgres/classifier.ts';
import { operationOf } from '../../src/protocols/postgres/policy-operation.ts';
import { makeScene } from '../lib/scene.ts';
import type { Suite } from '../lib/suite.ts';

const SMALL = 'select id, customer, reference from payments where id = 12345';
const LARGE = `with recent as (select p.id, p.customer, sum(p.amount * p.quantity) as total from payments p join orders o on o.id = p.order_id
  where o.created_at > now() - interval '30 days' and o.state in ('paid', 'sent') group by 1, 2)
  select c.name, c.email, r.total, row_number() over (partition by c.country order by r.total desc) as rank
  from recent r join customers c on c.id = r.id left join visits v on v.customer_id = c.id
  where exists (select 1 from visits w where w.customer_id = c.id and w.at > '2024-01-01')
  and coalesce(c.country, 'XX') <> 'US' order by r.total desc limit 100`;

/** From the text of a statement to its decision, known shape or not. */
export default async function statement(suite: Suite): Promise<void> {
  const { engine, principal, target, snapshot } = await makeScene();
  for (const [label, sql] of [
    ['small', SMALL],
    ['large', LARGE],
  ] as const) {
    const text = Buffer.from(sql);
    const shape = statementShape(text, 0, text.length);
    assert.ok(shape > 0);
    const other = Buffer.from(sql.replace('12345', '99').replace("'paid'", "'open'"));
    assert.equal(statementShape(other, 0, other.length), shape, 'other literals have the same shape');
    suite.sync(`shape, ${label} (${text.length} B)`, () => statementShape(text, 0, text.length), { bytes: text.length });

    const classifier = new Classifier(engine, principal, target, null, (text) => text);
    assert.equal(classifier.classify(text, 0, text.length, snapshot).decision.kind, 'allow');
    classifier.classify(other, 0, other.length, snapshot);
    assert.deepEqual(classifier.counters, { shapeHits: 1, textHits: 0, misses: 1 });
    suite.sync(`classify, known shape, ${label}`, () => classifier.classify(text, 0, text.length, snapshot));

    let fresh = classifier;
    suite.sync(`classify, new shape, ${label}`, () => fresh.classify(text, 0, text.length, snapshot), {
      before: () => {
        fresh = new Classifier(engine, principal, target, null, (text) => text);
      },
    });

    const operation = operationOf(statementOf(sql));
    suite.sync(`analyze, ${label}`, () => analyzeSql(text, 0, text.length));

    const lineages = JSON.parse(lineage(snapshot.native, text, 0, text.length)) as Lineage;
    assert.equal(lineages.statements.length, 1);
    suite.sync(`lineage, ${label}`, () => lineage(snapshot.native, text, 0, text.length));

    assert.equal(engine.decide(principal, target, operation).kind, 'allow');
    suite.sync(`policy decision, ${label} (${operation.objects.length} objects)`, () => engine.decide(principal, target, operation));
  }
  const drop = operationOf(statementOf('drop table payments'));
  assert.equal(engine.decide(principal, target, drop).kind, 'deny');
  suite.sync('policy decision, denied', () => engine.decide(principal, target, drop));
}

function statementOf(sql: string): StatementInfo {
  const text = Buffer.from(sql);
  const analysis = analysisOf(analyzeSql(text, 0, text.length));
  if (analysis.error !== undefined) throw new Error(`${sql}: ${analysis.error}`);
  assert.equal(analysis.statements.length, 1, sql);
  return analysis.statements[0] as StatementInfo;
}
