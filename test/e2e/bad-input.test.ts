import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { freePort } from '../support/postgres.ts';
import { paymentsResource, type RecordLine, readRecord, type Stage, startStage } from '../support/stage.ts';
import { Wire, WireError, type WireOptions } from '../support/wire.ts';
import { encode } from '../support/wire-messages.ts';

/** What goes wrong gets a clear error in the protocol's own form, a line in the record, and a gateway that goes on. */
let stage: Stage;
before(async () => {
  stage = await startStage({
    setup: `
      create function loosen() returns void language sql as $$ set standard_conforming_strings = off $$;
      create function recode() returns void language sql as $$ set client_encoding = latin1 $$;
      create schema other;
      create table other.people (name text, code text);
      create table public.people (name text, code text);
      insert into other.people values ('x', 'harmless');
      insert into public.people values ('y', '737');
      grant usage on schema other to app_ro;
      grant select on other.people, public.people to app_ro;`,
    resource: { protect: { columns: { 'public.people.code': 'sad' } } },
  });
});
after(() => stage.stop());

async function refusal(more: Partial<WireOptions>): Promise<{ code: string; message: string; hint: string; severity: string }> {
  try {
    const wire = await stage.connect(stage.analyst, more);
    await wire.end();
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    const { C: code = '', M: message = '', H: hint = '', S: severity = '' } = error.fields;
    return { code, message, hint, severity };
  }
  return assert.fail('the log-in was taken');
}

/** The last failed log-in in the record, once it is there. */
async function recorded(code: string, from: number): Promise<RecordLine> {
  for (;;) {
    const found = stage
      .record()
      .slice(from)
      .find((line) => line.type === 'auth' && line['ok'] === false && line['code'] === code);
    if (found !== undefined) return found;
    await serves();
  }
}

async function serves(): Promise<void> {
  const wire = await stage.connect(stage.analyst);
  assert.deepEqual((await wire.query('select 1')).rows, [['1']]);
  await wire.end();
}

