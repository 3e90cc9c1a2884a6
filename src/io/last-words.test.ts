import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { endWith } from './last-words.ts';

const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
before(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
after(() => server.close());

async function pair(): Promise<{ readonly socket: Socket; readonly peer: Socket }> {
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const peer = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  const [socket] = await accepted;
  return { socket, peer };
}

test('bytes that nobody will read do not cost the peer its last words', async () => {
  const { socket, peer } = await pair();
  let heard = 0;
  socket.on('data', (chunk: Buffer) => {
    heard += chunk.length;
  });
  socket.pause();
  await new Promise<void>((resolve) => peer.write(Buffer.alloc(500_000), () => resolve()));
  const closed = once(socket, 'close');
  endWith(socket, Buffer.from('no'));
  assert.equal(String((await once(peer, 'data'))[0]), 'no');
  await once(peer, 'end');
  peer.end();
  assert.deepEqual(await closed, [false]);
  assert.equal(heard, 0, 'who listened before does not hear of it');
});

test('who sends without end, or nothing, is not waited for', async () => {
  const flood = await pair();
  flood.peer.on('error', () => {});
  const flooded = once(flood.socket, 'close');
  endWith(flood.socket, null);
  flood.peer.write(Buffer.alloc(8 << 20));
  await flooded;
  const silent = await pair();
  endWith(silent.socket, Buffer.from('no'));
  await once(silent.socket, 'close');
  silent.peer.destroy();
});
