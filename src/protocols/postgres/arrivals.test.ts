import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arrivals } from './arrivals.ts';

/** How many of the addresses are let in, one after the other. */
const letIn = (arrivals: Arrivals, addresses: readonly string[]): number =>
  addresses.filter((address) => arrivals.enter(address, address) !== null).length;
const times = (count: number, address: string): string[] => new Array<string>(count).fill(address);

test('one address gets half of the places, and all together get them all', () => {
  const arrivals = new Arrivals(10, () => {});
  assert.equal(letIn(arrivals, times(20, '10.0.0.1')), 5);
  assert.equal(letIn(arrivals, times(3, '10.0.0.2')), 3);
  assert.equal(letIn(arrivals, times(3, '10.0.0.3')), 2);
  assert.equal(letIn(arrivals, ['10.0.0.4']), 0);
  arrivals.close();
});

test('who has left makes room, once', () => {
  const arrivals = new Arrivals(2, () => {});
  const first = arrivals.enter('10.0.0.1', '');
  assert.equal(arrivals.enter('10.0.0.1', ''), null);
  first?.leave();
  first?.leave();
  assert.equal(letIn(arrivals, ['10.0.0.1', '10.0.0.1', '10.0.0.2', '10.0.0.3']), 2);
  arrivals.close();
});

test('a host of IPv6 counts by its network, however its address is written', () => {
  for (const [a, b, together] of [
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::7', true],
    ['2001:0db8::1', '2001:db8:0:0:ffff::', true],
    ['2001:db8:1:2::7', '2001:db8:1:3::7', false],
    ['2001:db8::', '2001:db8:0:1::', false],
    ['::1:2:3:4:5', '0:0:0:1:9:9:9:9', true],
    ['::1:2:3:4:5', '::1', false],
    ['fe80::1%eth0', 'fe80::2', true],
    ['::ffff:10.0.0.1', '10.0.0.1', true],
    ['::ffff:10.0.0.1', '::ffff:10.0.0.2', false],
  ] as const) {
    const arrivals = new Arrivals(2, () => {});
    assert.equal(letIn(arrivals, [a, b]), together ? 1 : 2, `${a} ${b}`);
    arrivals.close();
  }
});

test('refusals are told of at once, then together', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const told: [string, number][] = [];
  const arrivals = new Arrivals(1, (source, refused) => told.push([source, refused]));
  assert.equal(letIn(arrivals, ['a', 'b', 'c', 'd']), 1);
  assert.deepEqual(told, [['b', 1]]);
  context.mock.timers.tick(10_000);
  assert.deepEqual(told, [
    ['b', 1],
    ['d', 2],
  ]);
  context.mock.timers.tick(60_000);
  assert.equal(told.length, 2);
  // A quiet time is over at once; what is left at the end is told as well.
  letIn(arrivals, ['e', 'f']);
  arrivals.close();
  assert.deepEqual(told.slice(2), [
    ['e', 1],
    ['f', 1],
  ]);
});
