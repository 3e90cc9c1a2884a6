import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { requireClient } from '../support/clients.ts';
import { type Gateway, startGateway } from '../support/gateway.ts';
import { run } from '../support/run.ts';
import { paymentsResource, readRecord, type Stage, startStage } from '../support/stage.ts';
import { Wire, WireError } from '../support/wire.ts';
import { encode } from '../support/wire-messages.ts';

/** How a connection begins: TLS in each of its forms, versions, cancel requests, and what is not served. */
let stage: Stage;
before(async () => {
  stage = await startStage();
});
after(() => stage.stop());

const open = (): Promise<Wire> => Wire.open({ port: stage.gateway.port });
const login = (): { user: string; password: string; database: string; port: number } => ({
  user: stage.analyst.user,
  password: stage.analyst.token,
  database: 'payments',
  port: stage.gateway.port,
});

for (const tls of ['ssl-request', 'direct'] as const) {
  test(`serves TLS by ${tls}, with every reply as without it`, async () => {
    const plain = await stage.connect(stage.analyst);
    const secure = await stage.connect(stage.analyst, { tls });
    for (const text of ['select * from cards order by id', 'copy orders to stdout', 'select 1/0']) {
      const [a, b] = await Promise.all([plain.query(text), secure.query(text)]);
      assert.deepEqual(
        a.messages.map((m) => m.raw),
        b.messages.map((m) => m.raw),
      );
    }
    await Promise.all([plain.end(), secure.end()]);
  });
}

test('GSSENCRequest is declined, and SSLRequest after it is taken', async () => {
  const wire = await open();
  wire.socket.removeAllListeners('data');
  wire.send(encode.gssEncRequest());
  assert.equal(String((await once(wire.socket, 'data'))[0]), 'N');
  wire.send(encode.sslRequest());
  assert.equal(String((await once(wire.socket, 'data'))[0]), 'S');
  const secure = connectTls({ socket: wire.socket, rejectUnauthorized: false });
  await once(secure, 'secureConnect');
  secure.write(Buffer.concat([encode.startup({ user: 'ada', database: 'payments' }), encode.password(stage.analyst.token)]));
  const [answer] = (await once(secure, 'data')) as [Buffer];
  assert.equal(answer[0], 'R'.charCodeAt(0));
  secure.destroy();
});

test('a log-in in clear after a declined GSSENCRequest is taken where it is allowed', async () => {
  const wire = await open();
  wire.socket.removeAllListeners('data');
  wire.send(encode.gssEncRequest());
  assert.equal(String((await once(wire.socket, 'data'))[0]), 'N');
  wire.send(encode.startup({ user: 'ada', database: 'payments' }), encode.password(stage.analyst.token));
  assert.equal(((await once(wire.socket, 'data')) as [Buffer])[0][0], 'R'.charCodeAt(0));
  wire.destroy();
});

test('bytes sent in clear behind SSLRequest are not taken for bytes of the session', async () => {
  const wire = await open();
  const chunks: Buffer[] = [];
  wire.socket.removeAllListeners('data');
  wire.socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  wire.send(encode.sslRequest(), encode.startup({ user: 'ada', database: 'payments' }));
  await wire.ended();
  assert.doesNotMatch(Buffer.concat(chunks).toString('latin1'), /R\0\0\0/, 'no password was asked for');
});

test('direct TLS without the application protocol is refused', async () => {
  const socket = connectTls({ port: stage.gateway.port, host: '127.0.0.1', rejectUnauthorized: false });
  socket.on('error', () => {});
  const said: Buffer[] = [];
  socket.on('data', (bytes: Buffer) => said.push(bytes));
  await once(socket, 'close');
  assert.match(Buffer.concat(said).toString('latin1'), /^E.*FATAL.*C28P01/s);
  assert.ok(stage.record().some((line) => line.type === 'auth' && line['ok'] === false && line['code'] === 'login_failed'));
});

test('a connection without a byte is not a failed log-in, and is counted', async () => {
  const refusals = (): number => stage.record().filter((line) => line.type === 'auth' && line['ok'] === false).length;
  const before = refusals();
  for (let i = 0; i < 12; i++) {
    const wire = await open();
    if (i % 2 === 0) wire.destroy();
    else {
      wire.socket.end();
      await wire.ended();
    }
  }
  assert.equal(refusals(), before);
  const half = await open();
  half.socket.end(Buffer.from([0]));
  await half.ended();
  assert.equal(refusals(), before + 1, 'a byte is enough');
});

test('a second SSLRequest inside TLS is refused', async () => {
  const wire = await Wire.open({ ...login(), tls: 'ssl-request' });
  wire.send(encode.sslRequest());
  assert.equal((await wire.cycle()).errors[0]?.['C'], '08P01');
});

