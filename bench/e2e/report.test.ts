import assert from 'node:assert/strict';
import { test } from 'node:test';
import { markdown, median, ratio } from './report.ts';

const series = (route: string, samples: number[], durability = '-') => ({ route, samples, durability, output: '-', tls: 'off' });

test('the median of odd and even counts', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.throws(() => median([]));
});

test('ratios pair the samples of one round', () => {
  assert.equal(ratio(series('b', [50, 10]), series('a', [100, 20])), 0.5);
});

test('the table names every route, its mode and its ratios', () => {
  const text = markdown({ title: 'T', unit: 'tps', digits: 0, series: [series('direct', [100]), series('sluice', [60], 'durable')] });
  assert.match(text, /\| sluice \| durable \| - \| off \| 60 \| 60 - 60 \| 0\.60x \|/);
});
