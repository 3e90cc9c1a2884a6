import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { LiveEvent } from './model.ts';
import { Webhook } from './webhook.ts';

const EVENT: LiveEvent = {
  type: 'approval',
  at: 1_700_000_000_000,
  gateway: 'gw-1',
  sid: 's1',
  user: 'ada',
  resource: 'payments',
  line: 7,
  detail: { event: 'ask', id: 'a b', statement: 'delete from <!channel> *t*', reason: '' },
};

async function receiver(answer: (request: IncomingMessage, response: ServerResponse, body: string) => void): Promise<Server> {
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part)).on('end', () => answer(request, response, Buffer.concat(parts).toString()));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const urlOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;

function hook(server: Server, failures: string[], retryMs: readonly number[] = [1, 1]): Webhook {
  return new Webhook({
    url: urlOf(server),
    secret: 'key',
    link: () => 'https://gw.example',
    now: () => 1_700_000_000_500,
    onFailure: (message) => failures.push(message),
    retryMs,
  });
}

test('a message is signed, links to the page, and takes nothing from the user as markup', async () => {
  const bodies: string[] = [];
  const signatures: unknown[] = [];
  const server = await receiver((request, response, body) => {
    bodies.push(body);
    signatures.push(request.headers['sluice-signature']);
    response.end();
  });
  const failures: string[] = [];
  const webhook = hook(server, failures);
  webhook.post(EVENT);
  await webhook.flushed();
  await webhook.close();
  server.close();
  assert.deepEqual(failures, []);
  const [body = ''] = bodies;
  assert.equal(signatures[0], `t=1700000000,v1=${createHmac('sha256', 'key').update(`1700000000.${body}`).digest('hex')}`);
  const sent = JSON.parse(body) as { text: string; blocks: { text?: { text: string }; elements?: { url: string }[] }[]; event: LiveEvent };
  assert.equal(sent.text, 'Sluice: approval ask on payments by ada');
  assert.match(sent.blocks[0]?.text?.text ?? '', /&lt;!channel&gt; \u200b\*t\u200b\*/);
  assert.match(sent.blocks[0]?.text?.text ?? '', /\nreason: \(none given\)$/);
  assert.equal(sent.blocks[1]?.elements?.[0]?.url, 'https://gw.example/approvals/a%20b');
  assert.equal(sent.event.line, 7);
});

test('a receiver that is down for a while gets everything, in order', async () => {
  let calls = 0;
  const got: number[] = [];
  const server = await receiver((_request, response, body) => {
    calls++;
    response.statusCode = calls < 3 ? 503 : 200;
    if (response.statusCode === 200) got.push((JSON.parse(body) as { event: LiveEvent }).event.line);
    response.end();
  });
  const failures: string[] = [];
  const webhook = hook(server, failures);
  for (const line of [1, 2, 3]) webhook.post({ ...EVENT, line });
  await webhook.flushed();
  await webhook.close();
  server.close();
  assert.deepEqual([got, calls, failures], [[1, 2, 3], 5, []]);
});

test('what is refused is not tried again, a redirect is not followed, and both are said', async () => {
  let calls = 0;
  const server = await receiver((_request, response) => {
    calls++;
    response.writeHead(calls === 1 ? 403 : 302, { location: 'http://127.0.0.1:1/' }).end();
  });
  const failures: string[] = [];
  const webhook = hook(server, failures, []);
  webhook.post(EVENT);
  webhook.post(EVENT);
  await webhook.flushed();
  server.close();
  assert.equal(calls, 2);
  assert.deepEqual(failures, ['a notification could not be delivered: status 403', 'a notification could not be delivered: TypeError']);
});

test('closing gives up what waits, and says how much', async () => {
  const server = await receiver(() => {});
  const failures: string[] = [];
  const webhook = hook(server, failures);
  const asked = once(server, 'request');
  webhook.post(EVENT);
  webhook.post(EVENT);
  await asked;
  await webhook.close();
  webhook.post(EVENT);
  server.closeAllConnections();
  server.close();
  assert.deepEqual(failures, ['2 notifications were not delivered before the gateway ended']);
});
