import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileCatalog } from '../../../native/binding/index.js';
import type { PolicyEngine, Principal, Target } from '../../policy/model.ts';
import { type AnalyzeJob, analyze } from '../../workers/mask-worker.ts';
import type { MaskPool } from '../../workers/pool.ts';
import type { CatalogSnapshot } from './catalog.ts';
import { Classifier, POOL_BYTES } from './classifier.ts';

const engine = {
  snapshot: 's',
  decide: () => ({ kind: 'allow', policies: ['p'], snapshot: 's' }),
} as unknown as PolicyEngine;
const snapshot = (version: number): CatalogSnapshot => ({
  version,
  native: compileCatalog(JSON.stringify({ relations: [], userFunctions: [], userOperators: [], knownRelations: [] })),
  protection: () => null,
  columnsOf: () => null,
  protectedColumns: () => [],
  storedProtection: () => null,
  isUserFunction: () => false,
  isVolatile: () => false,
});
const catalog = snapshot(1);

/** A classifier over a pool that does its work at once and remembers what it was given. */
function classifier(): { subject: Classifier; given: string[] } {
  const given: string[] = [];
  const pool = {
    analyze: async (job: AnalyzeJob) => {
      given.push(Buffer.from(job.memory).toString());
      return analyze(job);
    },
  } as unknown as MaskPool;
  return { subject: new Classifier(engine, {} as Principal, {} as Target, pool, (text) => text), given };
}

const many = (statement: string): string => statement.repeat(Math.ceil(POOL_BYTES / statement.length));

test('a text of many statements is analyzed on the pool, though it is short for one statement', async () => {
  const { subject, given } = classifier();
  const text = Buffer.from('select 1;'.repeat(2000));
  await subject.prepare(text, 0, text.length, catalog);
  assert.deepEqual(given, [text.toString()]);
  assert.equal(subject.classify(text, 0, text.length, catalog).statements.length, 2000);
  assert.equal(subject.counters.misses, 0, 'nothing is left to the event loop');
  assert.equal(subject.prepare(text, 0, text.length, catalog), null, 'it is known now');
});

test('a short text is not worth the round trip', () => {
  const { subject } = classifier();
  const text = Buffer.from('x'.repeat(POOL_BYTES - 1));
  assert.equal(subject.prepare(text, 0, text.length, catalog), null);
});

test('a long text of a known shape is not analyzed again', async () => {
  const { subject, given } = classifier();
  const text = (value: number): Buffer => Buffer.from(`insert into t values ${Array.from({ length: 2000 }, () => `(${value})`).join()}`);
  await subject.prepare(text(1), 0, text(1).length, catalog);
  assert.equal(subject.prepare(text(2), 0, text(2).length, catalog), null);
  assert.equal(subject.classify(text(2), 0, text(2).length, catalog).action, 'insert');
  assert.equal(given.length, 1);
  assert.equal(subject.counters.misses, 0);
});

test('what was found under a catalog that is gone is not used', async () => {
  const { subject, given } = classifier();
  const text = Buffer.from(many('select 1;'));
  const newer = snapshot(2);
  const under = subject.prepare(text, 0, text.length, catalog);
  // Another session of the scope goes on under the new one.
  subject.classify(Buffer.from('select 2'), 0, 8, newer);
  await under;
  await subject.prepare(text, 0, text.length, newer);
  assert.equal(given.length, 2);
  assert.equal(subject.prepare(text, 0, text.length, newer), null);
});
