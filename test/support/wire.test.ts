import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Postgres, startPostgres } from './postgres.ts';
import { Wire, WireError } from './wire.ts';
import { encode } from './wire-messages.ts';

let server: Postgres;
before(async () => {
  server = await startPostgres({ auth: 'password', tls: true });
});
after(() => server.stop());

const connect = (more: Partial<Parameters<typeof Wire.connect>[0]> = {}): Promise<Wire> =>
  Wire.connect({ port: server.port, user: 'postgres', database: 'postgres', password: server.password, ...more });

test('logs in without TLS, by SSLRequest and by direct TLS, and verifies the certificate', async () => {
  for (const tls of [undefined, 'ssl-request', 'direct'] as const) {
    const wire = await connect(tls === undefined ? {} : { tls, ca: server.certificates?.ca ?? '' });
    const { rows } = await wire.query('select ssl::text from pg_stat_ssl where pid = pg_backend_pid()');
    assert.deepEqual(rows, [[String(tls !== undefined)]]);
    await wire.end();
  }
  await assert.rejects(connect({ password: 'wrong' }), (error: unknown) => error instanceof WireError && error.fields['C'] === '28P01');
});

test('simple and extended protocol, prepared twice, pipelined, and errors with their detail', async () => {
  const wire = await connect();
  const simple = await wire.query("select 1 as a, null as b; select 'x'");
  assert.deepEqual(simple.rows, [['1', null], ['x']]);
  assert.deepEqual(simple.tags, ['SELECT 1', 'SELECT 1']);
  assert.deepEqual((await wire.extended('select $1::int + 1', ['41'])).rows, [['42']]);
  wire.send(encode.parse({ name: 's', text: 'select $1::int * 2' }), encode.sync());
  await wire.cycle();
  wire.send(...[3, 4].flatMap((n) => [encode.bind({ statement: 's', values: [String(n)] }), encode.execute(), encode.sync()]));
  assert.deepEqual((await wire.cycle()).rows, [['6']]);
  assert.deepEqual((await wire.cycle()).rows, [['8']]);
  await wire.query("create temp table t(a text unique); insert into t values ('k')");
  const failed = await wire.query("insert into t values ('k')");
  assert.equal(failed.errors[0]?.['C'], '23505');
  assert.match(failed.errors[0]?.['D'] ?? '', /\(a\)=\(k\)/);
  assert.equal(failed.status, 'I');
  await wire.end();
});

test('COPY both ways, and the bytes received are those of the messages', async () => {
  const wire = await connect();
  await wire.query('create temp table c(a int, b text)');
  assert.deepEqual((await wire.copyIn('copy c from stdin', ['1\to', 'ne\n2\ttwo\n'])).tags, ['COPY 2']);
  wire.forget();
  const out = await wire.query('copy c to stdout');
  assert.equal(out.copied, '1\tone\n2\ttwo\n');
  assert.deepEqual(wire.forget(), Buffer.concat(out.messages.map((message) => message.raw)));
  await wire.end();
});

test('cancels a running statement, with the keys of protocol 3.0 and of 3.2', async () => {
  for (const minor of [0, 2]) {
    const wire = await connect({ protocol: { major: 3, minor } });
    assert.equal(wire.backendKey?.key.length, minor === 0 ? 4 : 32);
    const running = wire.query('select pg_sleep(30)');
    const other = await connect();
    // Cancelling before the statement has begun does nothing: wait until the server shows it.
    while (
      (await other.query("select from pg_stat_activity where query like '%pg_sleep(30)' and wait_event = 'PgSleep'")).tags[0] !== 'SELECT 1'
    );
    await wire.cancel();
    assert.equal((await running).errors[0]?.['C'], '57014');
    await Promise.all([wire.end(), other.end()]);
  }
});

test('logs in by SCRAM-SHA-256, and a wrong password is refused', async () => {
  const scram = await startPostgres();
  try {
    const login = { port: scram.port, user: 'postgres', database: 'postgres' };
    const wire = await Wire.connect({ ...login, password: scram.password });
    assert.deepEqual((await wire.query('select 1')).rows, [['1']]);
    await wire.end();
    await assert.rejects(
      Wire.connect({ ...login, password: 'wrong' }),
      (error: unknown) => error instanceof WireError && error.fields['C'] === '28P01',
    );
  } finally {
    await scram.stop();
  }
});
