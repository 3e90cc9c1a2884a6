import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { connect } from 'node:tls';
import { closeCodes } from '../../src/admin/events.ts';
import type { SearchMatch } from '../../src/recording/search.ts';
import { type Answer, type ApiStage, questionOf, startApiStage } from '../support/api-stage.ts';
import { TestBrowser } from '../support/oidc-provider.ts';

/** What keeps the API from being used by others: cookies, forms, origins, rates, bodies, and who reads the stream. */

let stage: ApiStage;
before(async () => {
  stage = await startApiStage();
  stage.provider.accounts.set('sub-dana', { name: 'dana', groups: ['dba', 'security'] });
  stage.provider.accounts.set('sub-bob', { name: 'bob', groups: ['developers'] });
});
after(() => stage.stop());

/** A browser that is logged in: the session's cookie, and the number that its forms carry. */
async function loggedIn(subject: string, back = '/approvals'): Promise<{ cookie: string; csrf: string; landed: string; set: string }> {
  stage.provider.loginAs = subject;
  const begun = await stage.call('GET', `/api/v1/login/begin?${new URLSearchParams({ provider: 'company', back })}`);
  assert.equal(begun.status, 303, begun.text);
  const callback = await new TestBrowser().follow(begun.headers.get('location') ?? '', `${stage.url}/api/v1/login/callback`);
  const { pathname, search } = new URL(callback);
  const done = await stage.call('GET', `${pathname}${search}`, { headers: { cookie: cookieOf(begun, '__Host-sluice-login') } });
  assert.equal(done.status, 303, done.text);
  const set = done.headers.getSetCookie().find((line) => line.startsWith('__Host-sluice=')) ?? '';
  const cookie = cookieOf(done, '__Host-sluice');
  const { body } = await stage.call('GET', '/api/v1/whoami', { headers: { cookie } });
  return { cookie, csrf: (body as { csrf: string }).csrf, landed: done.headers.get('location') ?? '', set };
}

function cookieOf(answer: Answer, name: string): string {
  const line = answer.headers.getSetCookie().find((one) => one.startsWith(`${name}=`)) ?? '';
  return line.split(';', 1)[0] ?? '';
}

test('a page leads to the log-in and back; the cookie is for this host, for TLS, and not for scripts', async () => {
  const page = await stage.call('GET', '/approvals/some-request');
  assert.equal(page.status, 303);
  assert.equal(page.headers.get('location'), '/login?back=%2Fapprovals%2Fsome-request');
  const { landed, set, cookie } = await loggedIn('sub-dana', '/approvals/some-request');
  assert.equal(landed, '/approvals/some-request');
  assert.match(set, /; Path=\/; Max-Age=\d+; HttpOnly; Secure; SameSite=Lax$/);
  // The store has a digest, and nothing that could be used.
  const rows = await stage.store.db.selectFrom('web_sessions').selectAll().execute();
  assert.ok(rows.length > 0);
  assert.ok(!JSON.stringify(rows).includes(cookie.slice('__Host-sluice='.length)));
});

test('whoever comes back from the provider in another browser is not logged in', async () => {
  stage.provider.loginAs = 'sub-dana';
  const begun = await stage.call('GET', '/api/v1/login/begin');
  const callback = new URL(await new TestBrowser().follow(begun.headers.get('location') ?? '', `${stage.url}/api/v1/login/callback`));
  const answer = await stage.call('GET', `${callback.pathname}${callback.search}`);
  assert.equal(answer.status, 400, answer.text);
  assert.deepEqual(answer.headers.getSetCookie(), []);
});

test('a log-in goes on only with pages of this gateway, and only to the loopback interface', async () => {
  for (const back of ['https://evil.example/', '//evil.example/x', '/\\evil.example', 'evil']) {
    const { landed } = await loggedIn('sub-dana', back);
    assert.equal(landed, '/approvals', back);
  }
  for (const redirect of [
    'http://evil.example:80/a',
    'http://127.0.0.1.evil.example:1/a',
    'https://127.0.0.1:1/a',
    'http://127.0.0.1:1@evil.example/a',
  ]) {
    const query = new URLSearchParams({ redirect, challenge: 'c'.repeat(43), state: 's'.repeat(32) });
    assert.equal((await stage.call('GET', `/api/v1/login/begin?${query}`)).status, 400, redirect);
  }
});

