import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileRowPlan, compileRules, dropRowPlan, dropRules, maskCopy, maskRows, maskText, ruleNames, StreamMasker } from './index.js';

const PAN = '4111111111111111';
const MASKED = '************1111';
const rules = compileRules('{}');
const newCounts = (): Uint32Array => new Uint32Array(ruleNames(rules).length + 1);

type Mask = 'scan' | 'pan' | 'sad' | 'whole' | 'none';
const planOf = (columns: readonly (readonly [Mask, number, boolean?])[], copy?: object): number =>
  compileRowPlan(
    JSON.stringify({
      columns: columns.map(([mask, type, binary = false]) => ({ mask, type, binary })),
      ...(copy === undefined ? {} : { copy }),
    }),
  );

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};

function body(values: readonly (string | Buffer | null)[]): Buffer {
  const count = Buffer.alloc(2);
  count.writeInt16BE(values.length);
  return Buffer.concat([
    count,
    ...values.flatMap((value) => (value === null ? [int32(-1)] : [int32(Buffer.byteLength(value)), Buffer.from(value as string)])),
  ]);
}

const message = (type: string, payload: Buffer): Buffer => Buffer.concat([Buffer.from(type), int32(payload.length + 4), payload]);
const dataRow = (...values: readonly (string | Buffer | null)[]): Buffer => message('D', body(values));
const copyData = (text: string | Buffer): Buffer => message('d', Buffer.from(text as string));

/** The same bytes in shared memory, with a margin on both sides that must stay as it is. */
function shared(bytes: Buffer): { buffer: Buffer; check: () => void } {
  const buffer = Buffer.from(new SharedArrayBuffer(bytes.length + 20));
  buffer.fill(0x34);
  bytes.copy(buffer, 10);
  return {
    buffer,
    check: () => {
      assert.ok(buffer.subarray(0, 10).every((byte) => byte === 0x34));
      assert.ok(buffer.subarray(bytes.length + 10).every((byte) => byte === 0x34));
    },
  };
}

function rows(plan: number, run: Buffer, counts = newCounts()): Buffer | number {
  const { buffer, check } = shared(run);
  const length = maskRows(rules, plan, buffer, 10, run.length, counts);
  check();
  return length < 0 ? length : buffer.subarray(10, 10 + length);
}

test('maskText masks shared memory in place and adds to the counts', () => {
  const counts = newCounts();
  const text = Buffer.from(`pay ${PAN} cvv 123 now`);
  const { buffer, check } = shared(text);
  assert.equal(maskText(rules, buffer, 10, text.length, counts), 2);
  check();
  assert.equal(buffer.subarray(10, 10 + text.length).toString(), `pay ${MASKED} cvv *** now`);
  assert.deepEqual([...counts], [1, 0, 1, 0, 0]);
});

test('maskRows finds patterns and masks columns, and leaves every other byte', () => {
  const counts = newCounts();
  const plan = planOf([
    ['scan', 25],
    ['pan', 25],
    ['sad', 25],
    ['none', 25],
    ['scan', 114],
  ]);
  const json = `{"n":${PAN},"s":"${PAN}"}`;
  assert.deepEqual(
    rows(plan, Buffer.concat([dataRow(`a ${PAN}`, PAN, '123', PAN, json), dataRow(null, null, '', 'x', '{}')]), counts),
    Buffer.concat([
      dataRow(`a ${MASKED}`, MASKED, '***', PAN, `{"n":            1111,"s":"${MASKED}"}`),
      dataRow(null, null, '', 'x', '{}'),
    ]),
  );
  assert.deepEqual([...counts], [3, 0, 0, 0, 2]);
});

test('a value that cannot carry a mask becomes NULL and the run shrinks', () => {
  const plan = planOf([
    ['whole', 1082],
    ['scan', 25],
    ['pan', 20, true],
  ]);
  const int8 = Buffer.alloc(8);
  int8.writeBigInt64BE(BigInt(PAN));
  const kept = Buffer.alloc(8);
  kept.writeBigInt64BE(1111n);
  const row = dataRow('2024-01-01', PAN, int8);
  const expected = dataRow(null, MASKED, kept);
  assert.deepEqual(rows(plan, Buffer.concat([row, row])), Buffer.concat([expected, expected]));
});

test('maskRows refuses what is malformed', () => {
  const plan = planOf([['scan', 25]]);
  const good = dataRow('x');
  assert.equal(rows(plan, dataRow('x', 'y')), -1);
  assert.equal(rows(plan, good.subarray(0, good.length - 1)), -1);
  assert.equal(rows(plan, Buffer.concat([good, Buffer.from('E')])), -1);
});

test('a card number spanning two columns is none', () => {
  const run = dataRow('41111111', '11111111');
  assert.deepEqual(
    rows(
      planOf([
        ['scan', 25],
        ['scan', 25],
      ]),
      run,
    ),
    run,
  );
});