const logins: readonly [string, () => Partial<WireOptions>, string, RegExp, string][] = [
  ['a wrong token', () => ({ password: 'let me in' }), '28P01', /the token was not accepted/, 'token_'],
  ['an empty password', () => ({ password: '' }), '28P01', /the token was not accepted/, 'token_'],
  [
    'a token with its signature changed',
    () => ({ password: stage.analyst.token.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')) }),
    '28P01',
    /the token was not accepted/,
    'token_',
  ],
  ['the token of another user', () => ({ password: stage.developer.token }), '28P01', /the token was not accepted/, 'token_'],
  ['an unknown resource', () => ({ database: 'nowhere' }), '3D000', /there is no resource "nowhere"/, 'resource_unknown'],
  ['an unknown account', () => ({ user: 'ada+root' }), '3D000', /has no account "root"/, 'account_unknown'],
  ['an account that policy forbids', () => ({ user: 'ada+read-write' }), '42501', /denied/, 'denied'],
  [
    'standard_conforming_strings at start-up',
    () => ({ parameters: { standard_conforming_strings: 'off' } }),
    '22023',
    /standard_conforming_strings/,
    'setting_refused',
  ],
  ['client_encoding at start-up', () => ({ parameters: { client_encoding: 'SJIS' } }), '22023', /client_encoding/, 'setting_refused'],
  [
    'standard_conforming_strings in options',
    () => ({ parameters: { options: '-c standard_conforming_strings=off' } }),
    '22023',
    /standard_conforming_strings/,
    'setting_refused',
  ],
  [
    'a setting in options that nobody may hand over',
    () => ({ parameters: { options: '--session_preload_libraries=evil' } }),
    '22023',
    /session_preload_libraries/,
    'setting_refused',
  ],
  ['options of another kind', () => ({ parameters: { options: '-f /etc/passwd' } }), '22023', /options/, 'setting_refused'],
];
for (const [what, options, code, message, reason] of logins) {
  test(`${what} is refused with ${code} and recorded`, async () => {
    const from = stage.record().length;
    const refused = await refusal(options());
    assert.equal(refused.severity, 'FATAL');
    assert.equal(refused.code, code);
    assert.match(refused.message, message);
    const line = reason === 'token_' ? await anyToken(from) : await recorded(reason, from);
    assert.match(String(line['source']), /^127\.0\.0\.1:\d+$/);
    await serves();
  });
}

async function anyToken(from: number): Promise<RecordLine> {
  for (;;) {
    const found = stage
      .record()
      .slice(from)
      .find((line) => line.type === 'auth' && line['ok'] === false && String(line['code']).startsWith('token_'));
    if (found !== undefined) return found;
    await serves();
  }
}

test('an expired token says that it has expired', async () => {
  const from = stage.record().length;
  const token = stage.gateway.token('ada', ['analysts'], '1s');
  // The clock of the token has seconds: ask until it is over.
  for (;;) {
    try {
      const wire = await stage.connect(stage.analyst, { password: token });
      await wire.end();
    } catch (error) {
      assert.ok(error instanceof WireError);
      assert.equal(error.fields['C'], '28P01');
      assert.match(error.fields['M'] ?? '', /expired/);
      break;
    }
  }
  await recorded('token_expired', from);
});

test('no token is in the record or the log', () => {
  const text = JSON.stringify(stage.record()) + stage.gateway.log();
  for (const token of [stage.analyst.token, stage.developer.token, 'let me in']) assert.ok(!text.includes(token));
});

test('a log-in in clear is refused where it is not allowed', async () => {
  const gateway = await startGateway({ resources: [paymentsResource(stage.server, stage.seeded)] });
  try {
    const login = { port: gateway.port, user: 'ada', password: gateway.token('ada', ['analysts']), database: 'payments' };
    await assert.rejects(
      Wire.connect(login),
      (error: unknown) => error instanceof WireError && error.fields['C'] === '28000' && /sslmode/.test(error.fields['H'] ?? ''),
    );
    const wire = await Wire.connect({ ...login, tls: 'ssl-request' });
    await wire.end();
    const refused = readRecord(gateway.recordDir).find((line) => line.type === 'auth' && line['code'] === 'plaintext_refused');
    assert.deepEqual([refused?.['user'], refused?.['resource']], ['ada', 'payments']);
  } finally {
    await gateway.stop();
  }
});

test('what does not parse is refused with the place in the text', async () => {
  const wire = await stage.connect(stage.analyst);
  const { errors } = await wire.query("select 'é', 1 fro cards");
  assert.deepEqual([errors[0]?.['C'], errors[0]?.['P']], ['42601', '19']);
  assert.deepEqual((await wire.query('drop table cards')).errors[0]?.['P'], undefined);
  await wire.end();
});

test('a target that is down, that hangs up, or that never answers is an error of its own', async () => {
  const hangsUp = createServer((socket) => socket.destroy());
  const silent = createServer(() => {});
  const garbage = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  const port = async (server: typeof silent): Promise<number> => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  };
  const targets: Record<string, number> = {
    down: await freePort(),
    'hangs-up': await port(hangsUp),
    silent: await port(silent),
    garbage: await port(garbage),
  };
  const gateway = await startGateway({
    plaintext: true,
    resources: Object.entries(targets).map(([name, at]) => ({
      name,
      kind: 'postgres',
      address: `127.0.0.1:${at}`,
      database: 'x',
      tls: 'disable',
      accounts: { 'read-only': { user: 'u', password: 'p' } },
    })),
    sections: { limits: { login_seconds: 2 } },
  });
  try {
    const token = gateway.token('ada', ['analysts']);
    for (const name of Object.keys(targets)) {
      await assert.rejects(
        Wire.connect({ port: gateway.port, user: 'ada', password: token, database: name }),
        (error: unknown) =>
          error instanceof WireError &&
          error.fields['S'] === 'FATAL' &&
          /^08/.test(error.fields['C'] ?? '') &&
          !/ECONN/.test(error.fields['M'] ?? ''),
        name,
      );
    }
    await gateway.kill('SIGTERM');
    const failures = readRecord(gateway.recordDir).filter((line) => line.type === 'auth' && line['ok'] === false);
    assert.deepEqual(
      failures.map((line) => line['resource']),
      Object.keys(targets),
    );
  } finally {
    await gateway.stop();
    for (const server of [hangsUp, silent, garbage]) server.close();
  }
});

test('a client that stops in the middle of its log-in is let go', async () => {
  const gateway = await startGateway({
    plaintext: true,
    resources: [paymentsResource(stage.server, stage.seeded)],
    sections: { limits: { login_seconds: 1 } },
  });
  try {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from([0]),
      encode.startup({ user: 'ada', database: 'payments' }).subarray(0, 20),
      encode.startup({ user: 'ada', database: 'payments' }),
    ]) {
      const wire = await Wire.open({ port: gateway.port });
      wire.send(bytes);
      await wire.ended();
    }
    const lines = readRecord(gateway.recordDir).filter((line) => line.type === 'auth');
    assert.deepEqual(
      lines.map((line) => line['code']),
      ['login_timeout', 'login_timeout', 'login_timeout', 'login_timeout'],
    );
  } finally {
    await gateway.stop();
  }
});