test('with a cookie a change needs the number of the session and an origin of this gateway', async () => {
  const { cookie, csrf } = await loggedIn('sub-dana');
  const asked = await stage.access.approvals.ask(questionOf({ name: 'eve', issuer: 'gw-1' }));
  const path = `/api/v1/approvals/${asked.approval.id}/decision`;
  const json = { decision: 'approve' };
  const other = await loggedIn('sub-bob');
  const origin = stage.url;
  for (const headers of [
    { cookie },
    { cookie, origin },
    { cookie, 'x-csrf-token': csrf },
    { cookie, origin: 'https://evil.example', 'x-csrf-token': csrf },
    { cookie, origin: 'null', 'x-csrf-token': csrf },
    { cookie, origin, 'x-csrf-token': other.csrf },
  ]) {
    const refused = await stage.call('POST', path, { json, headers: headers as Record<string, string> });
    assert.equal(refused.status, 403, JSON.stringify(headers));
    assert.match(refused.text, /"code":"csrf"/);
  }
  const form = await stage.call('POST', `/approvals/${asked.approval.id}`, {
    form: { decision: 'approve', csrf: '' },
    headers: { cookie, origin },
  });
  assert.equal(form.status, 403);
  assert.equal((await stage.access.approvals.get(asked.approval.id))?.state, 'pending');
  const done = await stage.call('POST', path, { json, headers: { cookie, origin, 'x-csrf-token': csrf } });
  assert.equal(done.status, 200, done.text);
});

test('a browser session ends with the log-out, and with the user', async () => {
  const { cookie, csrf } = await loggedIn('sub-bob');
  const out = await stage.call('POST', '/logout', { form: { csrf }, headers: { cookie, origin: stage.url } });
  assert.equal(out.headers.get('location'), '/login');
  assert.equal((await stage.call('GET', '/api/v1/whoami', { headers: { cookie } })).status, 401);
  const again = await loggedIn('sub-bob');
  const by = questionOf({ name: 'root', issuer: 'gw-1' }).principal;
  await stage.access.revocations.revokeUser('bob', stage.provider.issuer, by, 'left');
  const revoked = await stage.call('GET', '/api/v1/whoami', { headers: { cookie: again.cookie } });
  assert.equal(revoked.status, 401);
  assert.match(revoked.text, /"code":"revoked"/);
});

test('a token that is issued under a grant does not carry its group', async () => {
  const json = { resource: 'payments', role: 'read-write', seconds: 600, reason: 'a task' };
  const gail = stage.token('gail', ['admins']);
  const { id } = (await stage.call('POST', '/api/v1/grants', { token: gail, json })).body as { id: string };
  await stage.call('POST', `/api/v1/grants/${id}/decision`, { token: stage.token('dora', ['dba']), json: { decision: 'approve' } });
  const who = (await stage.call('GET', '/api/v1/whoami', { token: gail })).body as { groups: string[] };
  assert.deepEqual(who.groups, ['admins', 'payments/read-write']);
  const { token } = (await stage.call('POST', '/api/v1/tokens', { token: gail, json: {} })).body as { token: string };
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { groups: string[] };
  assert.deepEqual(claims.groups, ['admins']);
});

test('every answer has the headers that keep browsers from harm', async () => {
  for (const path of ['/login', '/api/v1/health/live', '/nothing', '/assets/sluice.js']) {
    const { headers } = await stage.call('GET', path);
    assert.match(headers.get('content-security-policy') ?? '', /default-src 'none'; script-src 'self'; .*frame-ancestors 'none'/, path);
    assert.doesNotMatch(headers.get('content-security-policy') ?? '', /unsafe/);
    assert.match(headers.get('strict-transport-security') ?? '', /max-age=\d{8}/);
    assert.equal(headers.get('x-content-type-options'), 'nosniff');
  }
});

test('what a person typed is text in a page, never markup', async () => {
  const { cookie } = await loggedIn('sub-dana');
  const statement = `select '<script>alert(1)</script>' -- \u202e"'&`;
  const asked = await stage.access.approvals.ask(questionOf({ name: '<b>eve</b>', issuer: 'gw-1' }, { statement }));
  const page = await stage.call('GET', `/approvals/${asked.approval.id}`, { headers: { cookie } });
  assert.equal(page.status, 200);
  assert.ok(page.text.includes('select &#39;&lt;script&gt;alert(1)&lt;/script&gt;&#39; -- \\u202e&quot;&#39;&amp;'));
  assert.ok(page.text.includes('&lt;b&gt;eve&lt;/b&gt;'));
  assert.doesNotMatch(page.text, /<script>|<b>eve|\u202e| on\w+=/);
});

