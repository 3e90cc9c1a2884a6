import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Stage, startStage } from '../support/stage.ts';
import type { Wire } from '../support/wire.ts';

/** What tells protected values without showing them: conditions everywhere, computed outputs where it is so configured. */
let stage: Stage;
let wire: Wire;
before(async () => {
  stage = await startStage({ resource: { protect: { computed: 'deny' } } });
  wire = await stage.connect(stage.analyst);
});
after(async () => {
  await wire?.end();
  await stage?.stop();
});

const denials: Readonly<Record<string, readonly string[]>> = {
  'sluice.comparison': [
    'select c.id, k from cards c join generate_series(0, 9999) k on k = c.cvv::int',
    'select count(*) from generate_series(1, 9999) k where k <= (select cvv::int from cards where id = 1)',
    'select id from orders limit (select cvv::int from cards where id = 1)',
    'explain analyze select k from generate_series(0, 9999) k where k = (select cvv::int from cards where id = 1)',
  ],
  'sluice.computed': [
    "select id, repeat('x', cvv::int) from cards",
    "select id, case when left(cvv, 1) = '7' then 1 end from cards",
    "select id, nullif(left(cvv, 1), '3') from cards",
    'select upper(holder) || pan from cards',
    "copy (select id, replace(pan, '7', '') from cards) to stdout",
  ],
};

for (const [policy, texts] of Object.entries(denials)) {
  for (const text of texts) {
    test(`${policy}: ${text}`, async () => {
      const { errors, rows } = await wire.query(text);
      assert.deepEqual([errors[0]?.['C'], rows], ['42501', []]);
      assert.ok(errors[0]?.['M']?.includes('protected'), errors[0]?.['M']);
      const line = stage.record().findLast(({ type }) => type === 'deny');
      assert.deepEqual(line?.['policies'], [policy]);
    });
  }
}

test('columns themselves, and what is computed from others, are there as before', async () => {
  for (const [text, rows] of [
    ['select id, cvv, upper(brand) from cards where id = 1', [['1', '***', stage.seeded.cards[0]?.brand.toUpperCase()]]],
    ['select count(*) from cards where cvv is not null and pan like $$4%$$ and id < 0', [['0']]],
    ['select c.brand from cards c join customers u on u.id = c.customer_id where c.id = 1', [[stage.seeded.cards[0]?.brand]]],
  ] as const) {
    const found = await wire.query(text);
    assert.deepEqual([found.errors, found.rows], [[], rows], text);
  }
});
