import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { quiet, urlOf } from '../../test/support/control.ts';
import { type Postgres, startPostgres } from '../../test/support/postgres.ts';
import type { Backend } from './backend.ts';
import { openShared } from './shared.ts';

const TIMING = { connect: 200, statement: 200, ping: 50, close: 200 };

/** A network that can fall silent: connections stay, and nothing comes through. */
class Network {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #silent = false;

  constructor(port: number) {
    this.#server = createServer((near) => {
      const far = connect(port, '127.0.0.1');
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(from);
        from.on('data', (chunk) => this.#silent || to.write(chunk));
        from.on('error', () => {});
        from.on('close', () => this.#silent || to.destroy());
      }
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  set silent(silent: boolean) {
    this.#silent = silent;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

let server: Postgres;
before(async () => {
  server = await startPostgres();
});
after(() => server.stop());

async function setUp(): Promise<{ network: Network; backend: Backend; next: () => Promise<string> }> {
  const network = new Network(server.port);
  const port = await network.listen();
  let hear = (_payload: string): void => {};
  const next = (): Promise<string> =>
    new Promise((resolve) => {
      hear = resolve;
    });
  const url = urlOf(server).replace(`:${server.port}/`, `:${port}/`);
  const backend = await openShared(url, { onNotification: (payload) => hear(payload), now: () => 42, log: quiet }, 5_000, TIMING);
  return { network, backend, next };
}

async function query(backend: Backend, text: string): Promise<unknown> {
  const client = await backend.pool.connect();
  try {
    return (await client.query(text, [])).rows;
  } finally {
    client.release();
  }
}

test('a server that falls silent is found out, and found again', async () => {
  const { network, backend, next } = await setUp();
  assert.equal(backend.downSince, null);
  network.silent = true;
  const asked = query(backend, 'select 1');
  await assert.rejects(asked, { code: 'store_unavailable', retryable: true });
  // Known now: nobody waits for it a second time.
  assert.equal(backend.downSince, 42);
  await assert.rejects(query(backend, 'select 1'), { code: 'store_unavailable' });
  const back = next();
  network.silent = false;
  assert.equal(await back, '', 'what listens has to look at everything again');
  assert.equal(backend.downSince, null);
  const heard = next();
  await query(backend, "select pg_notify('sluice', 'grants 1')");
  assert.equal(await heard, 'grants 1');
  await backend.close();
  network.close();
});

test('without a statement the subscription finds out by itself', async () => {
  const { network, backend, next } = await setUp();
  const back = next();
  network.silent = true;
  while (backend.downSince === null) await new Promise((resolve) => setImmediate(resolve));
  network.silent = false;
  assert.equal(await back, '');
  await backend.close();
  network.close();
});

test('it closes also when the server does not answer, in the middle of a statement', async () => {
  const { network, backend } = await setUp();
  await query(backend, 'select 1');
  network.silent = true;
  const asked = query(backend, 'select 1');
  const closed = backend.close();
  await assert.rejects(asked);
  await closed;
  await assert.rejects(backend.pool.connect(), { code: 'store_unavailable' });
  network.close();
});

test('an error of a statement is no failure of the server', async () => {
  const { network, backend } = await setUp();
  await assert.rejects(query(backend, 'select 1 / 0'), { code: '22012' });
  assert.equal(backend.downSince, null);
  assert.deepEqual(await query(backend, 'select 9007199254740991::int8 as n'), [{ n: 9_007_199_254_740_991 }]);
  await backend.close();
  network.close();
});