test('bodies are bounded, and must be what the route describes', async () => {
  const token = stage.token('root', ['admins']);
  const huge = await stage.call('POST', '/api/v1/users/revoke', { token, json: { name: 'x'.repeat(70_000), issuer: 'i' } });
  assert.equal(huge.status, 413);
  for (const [more, message] of [
    [{ raw: '{', headers: { 'content-type': 'application/json' } }, /not JSON/],
    [{ raw: '{}', headers: { 'content-type': 'text/plain' } }, /send application\/json/],
    [{ json: { name: 1, issuer: 'i' } }, /name: is not string/],
    [{ json: { issuer: 'i' } }, /name: is missing/],
    [{ json: { name: 'n', issuer: 'i', more: 1 } }, /more: is not known here/],
    [{ json: [] }, /is not object/],
  ] as const) {
    const answer = await stage.call('POST', '/api/v1/users/revoke', { token, ...more });
    assert.equal(answer.status, 400, answer.text);
    assert.match(answer.text, message);
  }
  assert.equal((await stage.call('GET', '/api/v1/grants?state=actve', { token })).status, 400);
  assert.equal((await stage.call('GET', '/api/v1/grants?stat=active', { token })).status, 400);
  assert.equal((await stage.call('DELETE', '/api/v1/grants', { token })).status, 405);
  assert.equal((await stage.call('GET', '/api/v1/grants/%ff', { token })).status, 404);
});

test('an error that is none of ours tells a number and nothing of the inside', async () => {
  const broken = await startApiStage({
    services: {
      health: () => {
        throw new Error('secret of the inside');
      },
    },
  });
  try {
    const answer = await broken.call('GET', '/api/v1/health/ready');
    assert.equal(answer.status, 500);
    const { error } = answer.body as { error: { id: string } };
    assert.doesNotMatch(answer.text, /inside/);
    assert.ok(broken.log.some((line) => line.includes(error.id) && line.includes('secret of the inside')));
  } finally {
    await broken.stop();
  }
});

test('reading the record is recorded before it is shown; what is refused is recorded as denied', async () => {
  const sam = stage.token('sam', ['auditors']);
  const found = await stage.call('GET', '/api/v1/record/search?text=4111111111111111', { token: sam });
  assert.deepEqual((found.body as { matches: SearchMatch[] }).matches, []);
  assert.equal((await stage.call('GET', '/api/v1/record/search', { token: stage.token('eve') })).status, 403);
  const lines = await stage.record();
  const read = lines.find((line) => line.type === 'read');
  assert.deepEqual([read?.['command'], read?.['args'], read?.['user']], ['sessions search', ['text=************1111'], 'sam']);
  const denied = lines.find((line) => line.type === 'deny' && line['action'] === 'record.read');
  assert.equal((denied?.['by'] as { name: string } | undefined)?.name, 'eve');
});