test('a newer minor version is negotiated down, with the options that are not known', async () => {
  const wire = await Wire.open(login());
  wire.send(
    encode.startup({ user: 'ada', database: 'payments', '_pq_.wings': 'on' }, { major: 3, minor: 9999 }),
    encode.password(stage.analyst.token),
  );
  const { messages } = await wire.cycle();
  const negotiation = messages.find((message) => message.name === 'NegotiateProtocolVersion');
  assert.ok(negotiation !== undefined);
  assert.equal(negotiation.body.readInt32BE(0), 0x0003_0002);
  assert.equal(negotiation.body.readInt32BE(4), 1);
  assert.equal(negotiation.body.toString('utf8', 8), '_pq_.wings\0');
  assert.equal(messages.at(-1)?.name, 'ReadyForQuery');
  assert.deepEqual((await wire.query('select 1')).rows, [['1']]);
  await wire.end();
});

for (const minor of [0, 2]) {
  test(`a statement is cancelled by the gateway's own key, protocol 3.${minor}`, async () => {
    const wire = await stage.connect(stage.analyst, { protocol: { major: 3, minor } });
    assert.equal(wire.backendKey?.key.length, minor === 0 ? 4 : 32);
    const [[pid]] = (await wire.query('select pg_backend_pid()')).rows as [[string]];
    assert.notEqual(String(wire.backendKey?.pid), pid, "the key is not the server's own");
    const running = wire.query('select pg_sleep(60)');
    await waiting(pid);
    await wire.cancel();
    const { errors, status } = await running;
    assert.equal(errors[0]?.['C'], '57014');
    assert.equal(status, 'I');
    assert.deepEqual((await wire.query('select 1')).rows, [['1']]);
    await wire.end();
    const cancel = stage.record().findLast((line) => line.type === 'intent' && line['kind'] === 'cancel');
    assert.ok(cancel !== undefined, 'the cancel is recorded');
    assert.equal(stage.record().find((line) => line.type === 'result' && line['intent'] === cancel['seq'])?.['status'], 'ok');
  });
}

test('a cancel request with a wrong key, or with the key of nobody, does nothing', async () => {
  const wire = await stage.connect(stage.analyst);
  const [[pid]] = (await wire.query('select pg_backend_pid()')).rows as [[string]];
  const running = wire.query('select pg_sleep(60), 1');
  await waiting(pid);
  const key = wire.backendKey;
  assert.ok(key !== null);
  for (const [id, secret] of [
    [key.pid, Buffer.from([1, 2, 3, 4])],
    [key.pid, Buffer.alloc(32)],
    [key.pid + 1, key.key],
    [Number(pid), key.key],
  ] as const) {
    const other = await open();
    other.send(encode.cancelRequest(id, secret));
    await other.ended();
  }
  assert.equal(stage.record().filter((line) => line['code'] === 'cancel_key_unknown').length, 4);
  await waiting(pid);
  await wire.cancel();
  assert.equal((await running).errors[0]?.['C'], '57014');
  await wire.end();
});

test('replication is refused', async () => {
  for (const replication of ['true', 'database', 'on', '1']) {
    await assert.rejects(
      stage.connect(stage.analyst, { parameters: { replication } }),
      (error: unknown) => error instanceof WireError && error.fields['C'] === '0A000',
    );
  }
});

test('FunctionCall is refused, and the session goes on', async () => {
  const wire = await stage.connect(stage.analyst);
  wire.send(encode.functionCall(1598));
  const { errors, status } = await wire.cycle();
  assert.equal(errors[0]?.['C'], '0A000');
  assert.match(errors[0]?.['H'] ?? '', /SELECT/);
  assert.equal(status, 'I');
  assert.deepEqual((await wire.query('select 1')).rows, [['1']]);
  await wire.end();
  assert.ok(stage.record().some((line) => line.type === 'deny' && line['kind'] === 'function-call'));
});

test('what the client calls itself reaches the server behind the session id', async () => {
  const wire = await stage.connect(stage.analyst, { parameters: { application_name: 'my tool' } });
  const { rows } = await wire.query('show application_name');
  const [sid] = stage
    .record()
    .filter((line) => line.type === 'session' && line['event'] === 'start')
    .map((line) => line.sid)
    .slice(-1);
  assert.deepEqual(rows, [[`sluice:${sid} my tool`]]);
  await wire.end();
});

/** Until the backend sleeps. */
async function waiting(pid: string): Promise<void> {
  for (;;) {
    const [result] = await stage.server.sql(`select from pg_stat_activity where pid = ${pid} and wait_event = 'PgSleep'`);
    if (result?.rowCount === 1) return;
  }
}

/** A gateway of its own on the same server. */
const crowded = (limits: Record<string, number>): Promise<Gateway> =>
  startGateway({ plaintext: true, resources: [paymentsResource(stage.server, stage.seeded)], sections: { limits } });

