import assert from 'node:assert/strict';
import { Masker } from '../../src/workers/masker.ts';
import { encode } from '../../test/support/wire-messages.ts';
import { Pumps } from '../lib/pumps.ts';
import { CARD, cardRow, commandComplete, MASKED_CARD, message, readyForQuery, reply, rowDescription } from '../lib/rows.ts';
import { MASKING, makeScene } from '../lib/scene.ts';
import type { Suite } from '../lib/suite.ts';

const RUN = 64 * 1024;
const FILLER = 'the quick brown fox jumps over the lazy dog; ';
const SQL = 'select id, customer, reference, day, brand, note, state from payments where id = 12345';

/** Leaves every row as it is: what is left is framing. */
class NoScan extends Masker {
  override rows(_plan: number, _bytes: Buffer, _off: number, len: number): number {
    return len;
  }
}

/** The two pumps over buffers in memory: framing alone, framing with masking, and whole operations without sockets and record. */
export default async function framing(suite: Suite): Promise<void> {
  const scene = await makeScene();
  const bare = await makeScene({ masker: new NoScan(MASKING, 'inline', null) });

  for (const [label, size] of [
    ['100 B', 100],
    ['1 KB', 1024],
  ] as const) {
    const count = Math.floor(RUN / size);
    const rows = Buffer.concat(Array<Buffer>(count).fill(cardRow(size, CARD, FILLER)));
    const masked = Buffer.concat(Array<Buffer>(count).fill(cardRow(size, MASKED_CARD, FILLER)));
    for (const [how, on, expected] of [
      ['framing only', bare, rows],
      ['framed and masked', scene, masked],
    ] as const) {
      const pumps = new Pumps(on);
      pumps.fromClient(encode.query(SQL)).deliver();
      pumps.fromServer(rowDescription()).deliver();
      const feed = pumps.fromServer(rows);
      const what = `64 KB of ${label} rows, ${how}`;
      assert.ok(pumps.sent(() => feed.deliver()).client.equals(expected), what);
      suite.sync(what, () => feed.deliver(), { before: () => feed.restore(), batch: count, bytes: rows.length / count });
    }
  }

  // The smallest message there is: the floor of a message from a client.
  const flushes = Buffer.concat(Array<Buffer>(1000).fill(encode.flush()));
  const floor = new Pumps(bare);
  const many = floor.fromClient(flushes);
  assert.ok(floor.sent(() => many.deliver()).server.equals(flushes));
  suite.sync('1000 Flush messages from a client', () => many.deliver(), { batch: 1000, bytes: 5 });

  operation(
    'simple query, one row',
    [],
    encode.query(SQL),
    encode.query(SQL),
    reply([cardRow(200, CARD, FILLER)]),
    reply([cardRow(200, MASKED_CARD, FILLER)]),
  );
  // The server describes each portal because the gateway asks; the client never sees that reply.
  const bind = encode.bind({ statement: 's', values: ['12345'] });
  const rest = Buffer.concat([encode.execute(), encode.sync()]);
  const answer = (card: string, describes: boolean): Buffer =>
    Buffer.concat([
      message('2'),
      ...(describes ? [rowDescription()] : []),
      cardRow(200, card, FILLER),
      commandComplete('SELECT 1'),
      readyForQuery(),
    ]);
  operation(
    'prepared statement, one row',
    [
      [
        Buffer.concat([encode.parse({ name: 's', text: `${SQL.slice(0, -5)}$1`, types: [23] }), encode.sync()]),
        Buffer.concat([message('1'), readyForQuery()]),
      ],
    ],
    Buffer.concat([bind, rest]),
    Buffer.concat([bind, encode.describe('P', ''), rest]),
    answer(CARD, true),
    answer(MASKED_CARD, false),
  );

  function operation(
    what: string,
    first: readonly (readonly [Buffer, Buffer])[],
    request: Buffer,
    forwarded: Buffer,
    response: Buffer,
    delivered: Buffer,
  ): void {
    const pumps = new Pumps(scene);
    for (const [fromClient, fromServer] of first) {
      pumps.fromClient(fromClient).deliver();
      pumps.fromServer(fromServer).deliver();
    }
    const ask = pumps.fromClient(request);
    const answered = pumps.fromServer(response);
    const once = (): void => {
      ask.deliver();
      answered.deliver();
    };
    const sent = pumps.sent(once);
    assert.deepEqual(sent.server, forwarded, what);
    assert.deepEqual(sent.client, delivered, what);
    assert.equal(pumps.state.replies.length, 0, what);
    suite.sync(`${what}, both ways`, once, { before: () => answered.restore() });
  }
}
