import { crossings, resetCrossings } from './crossings.ts';

// The import above stays first: the addon must count before the binding takes its functions.

import assert from 'node:assert/strict';
import type { Certificates } from '../../test/support/certificates.ts';
import { encode } from '../../test/support/wire-messages.ts';
import { Relay, type RelayCounts } from './relay.ts';
import { CARD, cardRow, MASKED_CARD, reply } from './rows.ts';

const FILLER = 'the quick brown fox jumps over the lazy dog; ';
const SQL = 'select id, customer, reference, day, brand, note, state from payments where id = ';

/** What one piece of work cost: deterministic counts, whatever the speed of the machine. */
export interface Cost extends RelayCounts {
  readonly operations: number;
  /** Bytes that the client and the target sent: what the session had to read. */
  readonly sent: number;
  /** Of the longest message among them. */
  readonly longest: number;
  readonly crossings: ReadonlyMap<string, number>;
}

export interface Work {
  readonly what: string;
  readonly operations: number;
  readonly rows: number;
  readonly rowBytes: number;
  /** All at once instead of one after the other. */
  readonly pipelined: boolean;
}

export const WORK = {
  small: { what: 'queries of one row, one by one', operations: 100, rows: 1, rowBytes: 200, pipelined: false },
  pipelined: { what: 'queries of one row, pipelined', operations: 2000, rows: 1, rowBytes: 200, pipelined: true },
  bulk: { what: 'a query of 20,000 rows', operations: 1, rows: 20_000, rowBytes: 200, pipelined: false },
  wide: { what: 'a query of 400 rows of 10 KB', operations: 1, rows: 400, rowBytes: 10_240, pipelined: false },
} as const satisfies Record<string, Work>;

export const query = (id: number): Buffer => encode.query(`${SQL}${id}`);
export const answer = (work: Pick<Work, 'rows' | 'rowBytes'>, card: string): Buffer =>
  reply(Array<Buffer>(work.rows).fill(cardRow(work.rowBytes, card, FILLER)));

/** Passes the work through the relay, compares every byte that arrives with what must, and returns what it cost. */
export async function costOf(relay: Relay, work: Work): Promise<Cost> {
  const raw = answer(work, CARD);
  const masked = answer(work, MASKED_CARD);
  relay.reply = raw;
  // What is found out about a statement once is not part of what an operation costs.
  assert.ok((await relay.exchange(query(0), masked.length)).equals(masked));
  // Nor is its result line, which may still wait for the next batch.
  await relay.recorded();
  relay.reset();
  resetCrossings();
  const queries = Array.from({ length: work.operations }, (_, i) => query(i));
  if (work.pipelined) {
    const got = await relay.exchange(Buffer.concat(queries), masked.length * queries.length);
    assert.ok(got.equals(Buffer.concat(queries.map(() => masked))), work.what);
  } else {
    for (const one of queries) assert.ok((await relay.exchange(one, masked.length)).equals(masked), work.what);
  }
  return {
    ...relay.counts(),
    operations: work.operations,
    sent: queries.reduce((sum, one) => sum + one.length, 0) + raw.length * work.operations,
    longest: Math.max(work.rowBytes, ...queries.map((one) => one.length), 256),
    crossings: crossings(),
  };
}

/** The design's account of the path without TLS. Throws where it does not hold. */
export function assertPlainPath(cost: Cost): void {
  assert.equal(cost.io.bytesRead, cost.sent, 'every byte sent was read');
  assert.equal(cost.io.bytesCopied, 0, 'bytes copied');
  assert.equal(cost.foreignBytes, 0, 'bytes written from other memory than they were read into');
  assertCarried(cost);
}

/** With TLS on both sides, Node's buffers are copied into slabs: once, and from there on it is the plain path. */
export function assertTlsPath(cost: Cost): void {
  assert.equal(cost.io.bytesRead, cost.sent, 'every byte sent was read');
  assert.equal(cost.io.bytesCopied, cost.sent, 'one copy a byte');
  assert.equal(cost.foreignBytes, 0, 'bytes written from other memory than they were copied into');
  assertCarried(cost);
}

/** Only the beginning of a message that the end of a slab cut off moves: less than one message a slab. */
function assertCarried({ io, slabsTaken, longest }: Cost): void {
  if (slabsTaken === 0) assert.equal(io.bytesCarried, 0);
  else assert.ok(io.bytesCarried < slabsTaken * longest, `${io.bytesCarried} bytes carried over ${slabsTaken} slabs`);
}

/**
 * Calls into the addon: an operation is looked up by its shape and its text masked for the record, once each; rows take one call
 * a read at most, whatever their number; a batch of the record takes one seal; a plain socket takes one call for each read and
 * each write, and one more where the system had no more to give or took no more. Nothing else.
 */
export function assertCrossings({ crossings: calls, operations, io }: Cost, pipelined: boolean): void {
  const of = (name: string): number => calls.get(name) ?? 0;
  // One that comes while others are unanswered is looked at a second time: whether it has to wait for them.
  const lookups = of('statementShape');
  if (pipelined) assert.ok(lookups >= operations && lookups <= 2 * operations, `${lookups} look-ups`);
  else assert.equal(lookups, operations, 'a statement is looked up once');
  assert.equal(of('maskText'), operations, 'a text is masked for the record once');
  assert.ok(of('maskRows') >= 1 && of('maskRows') <= operations + io.reads, `${of('maskRows')} masking calls for ${io.reads} reads`);
  assert.ok(of('RecordChain.seal') >= 1 && of('RecordChain.seal') <= 2 * operations, `${of('RecordChain.seal')} seals`);
  const [reads, writes] = [of('socketRead'), of('socketWrite')];
  // None of them with TLS, where Node reads and writes.
  assert.ok(reads === 0 || (reads >= io.reads && reads <= 2 * io.reads), `${reads} calls for ${io.reads} reads`);
  assert.ok(writes === 0 || (writes >= io.writes && writes <= 2 * io.writes + 10), `${writes} calls for ${io.writes} writes`);
  assert.ok(of('pollWait') <= reads, `${of('pollWait')} looks at the sockets for ${reads} reads`);
  // Plans that nobody uses any more are freed when the collector finds them.
  const others = [...calls].filter(
    ([name]) =>
      !['dropRowPlan', 'statementShape', 'maskText', 'maskRows', 'socketRead', 'socketWrite', 'pollWait', 'pollSet'].includes(name) &&
      !name.startsWith('RecordChain.'),
  );
  assert.deepEqual(others, [], 'no other call');
}

/** Runs `use` with a relay that is closed again afterwards. */
export async function withRelay<T>(tls: Certificates | null, use: (relay: Relay) => Promise<T>): Promise<T> {
  const relay = await Relay.start({ tls });
  try {
    return await use(relay);
  } finally {
    await relay.close();
  }
}
