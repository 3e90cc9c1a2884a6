import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { makeCertificates } from '../../test/support/certificates.ts';
import { providerFetch } from './provider-fetch.ts';

type Context = { after(fn: () => Promise<void>): void };

async function serve(context: Context, listener: RequestListener, tls?: { cert: string; key: string }): Promise<number> {
  const server = tls === undefined ? createServer(listener) : createSecureServer(tls, listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(async () => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

test("a provider with a CA of the operator's own is reached, and no other of its name", async (context) => {
  const certificates = makeCertificates();
  const dir = mkdtempSync(join(tmpdir(), 'sluice-fetch-'));
  context.after(async () => rmSync(dir, { recursive: true }));
  const ca = join(dir, 'ca.crt');
  writeFileSync(ca, certificates.ca);
  const port = await serve(context, (_, response) => response.end('{"a":1}'), certificates);
  assert.deepEqual(await (await providerFetch(ca)(`https://localhost:${port}/`)).json(), { a: 1 });
  await assert.rejects(providerFetch(null)(`https://localhost:${port}/`), /certificate/);
  writeFileSync(ca, makeCertificates().ca);
  await assert.rejects(providerFetch(ca)(`https://localhost:${port}/`), /certificate|signature/);
});

test('http is for loopback alone', async (context) => {
  const port = await serve(context, (_, response) => response.end('{}'));
  assert.equal((await providerFetch(null)(`http://127.0.0.1:${port}/`)).status, 200);
  for (const url of ['http://idp.test/', 'http://127.evil.test/', 'http://localhost.evil.test/', 'file:///etc/passwd']) {
    await assert.rejects(providerFetch(null)(url), /neither https nor on loopback/, url);
  }
});

test('a redirect is an answer, not an address to go to', async (context) => {
  const port = await serve(context, (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end());
  assert.equal((await providerFetch(null)(`http://127.0.0.1:${port}/`)).status, 302);
});

test('an answer without end is cut off', async (context) => {
  const port = await serve(context, (_, response) => {
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(64 * 1024))) {}
      response.once('drain', more);
    };
    more();
  });
  await assert.rejects(providerFetch(null)(`http://127.0.0.1:${port}/`), /too large/);
});

test('a form is sent as one', async (context) => {
  let received = '';
  const port = await serve(context, (request, response) => {
    request.on('data', (chunk: Buffer) => {
      received += chunk.toString('utf8');
    });
    request.on('end', () => response.writeHead(204).end());
  });
  const body = new URLSearchParams({ grant_type: 'x', value: 'ä&b' });
  assert.equal((await providerFetch(null)(`http://127.0.0.1:${port}/`, { method: 'POST', body })).status, 204);
  assert.equal(received, body.toString());
});