test('beyond the bound on connections that have not logged in, a new one is refused at once and in the protocol', async () => {
  const gateway = await crowded({ pending_logins: 8, login_seconds: 60 });
  try {
    const user = { user: 'ada', password: gateway.token('ada', ['analysts']), database: 'payments', port: gateway.port };
    const session = await Wire.connect(user);
    // From one address: half of them. A session is none of them.
    const waiting = await Promise.all(Array.from({ length: 4 }, () => Wire.open({ port: gateway.port })));
    for (let i = 0; i < 3; i++) {
      await assert.rejects(
        Wire.connect(user),
        (error: unknown) => error instanceof WireError && error.fields['S'] === 'FATAL' && error.fields['C'] === '53300',
      );
    }
    const stderr = await refusedByPsql(gateway.port);
    if (stderr !== null)
      assert.match(stderr, /too many connections that have not logged in|server sent an error response during SSL exchange/);
    assert.deepEqual((await session.query('select 1')).rows, [['1']]);
    // A place that is given up is the next one's.
    waiting.pop()?.socket.destroy();
    const next = await retried(() => Wire.connect(user));
    for (const wire of [next, session]) await wire.end();
    for (const wire of waiting) wire.socket.destroy();
    await gateway.kill('SIGTERM');
    const lines = readRecord(gateway.recordDir).filter((line) => line['code'] === 'too_many_logins');
    // The first at once, the others together, here at the end.
    assert.deepEqual([lines.length, lines[0]?.['refused']], [2, 1]);
    assert.match(String(lines[0]?.['source']), /^127\.0\.0\.1:\d+$/);
  } finally {
    await gateway.stop();
  }
});

test('who is refused holds a place until the connection is closed', async () => {
  const gateway = await crowded({ pending_logins: 8, login_seconds: 60 });
  const sockets: Socket[] = [];
  try {
    const user = { user: 'ada', password: gateway.token('ada', ['analysts']), database: 'payments', port: gateway.port };
    const session = await Wire.connect(user);
    // From one address: half of them. None goes by itself: each says something now and then.
    for (const first of [
      Buffer.from([0, 0, 0, 9, 0, 0, 0, 0, 0]),
      encode.startup({ user: 'ada', database: 'payments', replication: 'true' }),
      encode.startup({ database: 'payments' }),
      encode.cancelRequest(1, Buffer.alloc(4)),
    ]) {
      const socket = connect({ port: gateway.port, host: '127.0.0.1', allowHalfOpen: true });
      sockets.push(socket);
      socket.on('error', () => {}).resume();
      const drip = setInterval(() => socket.writable && socket.write('x'), 100);
      socket.once('close', () => clearInterval(drip));
      const told = once(socket, 'end');
      socket.write(first);
      await told;
    }
    await assert.rejects(Wire.connect(user), (error: unknown) => error instanceof WireError && error.fields['C'] === '53300');
    assert.deepEqual((await session.query('select 1')).rows, [['1']]);
    for (const socket of sockets) socket.destroy();
    await (await retried(() => Wire.connect(user))).end();
    await session.end();
  } finally {
    for (const socket of sockets) socket.destroy();
    await gateway.stop();
  }
});

test('pools that open hundreds of connections at once are not disturbed by the bound', async () => {
  const gateway = await crowded({});
  try {
    const user = { user: 'ada', password: gateway.token('ada', ['analysts']), database: 'payments', port: gateway.port };
    // None has said anything yet: as many as that wait at once.
    const outcomes = await Promise.allSettled(Array.from({ length: 400 }, () => Wire.open({ port: gateway.port })));
    const opened = outcomes.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    assert.equal(opened.length, 400);
    const session = await Wire.connect(user);
    assert.deepEqual((await session.query('select 1')).rows, [['1']]);
    await session.end();
    for (const wire of opened) wire.socket.destroy();
    await gateway.kill('SIGTERM');
    assert.ok(!readRecord(gateway.recordDir).some((line) => line['code'] === 'too_many_logins'));
  } finally {
    await gateway.stop();
  }
});

/** What psql says, over TLS where it can; null without a psql. */
async function refusedByPsql(port: number): Promise<string | null> {
  const psql = requireClient('psql');
  if (psql.path === undefined) return null;
  const env = { ...stage.environment(stage.analyst), PGPORT: String(port), PGSSLMODE: 'require' };
  const { code, stderr } = await run(psql.path, ['-X', '-c', 'select 1'], env);
  assert.equal(code, 2);
  return stderr;
}

/** Until the gateway has noticed that somebody has left. */
async function retried<T>(attempt: () => Promise<T>): Promise<T> {
  for (const deadline = Date.now() + 10_000; ; ) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}
