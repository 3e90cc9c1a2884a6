import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer as createNetServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer, connect as tlsConnect } from 'node:tls';
import type { Channel } from '../../src/io/channel.ts';
import type { IoCounters } from '../../src/io/counters.ts';
import { type Slab, SlabPool } from '../../src/io/slab.ts';
import { PgSession } from '../../src/protocols/postgres/session.ts';
import { type FileRecorder, openRecorder } from '../../src/recording/recorder.ts';
import type { Certificates } from '../../test/support/certificates.ts';
import { makeScene } from './scene.ts';

/** Pools that remember what they gave out: which memory is a slab's, and how often one was taken. */
class WatchedSlabs extends SlabPool {
  taken = 0;
  readonly memory = new Set<ArrayBufferLike>();

  override take(size?: number): Slab {
    const slab = super.take(size);
    this.taken++;
    this.memory.add(slab.bytes.buffer);
    return slab;
  }
}

export interface RelayOptions {
  /** Certificates make both sides TLS; null is the plain path. */
  readonly tls: Certificates | null;
  /** Wait for the disk as a gateway in that mode does. */
  readonly durability?: 'buffered' | 'durable';
}

/** What was counted since the last `reset`. */
export interface RelayCounts {
  readonly io: Readonly<IoCounters>;
  readonly slabsTaken: number;
  /** Bytes written to either socket that do not lie in a slab. */
  readonly foreignBytes: number;
}

/**
 * A session of the gateway between real sockets on loopback: client, session, target. The target answers every Query with the
 * reply it was given. Masking, policy and the record are on; the log-in is left out.
 */
export class Relay {
  /** What the target answers. */
  reply: Buffer = Buffer.alloc(0);
  readonly #slabs: WatchedSlabs;
  readonly #session: PgSession;
  readonly #client: Socket;
  readonly #recorder: FileRecorder;
  readonly #dataDir: string;
  readonly #servers: readonly Server[];
  readonly #ended: Promise<void>;
  #foreign = 0;
  #received: Buffer[] = [];
  #missing = 0;
  #done: (() => void) | null = null;
  #failed: ((error: Error) => void) | null = null;

  private constructor(parts: {
    slabs: WatchedSlabs;
    session: PgSession;
    client: Socket;
    recorder: FileRecorder;
    dataDir: string;
    servers: readonly Server[];
    ended: Promise<void>;
    trouble: readonly string[];
  }) {
    this.#slabs = parts.slabs;
    this.#session = parts.session;
    this.#client = parts.client;
    this.#recorder = parts.recorder;
    this.#dataDir = parts.dataDir;
    this.#servers = parts.servers;
    this.#ended = parts.ended;
    for (const channel of [this.#session.state.client, this.#session.state.upstream]) this.#watch(channel);
    this.#client.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#client.on('close', () => this.#failed?.(new Error(`the session ended: ${parts.trouble.join('; ')}`)));
  }

  static async start(options: RelayOptions): Promise<Relay> {
    const { tls } = options;
    const holder: { relay: Relay | null } = { relay: null };
    const target = await listen(tls, (socket) => {
      let rest: Buffer = Buffer.alloc(0);
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
        let at = 0;
        for (; rest.length - at >= 5 && rest.length - at > rest.readUInt32BE(at + 1); at += 1 + rest.readUInt32BE(at + 1)) {
          if (rest[at] === 0x51 && holder.relay !== null) socket.write(holder.relay.reply);
          else if (rest[at] === 0x58) socket.end();
        }
        rest = rest.subarray(at);
      });
    });
    const accepted = deferred<Socket>();
    const front = await listen(tls, (socket) => accepted.resolve(socket));
    const ended = deferred<void>();
    const dataDir = mkdtempSync(join(tmpdir(), 'sluice-relay-'));
    const durability = options.durability ?? 'buffered';
    const recorder = openRecorder({
      dataDir,
      gateway: 'bench',
      durability,
      segmentBytes: 2 ** 30,
      checkpointSeconds: 3600,
      version: 'bench',
    });
    const slabs = new WatchedSlabs();
    const trouble: string[] = [];
    const warn = (message: string, fields?: object): void => void trouble.push(`${message} ${JSON.stringify(fields)}`);
    const scene = await makeScene({ recorder, slabs, output: 'none', warn });
    const client = await dial(front, tls);
    const upstream = await dial(target, tls);
    const secure = tls !== null;
    const none = Buffer.alloc(0);
    const session = new PgSession({
      ...scene,
      classifier: () => scene.classifier,
      sid: 'bench',
      source: '127.0.0.1:1',
      approvalMode: 'wait',
      reason: '',
      grants: [],
      estimator: { estimate: () => Promise.resolve({ unavailable: 'nobody to ask' }) },
      connection: { socket: await accepted.promise, secure, rest: none },
      upstream: { socket: upstream, secure, rest: none, parameters: new Map(), pid: 1, secret: none },
      onEnd: () => ended.resolve(),
    });
    const relay = new Relay({ slabs, session, client, recorder, dataDir, servers: [target, front], ended: ended.promise, trouble });
    holder.relay = relay;
    session.open(none);
    return relay;
  }

