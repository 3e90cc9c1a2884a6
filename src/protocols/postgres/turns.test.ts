import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Turns } from './turns.ts';

test('so much runs at once, so much waits in order, the rest is turned away; a failure gives its turn on', async () => {
  const turns = new Turns(2, 2);
  const ends: ((error?: Error) => void)[] = [];
  const begun: string[] = [];
  const work = (name: string) => () =>
    new Promise<string>((resolve, reject) => {
      begun.push(name);
      ends.push((error) => (error === undefined ? resolve(name) : reject(error)));
    });
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => turns.take(work(name)));
  assert.equal(await turns.take(work('e')), null);
  assert.deepEqual(begun, ['a', 'b']);
  ends[0]?.(new Error('failed'));
  await assert.rejects(a ?? Promise.resolve(), /failed/);
  assert.deepEqual(begun, ['a', 'b', 'c']);
  ends[1]?.();
  assert.equal(await b, 'b');
  assert.deepEqual(begun, ['a', 'b', 'c', 'd']);
  for (const end of ends) end();
  assert.deepEqual([await c, await d], ['c', 'd']);
  const f = turns.take(work('f'));
  const g = turns.take(work('g'));
  assert.deepEqual(begun.slice(4), ['f', 'g'], 'both turns are free again');
  for (const end of ends) end();
  await Promise.all([f, g]);
});
