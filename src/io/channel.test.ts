import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { pollWait } from '../../native/binding/index.js';
import { Channel, type ChannelHandler } from './channel.ts';
import { newCounters } from './counters.ts';
import { SlabPool } from './slab.ts';
import { canPollSockets } from './socket-poll.ts';

// One contract for both ways of moving a channel's bytes: by descriptor, and through a stream of Node's.

const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
before(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
after(() => server.close());

/** Takes what comes, and lets a test wait for it. */
class Handler implements ChannelHandler {
  received = '';
  calls: string[] = [];
  taking = true;
  error: Error | null = null;
  #wake: (() => void)[] = [];

  onBytes(channel: Channel): boolean {
    if (!this.taking) return false;
    this.received += channel.slab.bytes.toString('latin1', channel.start, channel.end);
    channel.start = channel.end;
    this.#changed();
    return true;
  }

  onEnd(): void {
    this.#note('end');
  }

  onDrain(): void {
    this.#note('drain');
  }

  onClose(_channel: Channel, error: Error | null): void {
    this.error = error;
    this.#note('close');
  }

  async until(what: () => boolean): Promise<void> {
    while (!what()) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  #note(call: string): void {
    this.calls.push(call);
    this.#changed();
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

interface Pair {
  readonly channel: Channel;
  readonly handler: Handler;
  readonly peer: Socket;
  readonly slabs: SlabPool;
}

async function pair(make: typeof Channel.plain, first = ''): Promise<Pair> {
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const peer = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  peer.on('error', () => {});
  const [socket] = await accepted;
  const handler = new Handler();
  const slabs = new SlabPool();
  return { channel: make(socket, Buffer.from(first), slabs, newCounters(), handler), handler, peer, slabs };
}

/** More than the buffers of two sockets take. */
const FLOOD = Buffer.alloc(16 << 20, 'x');

for (const [way, make] of [
  ['by descriptor', Channel.plain],
  ['through a stream', Channel.copying],
] as const) {
  test(`${way}: the left-over comes first, and what was written arrives in order`, async () => {
    const { channel, handler, peer, slabs } = await pair(make, 'left-over ');
    peer.write('and more');
    channel.open();
    await handler.until(() => handler.received === 'left-over and more');
    const slab = slabs.take();
    slab.bytes.write('abcdef');
    channel.writeSlab(slab, 2, 4);
    channel.writeOwned(Buffer.from('!'));
    let got = '';
    for await (const chunk of peer) {
      got += String(chunk);
      if (got.length === 3) break;
    }
    assert.equal(got, 'cd!');
    channel.destroy();
    await handler.until(() => handler.calls.includes('close'));
    assert.equal(handler.error, null);
  });

  test(`${way}: what the system does not take is queued, keeps its slab, and drains`, async () => {
    const { channel, handler, peer, slabs } = await pair(make);
    peer.pause();
    channel.open();
    const slab = slabs.take(FLOOD.length);
    FLOOD.copy(slab.bytes);
    assert.equal(channel.writeSlab(slab, 0, FLOOD.length), false);
    channel.writeOwned(Buffer.from('the end'));
    assert.ok(channel.queued > 0);
    assert.ok(slab.shared, 'pinned until it is written');
    let length = 0;
    let tail = '';
    peer.on('data', (chunk: Buffer) => {
      length += chunk.length;
      tail = (tail + chunk.toString('latin1')).slice(-7);
    });
    peer.resume();
    await handler.until(() => handler.calls.includes('drain'));
    assert.equal(channel.queued, 0);
    while (length < FLOOD.length + 7) await once(peer, 'data');
    assert.equal(tail, 'the end');
    assert.ok(!slab.shared, 'let go of');
    channel.destroy();
  });

  test(`${way}: each side ends on its own, and then the connection is closed`, async () => {
    const { channel, handler, peer } = await pair(make);
    channel.open();
    peer.end('last words');
    await handler.until(() => handler.calls.includes('end'));
    assert.equal(handler.received, 'last words');
    assert.ok(!channel.closed);
    channel.writeOwned(Buffer.from('an answer'));
    channel.finish();
    let got = '';
    for await (const chunk of peer) got += String(chunk);
    assert.equal(got, 'an answer');
    await handler.until(() => handler.calls.includes('close'));
    assert.deepEqual([handler.calls, handler.error, channel.closed], [['end', 'close'], null, true]);
  });

  test(`${way}: finishing waits for what is queued`, async () => {
    const { channel, handler, peer } = await pair(make);
    peer.pause();
    channel.open();
    channel.writeOwned(FLOOD);
    channel.finish();
    let length = 0;
    for await (const chunk of peer) length += (chunk as Buffer).length;
    assert.equal(length, FLOOD.length);
    peer.end();
    await handler.until(() => handler.calls.includes('close'));
  });

  test(`${way}: nothing is delivered while the handler does not want it, and nothing is lost`, async () => {
    const { channel, handler, peer } = await pair(make);
    channel.open();
    handler.taking = false;
    peer.write('one ');
    while (channel.start === channel.end) await new Promise((resolve) => setImmediate(resolve));
    await new Promise<void>((resolve) => peer.end('two', () => resolve()));
    assert.equal(handler.received, '');
    handler.taking = true;
    channel.resume();
    await handler.until(() => handler.calls.includes('end'));
    assert.equal(handler.received, 'one two');
    channel.destroy();
  });

  test(`${way}: who is still sending when it is closed gets the last words, not a reset`, async () => {
    const { channel, handler, peer } = await pair(make);
    let failure: Error | null = null;
    peer.on('error', (error) => {
      failure = error;
    });
    handler.taking = false;
    channel.open();
    peer.write('first');
    while (channel.start === channel.end) await new Promise((resolve) => setImmediate(resolve));
    channel.writeOwned(Buffer.from('last words'));
    channel.close();
    handler.taking = true;
    // Reads only when it has written everything, as a client that blocks does.
    await new Promise<void>((resolve) => peer.write(FLOOD, () => resolve()));
    let got = '';
    peer.on('data', (chunk: Buffer) => {
      got += String(chunk);
    });
    await once(peer, 'end');
    assert.equal(got, 'last words');
    assert.ok(!handler.calls.includes('close'), 'the peer may still be sending');
    channel.poke();
    channel.resume();
    peer.end('more');
    await handler.until(() => handler.calls.includes('close'));
    assert.deepEqual([handler.calls, handler.received, handler.error, failure], [['close'], '', null, null]);
  });

  test(`${way}: the rest of a message under way comes before our end`, async () => {
    const { channel, handler, peer } = await pair(make);
    let ended = false;
    peer.on('end', () => {
      ended = true;
    });
    handler.onBytes = (one) => {
      one.want = 1_000_000;
      one.writeOwned(Buffer.from('no'));
      one.close();
      return false;
    };
    channel.open();
    peer.write('x');
    assert.equal(String((await once(peer, 'data'))[0]), 'no');
    await new Promise<void>((resolve) => peer.write(FLOOD.subarray(0, 999_998), () => resolve()));
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.ok(!ended);
    peer.write('x');
    await once(peer, 'end');
    peer.end();
    await handler.until(() => handler.calls.includes('close'));
    assert.deepEqual([handler.calls, handler.error], [['close'], null]);
  });

  test(`${way}: a handler may close while it takes bytes`, async () => {
    const { channel, handler, peer } = await pair(make);
    handler.onBytes = (one) => {
      one.writeOwned(Buffer.from('no'));
      one.close();
      return false;
    };
    channel.open();
    peer.write(FLOOD);
    let got = '';
    for await (const chunk of peer) got += String(chunk);
    assert.equal(got, 'no');
    peer.end();
    await handler.until(() => handler.calls.includes('close'));
    assert.deepEqual([handler.calls, handler.error], [['close'], null]);
  });

  test(`${way}: a peer that is silent after the close, or sends too much, is not waited for`, async () => {
    const patience = { silenceMs: 60_000, totalMs: 60_000, bytes: 60_000_000 };
    const silent = await pair(make);
    silent.channel.open();
    silent.channel.close({ ...patience, silenceMs: 20 });
    await silent.handler.until(() => silent.channel.closed);
    const long = await pair(make);
    long.channel.open();
    long.channel.close({ ...patience, bytes: 1_000_000 });
    long.peer.write(FLOOD);
    await long.handler.until(() => long.channel.closed);
    const late = await pair(make);
    late.channel.open();
    late.channel.close({ ...patience, totalMs: -1 });
    late.peer.write('x');
    await late.handler.until(() => late.channel.closed);
    assert.deepEqual([silent.handler.calls, long.handler.calls, late.handler.calls], [['close'], ['close'], ['close']]);
  });

  test(`${way}: a reset is told as an error, once`, async () => {
    const { channel, handler, peer } = await pair(make);
    channel.open();
    peer.resetAndDestroy();
    await handler.until(() => handler.calls.includes('close'));
    assert.equal((handler.error as NodeJS.ErrnoException | null)?.code, 'ECONNRESET');
    channel.writeOwned(Buffer.from('too late'));
    channel.destroy();
    assert.deepEqual(handler.calls, ['close']);
  });
}

test('by descriptor: a stopped channel whose peer is gone costs nothing until it is read again', async () => {
  const { channel, handler, peer } = await pair(Channel.plain);
  channel.open();
  channel.pause();
  peer.resetAndDestroy();
  await once(peer, 'close');
  assert.equal(pollWait(new Uint32Array(16)), 0, 'or every turn of the event loop would hear of a hang-up that nobody can act on');
  assert.deepEqual(handler.calls, []);
  channel.resume();
  await handler.until(() => handler.calls.includes('close'));
});

test('a plain socket without a descriptor is read through its stream, and counted', { skip: !canPollSockets }, async () => {
  const counters = newCounters();
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const peer = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' });
  const [socket] = await accepted;
  const handle = (socket as unknown as { _handle: object })._handle;
  Object.defineProperty(handle, 'fd', { value: -1 });
  const handler = new Handler();
  const channel = Channel.plain(socket, Buffer.alloc(0), new SlabPool(), counters, handler);
  channel.open();
  peer.write('through');
  await handler.until(() => handler.received === 'through');
  assert.equal(counters.fallbacks, 1);
  channel.destroy();
  peer.destroy();
});
