import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LineageOfStatement } from './analysis.ts';
import type { CatalogSnapshot, Protection } from './catalog.ts';
import { type DescribedColumn, parseRowDescription, planColumns } from './reply-plan.ts';

const protections: Readonly<Record<string, Protection | null>> = { '10.1': null, '10.2': 'pan', '10.3': 'sad' };
const catalog: CatalogSnapshot = {
  version: 1,
  native: 0,
  protection: (table, attribute) => (attribute < 0 ? null : protections[`${table}.${attribute}`]),
  columnsOf: () => null,
  protectedColumns: () => [],
  storedProtection: () => null,
  isUserFunction: () => false,
  isVolatile: () => false,
};
const column = (name: string, tableOid = 0, attnum = 0): DescribedColumn => ({ name, tableOid, attnum, type: 25, binary: false });
const output = (protect: string | null, more: { direct?: boolean; star?: boolean } = {}): LineageOfStatement['outputs'][number] => ({
  name: '',
  protect,
  direct: more.direct ?? false,
  star: more.star ?? false,
});
const masks = (columns: readonly DescribedColumn[], lineage: LineageOfStatement | null): string[] =>
  planColumns(columns, catalog, lineage).columns.map((one) => one.mask);

test('a column with an origin is masked as the catalog says, whatever it is called', () => {
  assert.deepEqual(masks([column('a', 10, 1), column('b', 10, 2), column('c', 10, 3)], { outputs: [], writes: [], clean: false }), [
    'scan',
    'pan',
    'sad',
  ]);
});

test('an origin that the catalog does not know is covered, and the catalog is asked for again', () => {
  const { columns, unseen } = planColumns([column('a', 99, 1)], catalog, { outputs: [], writes: [], clean: true });
  assert.equal(columns[0]?.mask, 'whole');
  assert.equal(unseen, true);
});

test('a well-known name is protected wherever it appears', () => {
  assert.deepEqual(masks([column('CVV'), column('card_number')], { outputs: [], writes: [], clean: true }), ['sad', 'pan']);
});

test('a derived value is covered whole: its last four digits need not be those of the card', () => {
  assert.deepEqual(masks([column('r'), column('n')], { outputs: [output('pan'), output(null)], writes: [], clean: false }), [
    'whole',
    'scan',
  ]);
});

test('without lineage, or with one that does not fit, every derived value is covered', () => {
  assert.deepEqual(masks([column('r')], null), ['whole']);
  assert.deepEqual(masks([column('r')], { outputs: [], writes: [], clean: false }), ['whole']);
  assert.deepEqual(masks([column('r'), column('s')], { outputs: [output(null)], writes: [], clean: false }), ['whole', 'whole']);
});

test('around a star positions count from both ends, and what it hides may be any of it', () => {
  const lineage = {
    outputs: [output(null), output(null, { star: true }), output('pan', { direct: true }), output(null, { star: true }), output(null)],
    writes: [],
    clean: false,
  };
  assert.deepEqual(
    masks(
      ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => column(name)),
      lineage,
    ),
    ['scan', 'whole', 'whole', 'whole', 'whole', 'scan'],
  );
  // Both stars stand for no column at all.
  assert.deepEqual(
    masks(
      ['a', 'c', 'e'].map((name) => column(name)),
      lineage,
    ),
    ['scan', 'whole', 'scan'],
  );
  assert.deepEqual(masks([column('a')], lineage), ['whole'], 'fewer columns than the statement has');
});

test('a row description that is cut short or too long is no description', () => {
  const good = Buffer.concat([
    Buffer.from([0, 1]),
    Buffer.from('pan\0'),
    Buffer.from([0, 0, 0, 10, 0, 2, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 1]),
  ]);
  assert.deepEqual(parseRowDescription(good, 0, good.length), [{ name: 'pan', tableOid: 10, attnum: 2, type: 25, binary: true }]);
  for (let end = 0; end < good.length; end++) assert.equal(parseRowDescription(good.subarray(0, end), 0, end), null, `${end} bytes`);
  assert.equal(parseRowDescription(Buffer.concat([good, Buffer.from([0])]), 0, good.length + 1), null);
});
