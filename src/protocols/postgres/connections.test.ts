import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { Connections } from './connections.ts';

class TestSocket extends EventEmitter {
  readonly remoteAddress: string;
  destroyed = false;

  constructor(address: string) {
    super();
    this.remoteAddress = address;
  }

  destroy(): void {
    this.destroyed = true;
    this.emit('close');
  }
}

const most = 2;
let last = 0;
function arrive(connections: Connections): { socket: TestSocket; connection: ReturnType<Connections['enter']> } {
  const socket = new TestSocket(`192.0.2.${++last % 250}`);
  return { socket, connection: connections.enter(socket as unknown as Socket, 'test') };
}

test('a place is held until the log-in or the end of the connection, not until a refusal', () => {
  const connections = new Connections(most, () => {});
  const [a, b] = [arrive(connections), arrive(connections)];
  assert.equal(a.connection?.leaving(), true);
  assert.equal(arrive(connections).connection, null);
  a.socket.destroy();
  const c = arrive(connections);
  assert.ok(c.connection !== null);
  assert.equal(arrive(connections).connection, null);
  b.connection?.proved();
  assert.ok(arrive(connections).connection !== null);
  // Given up once.
  b.socket.destroy();
  assert.equal(arrive(connections).connection, null);
});

test('who is refused after the log-in, or has no place, may take time only while few do', () => {
  const connections = new Connections(most, () => {});
  const refused = Array.from({ length: most + 1 }, () => {
    const one = arrive(connections);
    one.connection?.proved();
    one.connection?.opening();
    return one;
  });
  assert.equal(connections.opening, most + 1);
  assert.deepEqual(
    refused.map(({ connection }) => connection?.leaving()),
    [true, true, false],
  );
  assert.equal(connections.opening, 0);
  const other = new TestSocket('192.0.2.251') as unknown as Socket;
  assert.equal(connections.turnAway(other), false);
  refused[0]?.socket.destroy();
  assert.equal(connections.turnAway(other), true);
});

test('closing ends who waits to be answered, and nobody with a session or last words', () => {
  const connections = new Connections(9, () => {});
  const [waiting, begun, told] = [arrive(connections), arrive(connections), arrive(connections)];
  begun.connection?.proved();
  begun.connection?.opening();
  begun.connection?.begun();
  told.connection?.leaving();
  connections.close();
  assert.deepEqual(
    [waiting, begun, told].map(({ socket }) => socket.destroyed),
    [true, false, false],
  );
  assert.equal(connections.opening, 0);
});
