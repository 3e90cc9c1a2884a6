import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import type { Resource } from '../../src/config/model.ts';
import { GatewayError } from '../../src/errors.ts';
import { CatalogClient } from '../../src/protocols/postgres/catalog-client.ts';
import { REPLY_LIMITS, ReplyReader } from '../../src/protocols/postgres/catalog-reply.ts';
import { message } from '../support/wire-messages.ts';

// The gateway's own connection asks a target that may have been taken over: whatever it answers, memory and time are bounded.

const MB = 1024 * 1024;
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const welcome = Buffer.concat([message('R', int32(0)), message('Z', Buffer.from('I'))]);
const done = Buffer.concat([message('C', Buffer.from('SELECT 1\0')), message('Z', Buffer.from('I'))]);
const row = (...values: (string | null)[]): Buffer => {
  const count = Buffer.alloc(2);
  count.writeUInt16BE(values.length);
  const bodies = values.map((value) =>
    value === null ? int32(0xffffffff) : Buffer.concat([int32(Buffer.byteLength(value)), Buffer.from(value)]),
  );
  return message('D', count, ...bodies);
};

/** A target that says `welcome` and answers each query by `answer`. Counts what it could send. */
async function against(
  answer: (socket: Socket, query: number) => void,
  use: (client: CatalogClient, target: { sent: number; connections: number }) => Promise<void>,
  options: { greet?: (socket: Socket) => void; timeoutMs?: number } = {},
): Promise<void> {
  const sockets = new Set<Socket>();
  const target = { sent: 0, connections: 0 };
  let queries = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    target.connections++;
    socket.on('error', () => {});
    socket.on('close', () => {
      target.sent += socket.bytesWritten;
    });
    socket.once('data', () => {
      if (options.greet) options.greet(socket);
      else socket.write(welcome);
      socket.on('data', () => answer(socket, queries++));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const resource = {
    name: 'hostile',
    kind: 'postgres',
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    database: 'x',
    tls: 'disable',
    ca: null,
  } as unknown as Resource;
  const client = new CatalogClient({ resource, user: 'u', password: 'p', settings: new Map(), timeoutMs: options.timeoutMs ?? 20_000 });
  try {
    await use(client, target);
  } finally {
    client.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

const failsWith = (code: string) => (error: unknown) => error instanceof GatewayError && error.code === code && error.source === 'upstream';

/** Writes `piece` for as long as the other side takes it. */
function forEver(socket: Socket, piece: Buffer): void {
  const more = (): void => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on('drain', more);
  more();
}

test('rows without end are an error of the target, after a bounded number of bytes', async () => {
  const piece = Buffer.concat(Array.from({ length: 64 }, () => row('x'.repeat(1000))));
  await against(
    (socket) => forEver(socket, piece),
    async (client, target) => {
      await assert.rejects(client.query('select 1'), failsWith('upstream_protocol'));
      assert.ok(target.sent < REPLY_LIMITS.bytes + 16 * MB, `${target.sent} bytes were taken`);
    },
  );
});

test('notices without end, or a byte now and then, fail in time', async () => {
  for (const answer of [
    (socket: Socket): void => {
      socket.write(message('N', Buffer.from('SNOTICE\0\0')));
    },
    (socket: Socket): void => {
      socket.write(int32(0x44000000));
    },
  ]) {
    await against(answer, (client) => assert.rejects(client.query('select 1'), failsWith('upstream_lost')), { timeoutMs: 200 });
  }
});

test('settings without end during the log-in are an error of the target', async () => {
  await against(
    () => {},
    async (client, target) => {
      await assert.rejects(client.query('select 1'), failsWith('upstream_protocol'));
      assert.ok(target.sent < 16 * MB, `${target.sent} bytes were taken`);
    },
    { greet: (socket) => forEver(socket, Buffer.concat([message('R', int32(0)), message('S', Buffer.alloc(60_000, 'x'))])) },
  );
});

const malformed: Readonly<Record<string, Buffer>> = {
  'a length of 2 GB': Buffer.concat([Buffer.from('D'), int32(0x7fffffff)]),
  'a length that is negative': Buffer.concat([Buffer.from('D'), int32(0xffffffff)]),
  'a length below its own': Buffer.concat([Buffer.from('D'), int32(3)]),
  'a message longer than allowed': Buffer.concat([Buffer.from('D'), int32(REPLY_LIMITS.message + 1)]),
  'a row without a count': message('D'),
  'a row that ends before its values': message('D', Buffer.from([0, 2]), int32(0xffffffff)),
  'a value that ends before its length': message('D', Buffer.from([0, 1]), int32(100), Buffer.from('x')),
  'a value of negative length': message('D', Buffer.from([0, 1]), int32(0x80000000)),
  'a copy that nobody asked for': message('H', Buffer.from([0, 0, 0])),
};
for (const [name, bytes] of Object.entries(malformed)) {
  test(`${name} is an error of the target, and the next query gets a connection of its own`, async () => {
    await against(
      (socket, query) => socket.write(query === 0 ? bytes : Buffer.concat([row('a', null), done])),
      async (client, target) => {
        await assert.rejects(client.query('select 1'), failsWith('upstream_protocol'));
        assert.deepEqual(await client.query('select 1'), [['a', null]]);
        assert.equal(target.connections, 2);
      },
    );
  });
}

test('more rows than allowed are an error, however short', () => {
  const reader = new ReplyReader({ message: 1000, bytes: 10_000, rows: 3 });
  reader.begin();
  assert.equal(reader.take(Buffer.concat([row(), row(), row()])), null);
  assert.throws(() => reader.take(row()), failsWith('upstream_protocol'));
});

test('what nobody asked for ends the connection', () => {
  const reader = new ReplyReader();
  assert.equal(reader.take(message('S', Buffer.from('TimeZone\0UTC\0'))), null);
  assert.throws(() => reader.take(row('a')), failsWith('upstream_protocol'));
});

test('replies are the same however they are cut', () => {
  const stream = Buffer.concat([message('T', Buffer.from([0, 0])), row('one', null, ''), row('two', 'é', 'x'), done]);
  for (const size of [1, 2, 5, 7, stream.length]) {
    const reader = new ReplyReader({ message: 1000, bytes: 10_000, rows: 2 });
    for (let round = 0; round < 2; round++) {
      reader.begin();
      const replies = [];
      for (let at = 0; at < stream.length; at += size) replies.push(reader.take(stream.subarray(at, at + size)));
      assert.deepEqual(
        replies.filter((reply) => reply !== null),
        [
          {
            rows: [
              ['one', null, ''],
              ['two', 'é', 'x'],
            ],
            error: null,
          },
        ],
      );
      assert.notEqual(replies.at(-1), null);
    }
  }
  const reader = new ReplyReader();
  reader.begin();
  const refused = reader.take(Buffer.concat([message('E', Buffer.from('SERROR\0Mno\0\0')), message('Z', Buffer.from('I'))]));
  assert.deepEqual(refused, { rows: null, error: 'no' });
});
