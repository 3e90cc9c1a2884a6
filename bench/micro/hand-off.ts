import assert from 'node:assert/strict';
import { makeCertificates } from '../../test/support/certificates.ts';
import { assertCrossings, assertPlainPath, assertTlsPath, type Cost, costOf, query, WORK, type Work, withRelay } from '../lib/hand-off.ts';
import { CARD, cardRow, MASKED_CARD, reply } from '../lib/rows.ts';
import type { Suite } from '../lib/suite.ts';

/**
 * A whole session between real sockets: what it copies and how often it calls the addon, held to the design before anything is timed
 * (test/contract/hand-off.test.ts asserts the same), then its round trips.
 */
export default async function handOff(suite: Suite): Promise<void> {
  for (const [label, tls] of [
    ['plain', null],
    ['TLS', makeCertificates()],
  ] as const) {
    await withRelay(tls, async (relay) => {
      for (const work of Object.values(WORK)) {
        const cost = await costOf(relay, work);
        if (tls === null) assertPlainPath(cost);
        else assertTlsPath(cost);
        assertCrossings(cost, work.pipelined);
        suite.note(account(label, work, cost));
      }
      const row = 200;
      for (const [what, rows] of [
        ['a query of one row', 1],
        ['a query of 5,000 rows', 5000],
      ] as const) {
        relay.reply = reply(Array<Buffer>(rows).fill(cardRow(row, CARD, 'filler ')));
        const expected = reply(Array<Buffer>(rows).fill(cardRow(row, MASKED_CARD, 'filler ')));
        const request = query(1);
        assert.ok((await relay.exchange(request, expected.length)).equals(expected));
        const bytes = rows > 1 ? { bytes: expected.length } : {};
        await suite.async(`${what} through a session, ${label}`, async () => void (await relay.exchange(request, expected.length)), bytes);
      }
    });
  }
}

function account(label: string, work: Work, { io, operations, sent, slabsTaken, crossings }: Cost): string {
  const each = (n: number): string => (n / operations).toFixed(operations === 1 ? 0 : 2);
  const calls = [...crossings].map(([name, n]) => `${name} ${each(n)}`).join(', ');
  const copied = `${(io.bytesCopied / sent).toFixed(2)} copies a byte, ${io.bytesCarried} of ${sent} bytes carried over ${slabsTaken} slabs`;
  return `${label}, ${work.what}: ${copied}; per operation: ${each(io.reads)} reads, ${each(io.writes)} writes, calls ${calls}`;
}
