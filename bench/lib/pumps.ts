import type { Channel, ChannelHandler } from '../../src/io/channel.ts';
import { Slab, SlabPool } from '../../src/io/slab.ts';
import { ApprovalGate } from '../../src/protocols/postgres/approval-gate.ts';
import { ClientMessages } from '../../src/protocols/postgres/client-messages.ts';
import { ClientPump } from '../../src/protocols/postgres/client-pump.ts';
import { ServerMessages } from '../../src/protocols/postgres/server-messages.ts';
import { ServerPump } from '../../src/protocols/postgres/server-pump.ts';
import { SessionState } from '../../src/protocols/postgres/session-state.ts';
import type { Scene } from './scene.ts';

/** A channel without a socket: what is put in comes to the handler in one read, what is written is counted and, if wanted, kept. */
class MemoryChannel {
  readonly slab: Slab;
  start = 0;
  end = 0;
  want = 0;
  readonly queued = 0;
  readonly closed = false;
  written = 0;
  kept: Buffer[] | null = null;
  readonly #content: Buffer;

  constructor(content: Buffer) {
    this.#content = content;
    this.slab = new Slab(new SlabPool(), Math.max(content.length, 1));
    this.restore();
  }

  /** Puts the bytes back that masking changed. */
  restore(): void {
    this.#content.copy(this.slab.bytes);
  }

  /** Hands everything to the handler once more. */
  deliver(handler: Pick<ChannelHandler, 'onBytes'>): void {
    this.start = 0;
    this.end = this.#content.length;
    handler.onBytes(this as unknown as Channel);
  }

  writeSlab(slab: Slab, from: number, to: number): boolean {
    return this.writeOwned(slab.bytes.subarray(from, to));
  }

  writeOwned(bytes: Uint8Array): boolean {
    this.written += bytes.length;
    this.kept?.push(Buffer.from(bytes));
    return true;
  }

  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}
  poke(): void {}
}

/** Both directions of one session with their real state, classifier and masker, fed from memory. */
export class Pumps {
  readonly state: SessionState;
  readonly #client: ClientPump;
  readonly #server: ServerPump;
  readonly #toClient = new MemoryChannel(Buffer.alloc(0));
  readonly #toServer = new MemoryChannel(Buffer.alloc(0));

  constructor(scene: Scene) {
    this.state = new SessionState({
      ...scene,
      classifier: () => scene.classifier,
      sid: 'bench',
      source: '127.0.0.1:1',
      parameters: new Map(),
      approvalMode: 'wait',
      reason: '',
      fail: (error) => {
        throw error;
      },
    });
    const gone = (): void => {};
    const approvals = new ApprovalGate(this.state, () => Promise.resolve({ unavailable: 'nobody to ask' }), gone);
    this.#client = new ClientPump(this.state, new ClientMessages(this.state, approvals), gone);
    this.#server = new ServerPump(this.state, new ServerMessages(this.state), gone, gone);
    this.state.client = this.#toClient as unknown as Channel;
    this.state.upstream = this.#toServer as unknown as Channel;
  }

  /** Something that feeds these bytes as the client's. */
  fromClient(bytes: Buffer): Feed {
    const channel = new MemoryChannel(bytes);
    return { deliver: () => channel.deliver(this.#client), restore: () => channel.restore() };
  }

  /** Something that feeds these bytes as the server's. */
  fromServer(bytes: Buffer): Feed {
    const channel = new MemoryChannel(bytes);
    return { deliver: () => channel.deliver(this.#server), restore: () => channel.restore() };
  }

  /** What `act` made the gateway send to each side. */
  sent(act: () => void): { client: Buffer; server: Buffer } {
    const client: Buffer[] = [];
    const server: Buffer[] = [];
    this.#toClient.kept = client;
    this.#toServer.kept = server;
    act();
    this.#toClient.kept = null;
    this.#toServer.kept = null;
    return { client: Buffer.concat(client), server: Buffer.concat(server) };
  }
}

export interface Feed {
  deliver(): void;
  /** Before each further `deliver` of bytes that masking changes. */
  restore(): void;
}
