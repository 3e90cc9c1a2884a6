import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareRounds, type Round } from './compare.ts';

const rounds = (name: string, ...medians: number[]): Round[] => medians.map((median) => [{ name, median }]);
const verdict = (base: Round[], head: Round[]): string => compareRounds(base, head)[0]?.verdict ?? 'nothing';

test('slower by more than a tenth with separated intervals is a regression', () => {
  assert.equal(verdict(rounds('a', 100, 101, 99, 102, 98), rounds('a', 112, 113, 111, 114, 115)), 'REGRESSION');
});

test('slower by more than a tenth is none while the intervals overlap', () => {
  assert.equal(verdict(rounds('a', 100, 101, 99, 130, 98), rounds('a', 120, 121, 122, 125, 119)), 'same');
  // Touching counts as overlapping.
  assert.equal(verdict(rounds('a', 100, 110, 120), rounds('a', 120, 140, 150)), 'same');
});

test('separated intervals within the tolerance are slower and no regression', () => {
  assert.equal(verdict(rounds('a', 100, 100.5, 101), rounds('a', 104, 105, 106)), 'slower');
  // Exactly a tenth is still within it.
  assert.equal(verdict(rounds('a', 100, 100, 100), rounds('a', 110, 110, 110)), 'slower');
});

test('separated intervals for the better are faster', () => {
  assert.equal(verdict(rounds('a', 100, 101, 99), rounds('a', 50, 51, 52)), 'faster');
});

test('one slow round does not move the median', () => {
  const [found] = compareRounds(rounds('a', 100, 101, 99, 102, 900), rounds('a', 100, 101, 99, 102, 98));
  assert.deepEqual(found?.base, { median: 101, min: 99, max: 900 });
  assert.equal(found?.head?.median, 100);
});

test('a bench of one side only is named, whichever side it is, and never a regression', () => {
  const found = compareRounds(
    [
      [
        { name: 'old', median: 1 },
        { name: 'both', median: 10 },
      ],
    ],
    [
      [
        { name: 'new', median: 1e9 },
        { name: 'both', median: 10 },
      ],
    ],
  );
  assert.deepEqual(
    found.map(({ name, verdict: said }) => [name, said]),
    [
      ['new', 'only in head'],
      ['both', 'same'],
      ['old', 'only in base'],
    ],
  );
  assert.ok(Number.isNaN(found[0]?.ratio));
});

test('the ratio is of medians over rounds', () => {
  assert.equal(compareRounds(rounds('a', 10, 20, 30, 40), rounds('a', 50))[0]?.ratio, 2);
});
