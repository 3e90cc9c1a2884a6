import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NameTable } from './statements.ts';

interface Entry {
  readonly name: string;
  readonly text: string;
  pending: number;
  readonly closed: boolean;
}
const entry = (name: string, text: string, pending = 0, closed = false): Entry => ({ name, text, pending, closed });

test('a change holds within its sync group, and is unsettled for others until it is answered', () => {
  const names = new NameTable<Entry>(() => 1);
  const one = entry('s', 'one', 1);
  names.set(one);
  assert.equal(names.get('s'), one);
  assert.equal(names.unsettled('s', 1), false);
  assert.equal(names.unsettled('s', 2), true);
  names.settle(one);
  assert.equal(names.unsettled('s', 2), false);
});

test('what the server refuses is taken back, last first', () => {
  const names = new NameTable<Entry>(() => 1);
  const one = entry('s', 'one');
  names.set(one);
  const undoClose = names.set(entry('s', '', 1, true));
  const undoParse = names.set(entry('s', 'two', 1));
  assert.equal(names.get('s')?.text, 'two');
  undoParse?.undo();
  assert.equal(names.get('s'), undefined);
  undoClose?.undo();
  assert.equal(names.get('s'), one);
});

test('a confirmed Close frees the name, unless it has been taken again', () => {
  const names = new NameTable<Entry>(() => 1);
  const closed = entry('s', '', 1, true);
  names.set(entry('s', 'one'));
  names.set(closed);
  const again = entry('s', 'two', 1);
  names.set(again);
  names.settle(closed);
  assert.equal(names.get('s'), again);
});

test('a session cannot have more names than the limit', () => {
  const names = new NameTable<Entry>(() => 1, 2);
  assert.notEqual(names.set(entry('a', '')), null);
  assert.notEqual(names.set(entry('b', '')), null);
  assert.equal(names.set(entry('c', '')), null);
  assert.notEqual(names.set(entry('a', 'again')), null);
});

test('changes of several groups, answered one after the other, leave what the server has', () => {
  const answers = [
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ] as const;
  for (const [first, second] of answers) {
    const names = new NameTable<Entry>(() => 1);
    names.set(entry('s', 'before'));
    const one = entry('s', 'one', 1);
    const undoOne = names.set(one);
    const two = entry('s', 'two', 2);
    const undoTwo = names.set(two);
    if (first) names.settle(one);
    else undoOne?.undo();
    assert.equal(names.get('s'), two);
    if (second) names.settle(two);
    else undoTwo?.undo();
    assert.equal(names.get('s')?.text, second ? 'two' : first ? 'one' : 'before');
  }
});

test('values may hold on to so many bytes together, and give them back when they are replaced, closed or refused', () => {
  const names = new NameTable<Entry & { bytes: number }>((value) => value.bytes, 10, 100);
  const heavy = (name: string, bytes: number, closed = false) => ({ name, text: '', pending: 1, closed, bytes });
  const first = heavy('a', 60);
  assert.notEqual(names.set(first), null);
  names.settle(first);
  assert.equal(names.set(heavy('b', 60)), null);
  const replaced = heavy('a', 40);
  assert.notEqual(names.set(replaced), null);
  names.settle(replaced);
  const refused = names.set(heavy('b', 60));
  assert.notEqual(refused, null);
  refused?.undo();
  const again = names.set(heavy('c', 60));
  assert.notEqual(again, null);
  const closing = heavy('a', 40, true);
  names.set(closing);
  names.settle(closing);
  assert.notEqual(names.set(heavy('d', 40)), null);
});

test('what ended with its transaction is forgotten once there is much of it; what is unanswered stays', () => {
  const names = new NameTable<Entry>(() => 1, 1000, 1000);
  for (let round = 0; round < 10; round++) {
    const waiting = Array.from({ length: 50 }, (_, i) => entry(`waiting ${round} ${i}`, '', 1));
    for (const one of waiting) assert.notEqual(names.set(one), null, `the table is full in round ${round}`);
    for (let i = 0; i < 300; i++) assert.notEqual(names.set(entry(`${round} ${i}`, '')), null, `the table is full in round ${round}`);
    names.endConfirmed();
    assert.equal(names.get(`${round} 0`), undefined);
    for (const one of waiting) {
      assert.equal(names.get(one.name), one);
      names.settle(one);
    }
  }
});

test('few names are left alone: looking at each of them is not for every transaction', () => {
  const names = new NameTable<Entry>(() => 1);
  names.set(entry('', ''));
  names.endConfirmed();
  assert.notEqual(names.get(''), undefined);
});
