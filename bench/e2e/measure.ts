import assert from 'node:assert/strict';
import { requireClient } from '../../test/support/clients.ts';
import { Wire } from '../../test/support/wire.ts';
import { encode } from '../../test/support/wire-messages.ts';
import { bulkQuery, bulkRows, database, run } from './servers.ts';

/** One way to the same server. */
export interface Route {
  readonly name: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** What the table says of it. */
  readonly durability: string;
  readonly output: string;
  readonly masks: boolean;
}

/** Transactions a second of `pgbench -S`. */
export async function pgbench(
  route: Route,
  protocol: 'simple' | 'prepared',
  seconds: number,
  clients: number,
): Promise<{ tps: number; transactions: number }> {
  const path = requireClient('pgbench').path ?? '';
  const args = ['-S', '-n', '-c', String(clients), '-j', '2', '-T', String(seconds), '-M', protocol];
  const text = await run(path, [...args, '-h', '127.0.0.1', '-p', String(route.port), '-U', route.user, database], {
    PGPASSWORD: route.password,
    PGSSLMODE: 'disable',
  });
  const tps = Number(/^tps = ([\d.]+)/m.exec(text)?.[1]);
  const transactions = Number(/^number of transactions actually processed: (\d+)/m.exec(text)?.[1]);
  assert.match(text, /^number of failed transactions: 0 /m, `${route.name}: ${text}`);
  assert.ok(tps > 0 && transactions > 0, `${route.name}: ${text}`);
  return { tps, transactions };
}

/** Seconds from the query to its ReadyForQuery, and the bytes between. Reads without decoding, so that the client costs little. */
export async function readAll(route: Route, look?: (bytes: Buffer) => void): Promise<{ seconds: number; bytes: number }> {
  const wire = await Wire.connect({ port: route.port, user: route.user, password: route.password, database });
  const { socket } = wire;
  socket.removeAllListeners('data');
  const kept: Buffer[] = [];
  let tail: Buffer = Buffer.alloc(0);
  let bytes = 0;
  const started = process.hrtime.bigint();
  const done = new Promise<void>((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (look !== undefined) kept.push(chunk);
      tail = chunk.length >= 64 ? chunk.subarray(-64) : Buffer.concat([tail, chunk]).subarray(-64);
      // ReadyForQuery closes the reply: nothing follows it.
      if (tail.subarray(-6).toString('latin1') === 'Z\0\0\0\x05I') resolve();
    });
    socket.on('close', () => reject(new Error(`${route.name}: closed in mid-reply`)));
    socket.on('error', reject);
  });
  wire.send(encode.query(bulkQuery));
  await done;
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  socket.removeAllListeners('close');
  wire.destroy();
  assert.ok(tail.includes(`SELECT ${bulkRows}\0`), `${route.name}: the reply ends with ${JSON.stringify(tail.toString('latin1'))}`);
  look?.(Buffer.concat(kept));
  return { seconds, bytes };
}

/** Before anything is timed: every route gives the same answers, and the gateway's hold no card number. */
export async function checkRoutes(routes: readonly Route[]): Promise<void> {
  let expected = 0;
  for (const route of routes) {
    const wire = await Wire.connect({ port: route.port, user: route.user, password: route.password, database });
    const one = await wire.extended('select abalance from pgbench_accounts where aid = $1', ['1']);
    assert.deepEqual(one.rows, [['0']], `${route.name}: ${one.errors[0]?.['M'] ?? 'a wrong answer'}`);
    const five = await wire.query(`${bulkQuery} order by id limit 5`);
    assert.equal(five.rows.length, 5, `${route.name}: ${five.errors[0]?.['M'] ?? 'rows are missing'}`);
    await wire.end();
    const all = await readAll(route, (reply) => {
      const shown = [...reply.toString('latin1').matchAll(/\d{13,19}/g)].map(([digits]) => digits);
      if (route.masks) assert.deepEqual(shown, [], `${route.name}: card numbers come through`);
      else assert.equal(shown.length, bulkRows, `${route.name}: card numbers are missing`);
    });
    expected ||= all.bytes;
    assert.equal(all.bytes, expected, `${route.name}: another number of bytes than direct`);
  }
}
