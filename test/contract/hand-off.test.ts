import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertCrossings, assertPlainPath, assertTlsPath, costOf, WORK, withRelay } from '../../bench/lib/hand-off.ts';
import { makeCertificates } from '../support/certificates.ts';

// The account of the design: what a byte and an operation cost on their way, counted on real sockets. No timing.

for (const work of Object.values(WORK)) {
  test(`${work.what}: nothing is copied on the plain path`, async () => {
    await withRelay(null, async (relay) => {
      const cost = await costOf(relay, work);
      assertPlainPath(cost);
      assertCrossings(cost, work.pipelined);
    });
  });
}

test('every byte is copied exactly once on the TLS path', async () => {
  const certificates = makeCertificates();
  await withRelay(certificates, async (relay) => {
    for (const work of Object.values(WORK)) {
      const cost = await costOf(relay, work);
      assertTlsPath(cost);
      assertCrossings(cost, work.pipelined);
    }
  });
});

test('a large reply carries the cut-off beginnings of messages, and counts them', async () => {
  await withRelay(null, async (relay) => {
    const { io, slabsTaken } = await costOf(relay, WORK.wide);
    assert.ok(slabsTaken > 10, `${slabsTaken} slabs`);
    assert.ok(io.bytesCarried > 0);
  });
});