const denied: readonly string[] = [
  'set standard_conforming_strings = off',
  "set standard_conforming_strings to 'off'",
  'set local standard_conforming_strings = off',
  'set session standard_conforming_strings = 0',
  'SET "standard_conforming_strings" = off',
  "select set_config('standard_conforming_strings', 'off', false)",
  "select pg_catalog.set_config('Standard_Conforming_Strings', 'off', true)",
  "select set_config('standard_' || 'conforming_strings', 'off', false)",
  "set client_encoding = 'SJIS'",
  "set names 'LATIN1'",
  "select set_config('client_encoding', 'BIG5', false)",
  "update pg_settings set setting = 'off' where name = 'standard_conforming_strings'",
  'alter role current_user set standard_conforming_strings = off',
  'alter database payments set client_encoding = latin1',
  'create function pg_temp.f() returns void language sql set standard_conforming_strings = off as $$ select 1 $$',
  "do $$ begin perform set_config('standard_conforming_strings', 'off', false); end $$",
  "select 1; set standard_conforming_strings = off; select '\\'; select cvv from cards; --'",
];
for (const text of denied) {
  test(`denied: ${text}`, async () => {
    for (const login of [stage.analyst, stage.developer]) {
      const wire = await stage.connect(login);
      const { errors, status } = await wire.query(text);
      assert.equal(errors[0]?.['C'], '42501', JSON.stringify(errors));
      assert.equal(status, 'I');
      assert.deepEqual((await wire.query('show standard_conforming_strings; show client_encoding')).rows, [['on'], ['UTF8']]);
      const extended = await wire.extended(text);
      assert.ok(['42501', '42601'].includes(extended.errors[0]?.['C'] ?? ''));
      await wire.end();
    }
  });
}

test('settings of the same meaning are taken', async () => {
  const wire = await stage.connect(stage.analyst);
  for (const text of [
    'set standard_conforming_strings = on',
    "set client_encoding = 'utf-8'",
    "set names 'UTF8'",
    'reset search_path',
    "set application_name = 'x'",
  ]) {
    assert.deepEqual((await wire.query(text)).errors, [], text);
  }
  await wire.end();
});

for (const name of ['loosen', 'recode']) {
  test(`a function that changes how statements are read ends the session: ${name}()`, async () => {
    const wire = await stage.connect(stage.analyst);
    wire.send(encode.query(`select ${name}()`), encode.query("select '\\'; select cvv from cards; --'"));
    const { errors, status } = await wire.cycle();
    assert.equal(errors[0]?.['S'], 'FATAL');
    assert.equal(errors[0]?.['C'], '55P02');
    assert.equal(status, '');
    await wire.ended();
    const ends = (await stage.settledRecord()).filter((line) => line.type === 'session' && line['event'] === 'end');
    assert.equal(ends.at(-1)?.['reason'], 'setting_changed');
    await serves();
  });
}

test('a role whose settings are loose is refused at log-in, or pinned', async () => {
  await stage.server.sql('alter role app_ro set standard_conforming_strings = off; alter role app_ro set client_encoding = latin1');
  try {
    const wire = await stage.connect(stage.analyst);
    assert.deepEqual((await wire.query('show standard_conforming_strings; show client_encoding')).rows, [['on'], ['UTF8']]);
    // RESET goes back to what the session began with, not to the role's.
    const { rows } = await wire.query(
      'reset standard_conforming_strings; reset client_encoding; show standard_conforming_strings; show client_encoding',
    );
    assert.deepEqual(rows, [['on'], ['UTF8']]);
    await wire.end();
  } finally {
    await stage.server.sql('alter role app_ro reset all');
  }
});

test('a prepared statement that the server replans under another search_path stays masked', async () => {
  const wire = await stage.connect(stage.analyst);
  await wire.query('set search_path = other');
  wire.send(encode.parse({ name: 's', text: 'select * from people' }), encode.bind({ statement: 's' }), encode.execute(), encode.sync());
  assert.deepEqual((await wire.cycle()).rows, [['x', 'harmless']]);
  await wire.query('set search_path = public');
  for (let i = 0; i < 2; i++) {
    wire.send(encode.bind({ statement: 's' }), encode.execute(), encode.sync());
    const { rows } = await wire.cycle();
    assert.deepEqual(rows, [['y', '***']]);
  }
  // By SQL as well.
  await wire.query('set search_path = other');
  await wire.query('prepare q as select * from people');
  assert.deepEqual((await wire.query('execute q')).rows, [['x', 'harmless']]);
  await wire.query('set search_path = public');
  assert.deepEqual((await wire.query('execute q')).rows, [['y', '***']]);
  await wire.end();
});

test('a text that the server reads otherwise than it looks hides nothing', async () => {
  const wire = await stage.connect(stage.analyst);
  for (const text of [
    "select E'\\'', cvv from cards limit 1 --'",
    "select '\\', cvv from cards limit 1 --'",
    'select $a$ $b$ $a$, cvv, $a$ $b$ $a$ from cards limit 1',
    'select /* /* */ cvv */ cvv from cards limit 1',
    'select U&"\\0063vv" from cards limit 1',
    'select "cvv" as "a""b" from cards limit 1',
  ]) {
    const { rows, errors } = await wire.query(text);
    const cvv = stage.seeded.cards.map((card) => card.cvv);
    for (const value of rows.flat()) assert.ok(value === null || !cvv.includes(value), `${text} shows ${value}`);
    assert.ok(rows.length === 1 || errors.length === 1, text);
  }
  await wire.end();
});

test('the record of all this verifies', async () => {
  await stage.settledRecord();
  const { status, stdout, stderr } = stage.gateway.sluice('verify', stage.gateway.recordDir);
  assert.equal(status, 0, stdout + stderr);
});
