import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Stage, startStage } from '../support/stage.ts';
import { Wire, WireError } from '../support/wire.ts';
import { decode, encode, message } from '../support/wire-messages.ts';

let stage: Stage;
before(async () => {
  stage = await startStage({ setup: 'create table lines (id int, body text); grant select, insert, delete on lines to app_rw' });
});
after(() => stage.stop());

/** One of everything that a client sends after its log-in, on data that no mask concerns. It leaves the table as it was. */
const script = Buffer.concat([
  encode.query('begin'),
  encode.query("select 1 as a, null::text as b; select 'x'"),
  encode.query(''),
  encode.parse({ name: 's', text: 'select $1::int + 1' }),
  encode.describe('S', 's'),
  encode.bind({ statement: 's', values: ['41'] }),
  encode.describe('P', ''),
  encode.execute(),
  encode.sync(),
  encode.bind({ statement: 's', values: [null], resultFormats: [1] }),
  encode.execute(),
  encode.bind({ portal: 'p', statement: 's', values: ['1'] }),
  encode.execute('p'),
  encode.close('P', 'p'),
  encode.parse({ text: 'select i from generate_series(1, 5) i' }),
  encode.bind(),
  encode.execute('', 2),
  encode.execute('', 2),
  encode.execute(''),
  encode.flush(),
  encode.close('S', 's'),
  encode.sync(),
  encode.query('copy lines from stdin'),
  encode.copyData('1\tone\n2\ttw'),
  encode.copyData('o\n'),
  encode.copyDone(),
  encode.query('copy lines to stdout'),
  encode.query('savepoint before'),
  encode.parse({ text: 'select 1/0' }),
  encode.bind(),
  encode.execute(),
  encode.parse({ text: 'select 2' }),
  encode.bind(),
  encode.execute(),
  encode.sync(),
  encode.query('rollback to before'),
  encode.query('copy lines from stdin'),
  encode.copyFail('changed my mind'),
  encode.query('rollback'),
  encode.query("select 'last'"),
]);

/** The reply up to the ReadyForQuery that follows the last row of the script. */
async function reply(wire: Wire): Promise<Buffer> {
  for (;;) {
    const { rows, messages, status } = await wire.cycle();
    if (status === '' || rows[0]?.[0] === 'last') {
      assert.notEqual(status, '', `the connection ended after ${JSON.stringify(messages.at(-1)?.error)}`);
      return wire.forget();
    }
  }
}

async function begun(): Promise<Wire> {
  const wire = await stage.connect(stage.developer);
  wire.socket.setNoDelay(true);
  wire.forget();
  return wire;
}

let whole: Buffer;
test('a session in one write has the very bytes of the server as its reply', async () => {
  const direct = await stage.direct(stage.developer);
  direct.forget();
  direct.send(script);
  const expected = await reply(direct);
  await direct.end();
  const wire = await begun();
  wire.send(script);
  whole = await reply(wire);
  await wire.end();
  assert.deepEqual(messagesOf(whole), messagesOf(expected));
  assert.deepEqual(whole, expected);
});

test('split in two at every byte, the reply stays the same', async () => {
  const wire = await begun();
  for (let at = 1; at < script.length; at++) {
    await new Promise<void>((resolve) => wire.socket.write(script.subarray(0, at), () => resolve()));
    wire.socket.write(script.subarray(at));
    assert.ok((await reply(wire)).equals(whole), `split at ${at}`);
  }
  await wire.end();
});

test('sent byte by byte, the reply stays the same', async () => {
  const wire = await begun();
  for (const byte of script) await new Promise<void>((resolve) => wire.socket.write(Buffer.of(byte), () => resolve()));
  assert.ok((await reply(wire)).equals(whole));
  await wire.end();
});

test('several sessions coalesced into one write have their replies one after the other', async () => {
  const wire = await begun();
  wire.send(script, script, script);
  const replies = [await reply(wire)];
  // What came behind the first reply is part of what was received.
  while (Buffer.concat(replies).length < 3 * whole.length) {
    await wire.cycle();
    replies.push(wire.forget());
  }
  assert.deepEqual(Buffer.concat(replies), Buffer.concat([whole, whole, whole]));
  await wire.end();
});

test('the log-in split at every byte and coalesced with the first query', async () => {
  const { user, token } = stage.developer;
  const bytes = Buffer.concat([encode.startup({ user, database: 'payments' }), encode.password(token), encode.query("select 'in'")]);
  const first = encode.startup({ user, database: 'payments' }).length;
  for (const at of [1, 3, 4, 7, 8, 9, 20, first - 1, first, first + 1, first + 4, first + 5, bytes.length - 3, bytes.length]) {
    const wire = await Wire.open({ port: stage.gateway.port });
    wire.socket.setNoDelay(true);
    await new Promise<void>((resolve) => wire.socket.write(bytes.subarray(0, at), () => resolve()));
    wire.socket.write(bytes.subarray(at));
    await wire.cycle();
    assert.deepEqual((await wire.cycle()).rows, [['in']], `split at ${at}`);
    await wire.end();
  }
});

test('a session that breaks off inside any message leaves the gateway serving', async () => {
  const starts = [0];
  for (let at = 0; at < script.length; at += 1 + script.readInt32BE(at + 1)) starts.push(at + 1, at + 3, at + 6);
  for (const at of starts) {
    const wire = await begun();
    await new Promise<void>((resolve) => wire.socket.write(script.subarray(0, Math.min(at, script.length)), () => resolve()));
    wire.destroy();
  }
  await serves();
});