  /** Sends `bytes` in one write; what came back once `expected` bytes did. */
  async exchange(bytes: Buffer, expected: number): Promise<Buffer> {
    await new Promise<void>((resolve, reject) => {
      this.#received = [];
      this.#missing = expected;
      this.#done = resolve;
      this.#failed = reject;
      this.#client.write(bytes);
    });
    this.#failed = null;
    return Buffer.concat(this.#received);
  }

  /** All lines of the record up to now are written. */
  recorded(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#recorder.whenRecorded({ onRecorded: (error) => (error === null ? resolve() : reject(error)) });
    });
  }

  counts(): RelayCounts {
    return { io: { ...this.#io }, slabsTaken: this.#slabs.taken, foreignBytes: this.#foreign };
  }

  reset(): void {
    Object.assign(this.#io, { reads: 0, bytesRead: 0, bytesCopied: 0, bytesCarried: 0, writes: 0, bytesWritten: 0 });
    this.#slabs.taken = 0;
    this.#foreign = 0;
  }

  async close(): Promise<void> {
    this.#client.end();
    await this.#ended;
    this.#client.destroy();
    await this.#recorder.close();
    for (const channel of [this.#session.state.client, this.#session.state.upstream]) channel.destroy();
    for (const server of this.#servers) server.close();
    rmSync(this.#dataDir, { recursive: true, force: true });
  }

  get #io(): IoCounters {
    return this.#session.state.services.counters;
  }

  /** Sees each piece of memory that the gateway hands to a channel. */
  #watch(channel: Channel): void {
    const { memory } = this.#slabs;
    const writeSlab = channel.writeSlab.bind(channel);
    const writeOwned = channel.writeOwned.bind(channel);
    channel.writeSlab = (slab, from, to) => {
      if (!memory.has(slab.bytes.buffer)) this.#foreign += to - from;
      return writeSlab(slab, from, to);
    };
    channel.writeOwned = (bytes) => {
      if (!memory.has(bytes.buffer)) this.#foreign += bytes.length;
      return writeOwned(bytes);
    };
  }

  #take(chunk: Buffer): void {
    this.#received.push(chunk);
    this.#missing -= chunk.length;
    if (this.#missing > 0) return;
    this.#done?.();
    this.#done = null;
  }
}

function deferred<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

async function listen(tls: Certificates | null, onSocket: (socket: Socket) => void): Promise<Server> {
  const server =
    tls === null
      ? createNetServer({ noDelay: true, allowHalfOpen: true }, onSocket)
      : createTlsServer({ key: tls.key, cert: tls.cert }, onSocket);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return server;
}

function dial(server: Server, tls: Certificates | null): Promise<Socket> {
  const { port } = server.address() as AddressInfo;
  return new Promise((resolve, reject) => {
    const socket =
      tls === null
        ? connect({ host: '127.0.0.1', port, noDelay: true }, () => resolve(socket))
        : tlsConnect({ host: '127.0.0.1', port, ca: tls.ca, servername: 'localhost' }, () => resolve(socket));
    socket.once('error', reject);
  });
}
