import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { seedPayments } from '../../demo/seed.ts';
import { makeCertificates } from '../support/certificates.ts';
import { startGateway, type Yaml } from '../support/gateway.ts';
import { type Postgres, type PostgresOptions, startPostgres } from '../support/postgres.ts';
import { paymentsResource } from '../support/stage.ts';
import { Wire, WireError } from '../support/wire.ts';
import { encode } from '../support/wire-messages.ts';

/** How the gateway proves itself to the target, and has the target prove itself. */

const SEED = { customers: 5, cards: 5, orders: 5 };

interface Outcome {
  /** Rows of a query about the server's view of the connection; null when the log-in was refused. */
  readonly rows: readonly (readonly (string | null)[])[] | null;
  readonly code: string;
  readonly message: string;
}

const ABOUT = "select ssl::text, coalesce(version, '') from pg_stat_ssl where pid = pg_backend_pid()";

/** Logs in through a gateway whose resource has `more`; the server's log has what the server saw. */
async function through(server: Postgres, resource: Yaml, text = ABOUT): Promise<Outcome> {
  const gateway = await startGateway({ plaintext: true, resources: [resource] });
  try {
    const wire = await Wire.connect({
      port: gateway.port,
      user: 'ada',
      password: gateway.token('ada', ['analysts']),
      database: 'payments',
    });
    const { rows } = await wire.query(text);
    await wire.end();
    return { rows, code: '', message: '' };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    assert.ok(gateway.log().length > 0);
    const text = error.fields['M'] ?? '';
    assert.ok(!text.includes(server.password) && !text.includes('ro-7Qe2wXv9'), 'no secret in the message');
    return { rows: null, code: error.fields['C'] ?? '', message: text };
  } finally {
    await gateway.stop();
  }
}

async function withServer(
  options: PostgresOptions,
  body: (server: Postgres, resource: (more?: Readonly<Record<string, Yaml>>) => Yaml) => Promise<void>,
): Promise<void> {
  const server = await startPostgres(options);
  try {
    const seeded = await seedPayments(server.superuser, SEED);
    await body(server, (more = {}) => paymentsResource(server, seeded, more));
  } finally {
    await server.stop();
  }
}

for (const auth of ['scram-sha-256', 'md5', 'password', 'trust'] as const) {
  test(`logs in to a server that asks for ${auth}`, async () => {
    await withServer({ auth, conf: { log_connections: 'on' } }, async (server, resource) => {
      assert.deepEqual((await through(server, resource())).rows, [['false', '']]);
      if (auth !== 'trust') assert.match(server.log(), new RegExp(`authenticated: identity="app_ro" method=${auth}`));
      const wrong = await through(server, resource({ accounts: { 'read-only': { user: 'app_ro', password: 'wrong' } } }));
      if (auth === 'trust') return;
      assert.equal(wrong.code, '08004');
      assert.match(wrong.message, /refused the connection \(SQLSTATE 28P01\)/);
    });
  });
}

test('over TLS: verify-full holds, and every refusal says why', async () => {
  await withServer({ tlsOnly: true, conf: { log_connections: 'on', log_min_messages: 'debug1' } }, async (server, resource) => {
    const ca = join(server.dir, 'ca.pem');
    writeFileSync(ca, server.certificates?.ca ?? '');
    const port = server.port;
    const secure = (more: Readonly<Record<string, Yaml>>): Yaml =>
      resource({ tls: 'verify-full', ca, address: `localhost:${port}`, ...more });

    const good = await through(server, secure({}));
    assert.equal(good.rows?.[0]?.[0], 'true', good.message);
    assert.match(good.rows?.[0]?.[1] ?? '', /^TLSv1\.[23]$/);
    // By address as well: the certificate names it.
    assert.equal((await through(server, secure({ address: `127.0.0.1:${port}` }))).rows?.[0]?.[0], 'true');
    assert.equal((await through(server, resource({ tls: 'require' }))).rows?.[0]?.[0], 'true');

    const plain = await through(server, resource({ tls: 'disable' }));
    assert.equal(plain.code, '08004', 'the server takes nothing in clear');

    const other = join(server.dir, 'other.pem');
    writeFileSync(other, makeCertificates().ca);
    const wrongCa = await through(server, secure({ ca: other }));
    assert.equal(wrongCa.rows, null);
    assert.equal(wrongCa.code, '08001');
    assert.match(wrongCa.message, /TLS to target "payments" failed/);
  });
});

test('SCRAM is bound to the channel: a relay that ends the TLS in between is found out', async () => {
  await withServer({ tlsOnly: true }, async (server, resource) => {
    const relay = await interceptor(server.port);
    try {
      const outcome = await through(server, resource({ tls: 'require', address: `127.0.0.1:${relay.port}` }));
      assert.equal(outcome.rows, null, 'the relay could read the session');
      assert.match(server.log(), /SCRAM channel binding check failed/);
    } finally {
      relay.close();
    }
  });
});

test('a certificate for another host is refused', async () => {
  await withServer({ tls: true }, async (server, resource) => {
    const ca = join(server.dir, 'ca.pem');
    // 127.0.0.2 is loopback too, and not in the certificate; the server listens on every one for this.
    await server.sql("alter system set listen_addresses = '127.0.0.1,127.0.0.2'");
    await server.restart();
    writeFileSync(ca, server.certificates?.ca ?? '');
    const outcome = await through(server, resource({ tls: 'verify-full', ca, address: `127.0.0.2:${server.port}` }));
    assert.equal(outcome.rows, null);
    assert.equal(outcome.code, '08001');
    assert.match(outcome.message, /altnames|does not match/i);
  });
});

test('a server without TLS is refused where TLS is asked for', async () => {
  await withServer({}, async (server, resource) => {
    for (const tls of ['require', 'verify-full']) {
      const outcome = await through(server, resource({ tls }));
      assert.equal(outcome.code, '08001');
      assert.match(outcome.message, /offers no TLS/);
    }
  });
});

/** Answers SSLRequest with a certificate of its own and passes everything on over TLS of its own. */
async function interceptor(target: number): Promise<{ port: number; close(): void }> {
  const { cert, key } = makeCertificates();
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.pause();
      socket.write('S', () => {
        const inner = new TLSSocket(socket, { isServer: true, cert, key });
        const plain = connect(target, '127.0.0.1', () => plain.write(encode.sslRequest()));
        sockets.add(plain);
        plain.on('error', () => {});
        plain.once('data', () => {
          const outer = connectTls({ socket: plain, rejectUnauthorized: false });
          for (const side of [inner, outer]) side.on('error', () => {});
          inner.pipe(outer).pipe(inner);
        });
      });
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return {
    port: (listener.address() as AddressInfo).port,
    close() {
      listener.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