test('a client that closes its half after the last query still gets the reply', async () => {
  const wire = await begun();
  wire.socket.end(encode.query('select i from generate_series(1, 20000) i'));
  const { rows, status } = await wire.cycle();
  assert.equal(rows.length, 20_000);
  assert.equal(status, 'I');
  await wire.ended();
});

test('Terminate ends the session and both connections', async () => {
  const wire = await begun();
  const [[pid]] = (await wire.query('select pg_backend_pid()')).rows as [[string]];
  await wire.end();
  await gone(pid);
});

test('a client that vanishes takes its server connection with it', async () => {
  const wire = await begun();
  const [[pid]] = (await wire.query('select pg_backend_pid()')).rows as [[string]];
  wire.destroy();
  await gone(pid);
});

const hostile: readonly [string, Buffer, string][] = [
  ['a message of 2 GB', Buffer.from([0x51, 0x7f, 0xff, 0xff, 0xff]), '54000'],
  ['a message of 4 GB', Buffer.from([0x51, 0xff, 0xff, 0xff, 0xff]), '54000'],
  ['a length of zero', Buffer.from([0x51, 0, 0, 0, 0]), '08P01'],
  ['a length of three', Buffer.from([0x53, 0, 0, 0, 3]), '08P01'],
  ['an unknown message type', message('~'), '08P01'],
  ['a query without its zero', message('Q', Buffer.from('select 1')), '08P01'],
  ['a query with a zero inside', message('Q', Buffer.from('select 1\0; drop table cards\0')), '08P01'],
  ['a Parse cut short', message('P', Buffer.from('s\0select 1\0')), '08P01'],
  ['a Parse that promises more types than it has', message('P', Buffer.from('s\0select 1\0\x00\x09')), '08P01'],
  ['a Bind cut short', message('B', Buffer.from('\0\0\0')), '08P01'],
  ['a Bind with a value longer than the message', message('B', Buffer.from('\0\0\0\0\0\x01\0\0\x7f\xff', 'latin1')), '08P01'],
  ['a Bind with a negative length', message('B', Buffer.from('\0\0\0\0\0\x01\xff\xff\xff\xf0\0\0', 'latin1')), '08P01'],
  ['an Execute without its row limit', message('E', Buffer.from('\0')), '08P01'],
  ['a Describe of neither statement nor portal', message('D', Buffer.from('X\0')), '08P01'],
];
for (const [what, bytes, code] of hostile) {
  test(`${what} is refused with ${code}, and the gateway goes on`, async () => {
    const wire = await begun();
    wire.send(bytes);
    const { errors, status } = await wire.cycle();
    assert.equal(errors[0]?.['S'], 'FATAL');
    assert.equal(errors[0]?.['C'], code);
    assert.equal(status, '');
    await serves();
  });
}

const arrivals: readonly [string, Buffer][] = [
  ['a startup packet of 4 GB', Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0])],
  ['a startup packet of 1 GB', Buffer.from([0x40, 0, 0, 0, 0, 3, 0, 0])],
  ['a startup packet with a length of zero', Buffer.from([0, 0, 0, 0, 0, 3, 0, 0])],
  ['a startup packet without an end', Buffer.concat([Buffer.from([0, 0, 0, 14, 0, 3, 0, 0]), Buffer.from('user\0x')])],
  ['protocol version 2', Buffer.from([0, 0, 0, 9, 0, 2, 0, 0, 0])],
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
  ['an SSH banner', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')],
  ['zeros', Buffer.alloc(64)],
];
for (const [what, bytes] of arrivals) {
  test(`${what} instead of a log-in is refused in the protocol's form`, async () => {
    const wire = await Wire.open({ port: stage.gateway.port });
    wire.send(bytes);
    const { errors } = await wire.cycle();
    assert.equal(errors[0]?.['S'], 'FATAL');
    assert.equal(errors[0]?.['C'], '08P01');
    await serves();
    assert.ok(
      stage.record().some((line) => line.type === 'auth' && line['code'] === 'frame_invalid'),
      'the record says so',
    );
  });
}

test('connections that never say anything keep nobody out', async () => {
  const silent = await Promise.all(Array.from({ length: 200 }, () => Wire.open({ port: stage.gateway.port })));
  await serves();
  for (const wire of silent) wire.destroy();
});

/** Connects anew and gets an answer. */
async function serves(): Promise<void> {
  const wire = await stage.connect(stage.developer);
  assert.deepEqual((await wire.query('select 1')).rows, [['1']]);
  await wire.end();
}

/** Waits until the server no longer has that backend. */
async function gone(pid: string): Promise<void> {
  for (;;) {
    const [result] = await stage.server.sql(`select from pg_stat_activity where pid = ${pid}`);
    if (result?.rowCount === 0) return;
  }
}

function messagesOf(bytes: Buffer): string[] {
  const names: string[] = [];
  for (let at = 0; at < bytes.length; at += 1 + bytes.readInt32BE(at + 1)) {
    const one = decode(bytes.subarray(at, at + 1 + bytes.readInt32BE(at + 1)));
    names.push(`${one.name} ${one.tag}${one.error['M'] ?? ''}${one.values.map(String).join('|')}`);
  }
  return names;
}

test('a refused log-in is an error, not a hang-up', async () => {
  await assert.rejects(
    stage.connect({ ...stage.developer, token: 'nonsense' }),
    (error: unknown) => error instanceof WireError && error.fields['C'] === '28P01',
  );
});