test('a large row streams through in chunks', () => {
  const plan = planOf([
    ['scan', 25],
    ['whole', 25],
    ['pan', 25],
  ]);
  const filler = 'lorem ipsum '.repeat(2000);
  const row = body([`${filler}${PAN}${filler}cvv=123${filler}`, filler, PAN]);
  const expected = body([`${filler}${MASKED}${filler}cvv=***${filler}`, '*'.repeat(filler.length), MASKED]);
  for (const size of [6000, 6001, 8191, row.length]) {
    const counts = newCounts();
    const masker = new StreamMasker(rules, plan, 0);
    const { buffer } = shared(row);
    const out: Buffer[] = [];
    for (let at = 0; at < row.length; ) {
      const length = Math.min(size, row.length - at);
      const final = masker.feed(buffer, 10 + at, length, at + length === row.length, counts);
      assert.ok(length - final <= masker.hold);
      assert.ok(final > 0);
      out.push(buffer.subarray(10 + at, 10 + at + final));
      at += final;
    }
    assert.ok(Buffer.concat(out).equals(expected), `chunks of ${size}`);
    assert.deepEqual([...counts], [1, 0, 1, 0, 2]);
  }
});

test('a stream that ends too early throws, and again ever after', () => {
  const masker = new StreamMasker(rules, planOf([['scan', 25]]), 0);
  const row = body(['abc']);
  assert.throws(() => masker.feed(row, 0, row.length - 1, true, newCounts()), /ends too early/);
  assert.throws(() => masker.feed(row, 0, row.length, true, newCounts()), /failed before/);
});

function copy(plan: number, format: number, first: boolean, run: Buffer, counts = newCounts()): string | number {
  const { buffer, check } = shared(run);
  const length = maskCopy(rules, plan, format, first, buffer, 10, run.length, counts);
  check();
  if (length === -2) assert.deepEqual(buffer.subarray(10, 10 + run.length), run);
  return length < 0 ? length : buffer.subarray(10, 10 + length).toString('latin1');
}

test('maskCopy masks text rows that span messages', () => {
  const plan = planOf([
    ['scan', 25],
    ['pan', 25],
    ['whole', 25],
  ]);
  const run = Buffer.concat([copyData('1\t4111'), copyData(`111111111111\tab\\tc\n2\t\\N\tx\\n${PAN}\n`)]);
  const expected = Buffer.concat([copyData('1\t****'), copyData(`********1111\t*****\n2\t\\N\t${'*'.repeat(19)}\n`)]);
  assert.equal(copy(plan, 1, true, run), expected.toString('latin1'));
  assert.equal(copy(plan, 1, true, copyData('1\t2')), -2);
  assert.equal(copy(plan, 1, true, copyData('1\t2\n')), -1);
  assert.equal(copy(plan, 1, true, copyData('\\.\n')), copyData('\\.\n').toString('latin1'));
});

test('maskCopy reads CSV quotes, and a header holds names', () => {
  const plan = planOf(
    [
      ['scan', 25],
      ['pan', 25],
      ['whole', 25],
    ],
    { header: true },
  );
  const run = copyData(`id,pan,note\n"{""cvv"":""123""}",${PAN},"a ""b"",\nc"\n`);
  const expected = copyData(`id,pan,note\n"{""cvv"":""***""}",${MASKED},"${'*'.repeat(10)}"\n`);
  assert.equal(copy(plan, 2, true, run), expected.toString('latin1'));
});

test('maskCopy masks binary rows, and drops what cannot carry a mask', () => {
  const plan = planOf([
    ['scan', 25, true],
    ['whole', 0, true],
  ]);
  const header = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
  const trailer = copyData(Buffer.from([255, 255]));
  const messages = Buffer.concat([copyData(Buffer.concat([header, body([`x ${PAN}`, 'secret'])])), copyData(body(['y', null])), trailer]);
  const expected = Buffer.concat([copyData(Buffer.concat([header, body([`x ${MASKED}`, null])])), copyData(body(['y', null])), trailer]);
  assert.equal(copy(plan, 3, true, messages), expected.toString('latin1'));
});

test('bad arguments throw', () => {
  const counts = newCounts();
  const bytes = Buffer.alloc(8);
  assert.throws(() => maskText(rules, bytes, 4, 5, counts), /reach past the buffer/);
  assert.throws(() => maskText(rules, bytes, 0, 8, new Uint32Array(1)), /counts has 1/);
  assert.throws(() => maskText(rules, new Uint8Array(counts.buffer), 0, 4, counts), /inside the buffer/);
  assert.throws(() => maskText(987654, bytes, 0, 8, counts), /no rule set/);
  assert.throws(() => compileRules('{"patterns":[{"id":"mine","regex":"a+"}]}'), /mine/);
  assert.throws(() => compileRowPlan('{"columns":[{"mask":"x"}]}'), /mask is one of/);
  const dropped = compileRules('{}');
  maskText(dropped, bytes, 0, 8, counts);
  dropRules(dropped);
  assert.throws(() => maskText(dropped, bytes, 0, 8, counts), /no rule set/);
  const plan = planOf([['scan', 25]]);
  dropRowPlan(plan);
  assert.throws(() => maskRows(rules, plan, bytes, 0, 8, counts), /no row plan/);
});
