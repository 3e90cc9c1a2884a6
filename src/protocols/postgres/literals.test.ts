import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { maskEscapes, maskLiterals } from './literals.ts';

function masked(text: string): string {
  const bytes = Buffer.from(text);
  maskLiterals(bytes);
  return bytes.toString();
}

const cases: readonly [string, string][] = [
  ["select 'abc', 12.5e3, x1", "select '***', ******, x1"],
  ["select 'it''s'", "select '*****'"],
  ["select E'a\\'b', 'c\\'", "select E'****', '**'"],
  ["select U&'\\0061', B'01', X'1F', N'x'", "select U&'*****', B'**', X'**', N'*'"],
  ['select $$a$b$$, $tag$ $$ $tag$, $1', 'select $$***$$, $tag$****$tag$, $1'],
  ["select \"a'b\", 'c'", "select \"a'b\", '*'"],
  ["select 1 -- don't\n, 'x'", "select * --******\n, '*'"],
  ["/* a /* 'b' */ c */ select 'x'", "/*****************/ select '*'"],
  ['insert into cards (cvv) values ("4716")', 'insert into cards (cvv) values ("****")'],
  ["select E'a'\n 'b\\'c', 'd'", "select E'*********', '*'"],
  ["select 'open", "select '****"],
  ['select $$open', 'select $$****'],
  ['select a1b2, t.c3', 'select a1b2, t.c3'],
  ['select .5, 1_000, 0x1F', 'select **, *****, ****'],
];
for (const [text, expected] of cases) {
  test(`covers the literals of ${JSON.stringify(text)}`, () => assert.equal(masked(text), expected));
}

const escaped: readonly [string, string][] = [
  ["select E'41\\x31', E'plain', 'a\\b', 41", "select E'******', E'plain', 'a\\b', 41"],
  ["select U&'41\\0031' as U&\"4!0031\" UESCAPE '!'", "select U&'*******' as U&\"******\" UESCAPE '!'"],
  ["do $$ begin perform e'4\\061', '4'; end $$", "do $$ begin perform e'*****', '4'; end $$"],
  ["select a&'b', 'c' -- U&'d'", "select a&'b', 'c' -- U&'d'"],
];
for (const [text, expected] of escaped) {
  test(`covers what escapes spell in ${JSON.stringify(text)}`, () => {
    const bytes = Buffer.from(text);
    maskEscapes(bytes);
    assert.equal(bytes.toString(), expected);
  });
}

test('keeps the length of any text, and never touches a byte outside of it', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("'", '"', '$', '\\', '-', '/', '*', 'E', 'a', '1', ' ', '\n', '.', 'é') }), (text) => {
      const bytes = Buffer.from(`<${text}>`);
      maskLiterals(bytes.subarray(1, bytes.length - 1));
      assert.equal(bytes[0], 0x3c);
      assert.equal(bytes[bytes.length - 1], 0x3e);
    }),
  );
});

test('no digit of a literal is left', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("'", '$$', ' ', ',', '4111', "''", 'E', '\\') }), (text) => {
      const out = masked(`select '${text.replaceAll("'", "''")}'`);
      assert.ok(!out.includes('4'), out);
    }),
  );
});