test('metrics are in the format of Prometheus', async () => {
  const { text } = await stage.call('GET', '/metrics', { token: stage.token('prom', ['monitoring']) });
  assert.match(text, /^# TYPE sluice_approvals_pending gauge\nsluice_approvals_pending \d+$/m);
  assert.match(text, /^sluice_store_up 1$/m);
  assert.match(text, /^sluice_record_up 1$/m);
  for (const line of text.trimEnd().split('\n'))
    assert.match(line, /^(# (HELP|TYPE) \S+ .+|[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+)$/);
});

interface Stream {
  readonly messages: string[];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly opened: Promise<boolean>;
  next(): Promise<string>;
}

function stream(headers: Record<string, string>, query = ''): Stream {
  const socket = new WebSocket(`${stage.url.replace('https', 'wss')}/api/v1/events${query}`, { headers } as unknown as string[]);
  const messages: string[] = [];
  const waiting: ((text: string) => void)[] = [];
  socket.addEventListener('message', ({ data }) => {
    const next = waiting.shift();
    if (next === undefined) messages.push(String(data));
    else next(String(data));
  });
  return {
    messages,
    opened: new Promise((resolve) => {
      socket.addEventListener('open', () => resolve(true));
      socket.addEventListener('error', () => resolve(false));
    }),
    closed: new Promise((resolve) => socket.addEventListener('close', ({ code, reason }) => resolve({ code, reason }))),
    next: () => {
      const ready = messages.shift();
      return ready === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(ready);
    },
  };
}

const alert = (n: number, padding = '') =>
  stage.access.events.emit({ type: 'alert', sid: '', user: 'bob', resource: 'payments', line: n, detail: { padding } });

test('events stream to who may read them, until they may not', async () => {
  assert.equal(await stream({}).opened, false);
  assert.equal(await stream({ authorization: `Bearer ${stage.token('eve')}` }).opened, false);
  const dana = await loggedIn('sub-dana');
  assert.equal(await stream({ cookie: dana.cookie, origin: 'https://evil.example' }).opened, false);
  const page = stream({ cookie: dana.cookie, origin: stage.url }, '?type=alert');
  const reader = stream({ authorization: `Bearer ${stage.token('watcher', ['monitoring'])}` });
  assert.deepEqual([await page.opened, await reader.opened], [true, true]);
  stage.access.events.emit({ type: 'denied', sid: 's', user: 'bob', resource: 'payments', line: 1, detail: {} });
  alert(2);
  assert.equal((JSON.parse(await reader.next()) as { type: string }).type, 'denied');
  assert.equal((JSON.parse(await reader.next()) as { line: number }).line, 2);
  assert.equal((JSON.parse(await page.next()) as { line: number; gateway: string }).line, 2);
  await stage.access.revocations.revokeUser('watcher', 'gw-1', questionOf({ name: 'root', issuer: 'gw-1' }).principal, 'left');
  assert.equal((await reader.closed).code, closeCodes.noLongerAllowed);
});

test('who reads too slowly is dropped, told so, and holds up nobody else', async () => {
  const token = stage.token('slow', ['monitoring']);
  const quick = stream({ authorization: `Bearer ${token}` });
  assert.ok(await quick.opened);
  const { port } = new URL(stage.url);
  const socket = connect({ host: '127.0.0.1', port: Number(port), ca: readFileSync(stage.caFile) });
  const key = Buffer.from('sixteen bytes ok').toString('base64');
  socket.write(
    `GET /api/v1/events HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer ${token}\r\n` +
      `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  );
  const [head] = (await once(socket, 'data')) as [Buffer];
  assert.match(head.toString('latin1'), /^HTTP\/1\.1 101 /);
  socket.pause();
  const padding = 'x'.repeat(60_000);
  const emitted = 400;
  for (let n = 0; n < emitted; n++) {
    alert(n, padding);
    // Each is read before the next one comes: this reader keeps up.
    assert.equal((JSON.parse(await quick.next()) as { line: number }).line, n);
  }
  let received = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received.subarray(-200), chunk]);
  });
  socket.resume();
  await once(socket, 'end');
  const reason = received.lastIndexOf('too slow');
  assert.ok(reason > 0, 'no reason at the end of the stream');
  assert.equal(received.readUInt16BE(reason - 2), closeCodes.tooSlow);
});

test('too many failures are turned away with the time to wait, and recorded', async () => {
  const statuses: number[] = [];
  let last: Answer | undefined;
  for (let i = 0; i < 12; i++) {
    last = await stage.call('GET', '/api/v1/whoami', { token: `wrong-${i}` });
    statuses.push(last.status);
  }
  assert.equal(statuses[0], 401);
  assert.equal(statuses.at(-1), 429);
  assert.match(last?.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  // Others at the same address go on, also who comes for the first time.
  assert.equal((await stage.call('GET', '/api/v1/whoami', { token: stage.token('neighbour') })).status, 200);
  // A header of the client's own does not make it somebody else.
  const posing = await stage.call('GET', '/api/v1/whoami', { token: 'wrong', headers: { 'x-forwarded-for': '192.0.2.7' } });
  assert.equal(posing.status, 429);
  const failures = (await stage.record()).filter((line) => line.type === 'auth' && line['ok'] === false && line['via'] === 'api');
  assert.equal(failures.length, statuses.filter((status) => status === 401).length);
});
