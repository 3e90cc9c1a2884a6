import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ApiStage, questionOf, startApiStage } from '../support/api-stage.ts';
import { openSession } from '../support/control.ts';
import { TestBrowser } from '../support/oidc-provider.ts';

/** The command line against the real API: log-ins by a real provider, requests, decisions, keys, live sessions, events. */

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const program = ['--disable-warning=ExperimentalWarning', join(root, 'src', 'cli', 'main.ts')];

let stage: ApiStage;
const homes: string[] = [];
before(async () => {
  stage = await startApiStage({ sections: { access: { grants: { break_glass_groups: ['oncall'] } } } });
  stage.provider.accounts.set('sub-ada', { name: 'ada', groups: ['analysts'] });
  stage.provider.accounts.set('sub-dana', { name: 'dana', groups: ['dba', 'developers'] });
});
after(async () => {
  await stage.stop();
  for (const home of homes) rmSync(home, { recursive: true, force: true });
});

function newHome(): string {
  const home = mkdtempSync(join(tmpdir(), 'sluice-home-'));
  homes.push(home);
  return home;
}

interface Running {
  readonly child: ChildProcess;
  readonly done: Promise<{ readonly code: number | null; readonly out: string; readonly err: string }>;
  /** Resolves with the first match in what it has said on stderr or stdout. */
  said(pattern: RegExp): Promise<RegExpExecArray>;
}

function start(home: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  const child = spawn(process.execPath, [...program, ...args], {
    env: { PATH: process.env['PATH'], HOME: home, SLUICE_CA: stage.caFile, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  const looks: (() => void)[] = [];
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
    for (const look of looks) look();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString();
    for (const look of looks) look();
  });
  return {
    child,
    done: new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err }))),
    said: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = pattern.exec(out + err);
          if (found !== null) resolve(found);
        };
        looks.push(look);
        look();
        child.once('close', () => reject(new Error(`it ended without saying ${pattern}: ${out}${err}`)));
      }),
  };
}

const run = (home: string, args: readonly string[], env?: Readonly<Record<string, string>>) => start(home, args, env).done;
const as = (user: string, ...groups: string[]) => ({ SLUICE_URL: stage.url, SLUICE_TOKEN: stage.token(user, groups) });

test('login goes by the browser and back, keeps the token for oneself, and writes the clients\u2019 files', async () => {
  const home = newHome();
  writeFileSync(join(home, '.pg_service.conf'), '[other]\nhost=elsewhere\n');
  stage.provider.loginAs = 'sub-ada';
  const login = start(home, ['login', '--url', stage.url, '--ca', stage.caFile]);
  const [, address = ''] = await login.said(/^ {2}(https:\S+)$/m);
  const browser = new TestBrowser();
  const landed = await browser.follow(
    address,
    'http://127.0.0.1:'.concat(new URL(new URL(address).searchParams.get('redirect') ?? '').port),
  );
  const page = await fetch(landed);
  assert.match(await page.text(), /Logged in/);
  const { code, out, err } = await login.done;
  assert.equal(code, 0, err);
  assert.match(
    out,
    /^logged in as ada until \S+\nwrote \S+\/\.pg_service\.conf\nwrote \S+\/\.pgpass\nconnect with: psql service=sluice-payments\n$/,
  );

  const tokenPath = join(home, '.config', 'sluice', 'token');
  const apiTokenPath = join(home, '.config', 'sluice', 'api-token');
  for (const file of [tokenPath, apiTokenPath, join(home, '.config', 'sluice', 'login.json'), join(home, '.pgpass')])
    assert.equal(statSync(file).mode & 0o777, 0o600, file);
  const token = readFileSync(tokenPath, 'utf8').trim();
  const apiToken = readFileSync(apiTokenPath, 'utf8').trim();
  for (const one of [token, apiToken]) assert.ok(!(out + err).includes(one.split('.')[2] ?? ''));
  const services = readFileSync(join(home, '.pg_service.conf'), 'utf8');
  assert.match(
    services,
    /^\[other\]\nhost=elsewhere\n\n\[sluice-payments\]\nhost=127\.0\.0\.1\nport=6543\ndbname=payments\nuser=ada\nsslmode=verify-full\n/,
  );
  assert.ok(services.includes(`sslrootcert=${stage.caFile}`));
  assert.equal(readFileSync(join(home, '.pgpass'), 'utf8'), `127.0.0.1:6543:payments:ada:${token}\n`);

  const ls = await run(home, ['ls']);
  assert.equal(ls.code, 0, ls.err);
  assert.match(
    ls.out,
    /^payments +postgres +read-only +yes +PGPASSWORD="\$\(cat .*token\)" psql "host=127\.0\.0\.1 port=6543 dbname=payments user=ada sslmode=verify-full sslrootcert=.*ca\.crt"$/m,
  );
  assert.match(ls.out, /^payments +postgres +read-write +ask +sluice request payments --role read-write /m);

  assert.equal(ls.err, '');
  const ask = ['request', 'payments', '--role', 'read-write', '--for', '1h', '--reason', 'a fix', '--json'];
  const { id } = JSON.parse((await run(home, ask)).out) as { id: string };
  assert.equal((await run(home, ['grants', 'approve', id], as('dana', 'dba'))).code, 0);
  const fresh = /^not yet in your clients\u2019 files: psql service=sluice-payments-read-write; log in again to write it: sluice login$/m;
  assert.match((await run(home, ['ls'])).err, fresh);

  // What lies in the clients' files opens connections and nothing else, and what the commands use opens none.
  const { authenticator } = stage.identity;
  assert.equal((await authenticator.authenticate(token, 'ada')).name, 'ada');
  await assert.rejects(authenticator.authenticate(apiToken, 'ada'), { code: 'token_audience' });
  const stolen = await run(home, ['grants', 'ls'], { SLUICE_URL: stage.url, SLUICE_TOKEN: token });
  assert.equal(stolen.code, 1);
  assert.match(
    stolen.err,
    /^the token is for connections to resources alone, and not for the API\nlog in with: sluice login, or .* --api\n$/,
  );
  assert.ok((await stage.record()).some((line) => line.type === 'auth' && line['code'] === 'token_audience' && line['via'] === 'api'));

  const wrongOne = await run(home, ['logout'], { SLUICE_URL: stage.url, SLUICE_TOKEN: token });
  assert.equal(wrongOne.code, 1, 'the token would stay good');
  assert.match(wrongOne.err, /for connections to resources alone/);

  const out1 = await run(home, ['logout']);
  assert.deepEqual([out1.code, out1.out], [0, 'logged out\n']);
  const refused = await run(home, ['ls'], { SLUICE_URL: stage.url, SLUICE_TOKEN: apiToken });
  assert.equal(refused.code, 1);
  assert.match(refused.err, /revoked/);
  await assert.rejects(authenticator.authenticate(token, 'ada'), { code: 'revoked' });
});

test('login by device shows a code and waits until it was entered', async () => {
  const home = newHome();
  stage.provider.loginAs = 'sub-ada';
  const login = start(home, ['login', '--url', stage.url, '--device', '--json', '--no-service-file']);
  const [, address = ''] = await login.said(/^or open (\S+)$/m);
  await new TestBrowser().submitForms(address);
  const { code, out, err } = await login.done;
  assert.equal(code, 0, err);
  assert.equal((JSON.parse(out) as { user: string }).user, 'ada');
  assert.ok(!existsSync(join(home, '.pg_service.conf')) && !existsSync(join(home, '.pgpass')));
});

test('who may reach nothing yet is told that no entry was written', async () => {
  const home = newHome();
  stage.provider.accounts.set('sub-newt', { name: 'newt', groups: [] });
  stage.provider.loginAs = 'sub-newt';
  const login = start(home, ['login', '--url', stage.url, '--device']);
  const [, address = ''] = await login.said(/^or open (\S+)$/m);
  await new TestBrowser().submitForms(address);
  const { code, out, err } = await login.done;
  assert.equal(code, 0, err);
  assert.match(out, /^logged in as newt until \S+\nno account is open to you yet, so no entry was written for your clients: /);
});

test('a request waits for the decision of somebody else: 0 when it is yes, 3 when it is no, 4 when nobody decides', async () => {
  const home = newHome();
  const ask = ['request', 'payments', '--role', 'read-write', '--for', '2h', '--reason', 'a fix', '--ticket', 'OPS-12', '--wait'];
  for (const [word, expected, state] of [
    ['approve', 0, /active by dana/],
    ['deny', 3, /denied by dana: not today/],
  ] as const) {
    const asked = start(home, ask, as('bob', 'developers'));
    const [, id = ''] = await asked.said(/request (\S+) waits for dba/);
    const own = await run(home, ['grants', 'approve', id], as('bob', 'developers', 'dba'));
    assert.equal(own.code, 1, own.out);
    const decided = await run(home, ['grants', word, id, '--reason', 'not today'], as('dana', 'dba'));
    assert.equal(decided.code, 0, decided.err);
    const { code, out } = await asked.done;
    assert.equal(code, expected, out);
    assert.match(out, state);
  }
  const late = await run(home, [...ask, '--timeout', '1s'], as('carl', 'developers'));
  assert.equal(late.code, 4, late.err);
  const listed = await run(home, ['grants', 'ls', '--json', '--state', 'pending'], as('carl', 'developers'));
  assert.equal((JSON.parse(listed.out) as { ticket: string }).ticket, 'OPS-12');
});

test('a break-glass grant says how many have confirmed it; one that waits has no end yet', async () => {
  const home = newHome();
  const ask = ['request', 'payments', '--role', 'read-write', '--reason', 'a fix', '--json'];
  const taken = await run(home, [...ask, '--for', '30m', '--break-glass'], as('lena', 'oncall', 'developers'));
  assert.equal(taken.code, 0, taken.err);
  const { id } = JSON.parse(taken.out) as { id: string };
  const state = async () => /^state +(.*)$/m.exec((await run(home, ['grants', 'show', id], as('root', 'admins'))).out)?.[1];
  assert.equal(await state(), 'active, break-glass, not confirmed yet (0 of 2)');
  const first = await run(home, ['grants', 'approve', id], as('dana', 'dba'));
  assert.match(first.out, / {2}active, break-glass, not confirmed yet \(1 of 2\), until /);
  await run(home, ['grants', 'approve', id], as('dave', 'dba'));
  assert.equal(await state(), 'active, break-glass, confirmed');
  await run(home, [...ask, '--for', '90m'], as('max', 'developers'));
  const listed = await run(home, ['grants', 'ls', '--user', 'max'], as('max', 'developers'));
  assert.match(listed.out, /^\S+ +pending +max +payments\+read-write +90m +a fix/m);
  const long = await run(home, [...ask, '--for', '40d'], as('max', 'developers'));
  assert.match(long.err, /^a grant lasts \d+[dh] at the most$/m);
  const years = await run(home, ['keys', 'create', '--service', 'x', '--ttl', '400d'], as('root', 'admins'));
  assert.match(years.err, /ttlSeconds: is more than 31622400 \(366d\)/);
});

test('who ended a grant and why is not who approved it and why', async () => {
  const home = newHome();
  const ask = ['request', 'payments', '--role', 'read-write', '--for', '2h', '--reason', 'a fix', '--json'];
  const { id } = JSON.parse((await run(home, ask, as('gus', 'developers'))).out) as { id: string };
  await run(home, ['grants', 'approve', id, '--reason', 'fine by me'], as('dana', 'dba'));
  const revoked = await run(home, ['grants', 'revoke', id, '--reason', 'the fix is out'], as('root', 'admins'));
  assert.match(revoked.out, /revoked by root: the fix is out/);
  const shown = await run(home, ['grants', 'show', id], as('gus', 'developers'));
  assert.equal(shown.code, 0, shown.err);
  assert.match(shown.out, /^approve by dana for dba, \S+: fine by me\n\nrevoked by root, \S+: the fix is out$/m);
  const listed = await run(home, ['grants', 'ls', '--json', '--user', 'gus'], as('gus', 'developers'));
  const grant = JSON.parse(listed.out) as { ended: { by: string; issuer: string; reason: string } };
  assert.deepEqual([grant.ended.by, grant.ended.issuer, grant.ended.reason], ['root', 'gw-1', 'the fix is out']);
  const line = (await stage.record()).find((one) => one['grant'] === id && one['event'] === 'grant.revoked');
  const by = line?.['by'] as { readonly name: string } | undefined;
  assert.deepEqual([by?.name, line?.['reason']], ['root', 'the fix is out']);
  assert.equal((await run(home, ['grants', 'show', 'none'], as('gus', 'developers'))).code, 1);
});

test('an interrupted wait leaves the request as it is', async () => {
  const home = newHome();
  const args = ['request', 'payments', '--role', 'read-write', '--for', '1h', '--reason', 'a fix', '--wait'];
  const asked = start(home, args, as('eve', 'developers'));
  const [, id = ''] = await asked.said(/request (\S+) waits/);
  asked.child.kill('SIGINT');
  const { code, err } = await asked.done;
  assert.equal(code, 4, err);
  assert.match(err, /the request stands/);
  const revoked = await run(home, ['grants', 'revoke', id], as('eve', 'developers'));
  assert.equal(revoked.code, 0, revoked.err);
  assert.match(revoked.out, /cancelled|revoked/);
});

test('approvals are listed, shown and decided; card data in a reason is masked', async () => {
  const home = newHome();
  const asked = await stage.access.approvals.ask(questionOf({ name: 'bob', issuer: 'gw-1' }, { reason: 'OPS-12 fix\u202e brands' }));
  const { id } = asked.approval;
  const listed = await run(home, ['approvals', 'ls'], as('dana', 'dba'));
  assert.match(
    listed.out,
    new RegExp(`^${id}  .* pending +bob +payments\\+read-write +waits +delete public\\.cards +OPS-12 fix\\S+ brands$`, 'm'),
  );
  assert.ok(!listed.out.includes('\u202e'));
  const shown = await run(home, ['approvals', 'show', id], as('dana', 'dba'));
  assert.match(shown.out, /\ndelete from cards where number = '\*{12}1111'\n/);
  assert.match(shown.out, /^why +OPS-12 fix\S+ brands\nmode +waits$/m);
  const silent = await stage.access.approvals.ask(questionOf({ name: 'bob', issuer: 'gw-1' }, { mode: 'retry' }));
  const unsaid = await run(home, ['approvals', 'show', silent.approval.id], as('dana', 'dba'));
  assert.match(unsaid.out, /^why +\(none given\)\nmode +to be sent again$/m);
  const approved = await run(home, ['approvals', 'approve', id, '--rows', '3', '--reason', 'for 4111111111111111'], as('dana', 'dba'));
  assert.equal(approved.code, 0, approved.err);
  assert.match(approved.out, /approve by dana for dba, .*: for \*{12}1111/);
  const outcome = await asked.outcome;
  assert.equal(outcome.state, 'approved');
  assert.equal(outcome.approval.rowBudget, 3);
  assert.doesNotMatch(JSON.stringify(await stage.record()), /4111111111111111/);
  const again = await run(home, ['approvals', 'deny', id], as('dana', 'dba'));
  assert.equal(again.code, 1);
});

test('keys are made, rotated, listed and revoked; what is revoked opens nothing', async () => {
  const home = newHome();
  const admin = as('root', 'admins');
  const made = await run(home, ['keys', 'create', '--service', 'nightly', '--group', 'analysts', '--ttl', '1d'], admin);
  assert.equal(made.code, 0, made.err);
  const works = await run(home, ['ls', '--json'], { SLUICE_URL: stage.url, SLUICE_TOKEN: made.out.trim() });
  assert.equal(works.code, 0, works.err);
  const { key } = JSON.parse((await run(home, ['keys', 'rotate', idIn(made.err), '--json'], admin)).out) as { key: { id: string } };
  const listed = await run(home, ['keys', 'ls', '--json'], admin);
  assert.ok(listed.out.includes(`"replacedBy":"${key.id}"`));
  assert.equal((await run(home, ['keys', 'revoke', idIn(made.err), '--reason', 'it leaked'], admin)).out, 'revoked\n');
  const refused = await run(home, ['ls'], { SLUICE_URL: stage.url, SLUICE_TOKEN: made.out.trim() });
  assert.equal(refused.code, 1, refused.out);
  assert.match((await run(home, ['keys', 'ls'], admin)).out, new RegExp(`^${idIn(made.err)} +nightly +revoked `, 'm'));
  const taken = (await run(home, ['revocations', 'ls'], admin)).out;
  assert.match(taken, new RegExp(`credential +${idIn(made.err)} +root +it leaked`));
  const ended = await run(home, ['keys', 'rotate', idIn(made.err)], admin);
  assert.deepEqual([ended.code, ended.err], [1, `the key ${idIn(made.err)} was revoked\nthe key ${key.id} has taken its place\n`]);
  const mistyped = await run(home, ['keys', 'rotate', 'nosuch'], admin);
  assert.deepEqual([mistyped.code, mistyped.err], [1, 'there is no key nosuch\nsluice keys ls lists them\n']);
  const atOnce = await run(home, ['keys', 'rotate', key.id, '--overlap', '0s'], admin);
  assert.equal(atOnce.code, 0, atOnce.err);
});

function idIn(text: string): string {
  return /^key (\S+) of/m.exec(text)?.[1] ?? '';
}

test('open sessions are listed and ended, and events tell of it', async () => {
  const home = newHome();
  const session = openSession('cli-live-1', questionOf({ name: 'bob', issuer: 'gw-1' }).principal);
  stage.live.add(session);
  const watching = start(home, ['events', '--json'], as('sam', 'security'));
  const listed = await run(home, ['live', 'ls'], as('sam', 'security'));
  assert.match(listed.out, /^cli-live-1 .* bob /m);
  const refused = await run(home, ['live', 'kill', 'cli-live-1'], as('nobody'));
  assert.equal(refused.code, 1);
  assert.match(refused.err, /no policy permits session\.kill/);
  assert.equal((await run(home, ['live', 'kill', 'cli-live-1', '--reason', 'enough'], as('sam', 'security'))).out, 'ended\n');
  assert.equal((await session.ended).code, 'session_killed');
  stage.access.events.emit({ type: 'alert', sid: 'cli-live-1', user: 'bob', resource: 'payments', line: 7, detail: { rule: 'cards' } });
  await watching.said(/"type":"alert"/);
  watching.child.kill('SIGINT');
  assert.equal((await watching.done).code, 0);
  const alerts = await run(home, ['alerts'], as('sam', 'security'));
  assert.match(alerts.out, /alert +gw-1 {2}bob {2}payments {2}cli-live-1 {2}rule=cards/);
});

test('users are revoked and restored', async () => {
  const home = newHome();
  const admin = as('root', 'admins');
  const dev = as('drew', 'developers');
  assert.equal((await run(home, ['ls'], dev)).code, 0);
  const unknown = await run(home, ['users', 'revoke', 'drew', '--reason', 'left'], admin);
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /nobody of the name drew has been here\n.*--issuer.*gw-1/);
  assert.equal((await run(home, ['users', 'revoke', 'drew', '--issuer', 'gw-1', '--reason', 'left'], admin)).out, 'revoked drew of gw-1\n');
  assert.match((await run(home, ['ls'], dev)).err, /revoked/);
  assert.equal((await run(home, ['users', 'restore', 'drew'], admin)).out, 'restored drew of gw-1\n');
  assert.match((await run(home, ['users', 'restore', 'drew'], admin)).err, /no user of the name drew is revoked/);
});

test('who vouches for a user need not be said where one user has the name', async () => {
  const home = newHome();
  const admin = as('root', 'admins');
  const grant = ['request', 'payments', '--role', 'read-write', '--for', '1h', '--reason', 'a fix', '--json'];
  await run(home, grant, as('hana', 'developers'));
  const { issuer } = stage.provider;
  const revoked = await run(home, ['users', 'revoke', 'hana', '--json'], admin);
  assert.deepEqual(JSON.parse(revoked.out), { done: true, name: 'hana', issuers: ['gw-1'] });
  const session = openSession('cli-hana', { ...questionOf({ name: 'hana', issuer }).principal, subject: 'sub-hana' });
  const forget = stage.live.add(session);
  const other = 'https://other.example';
  const forgetOther = stage.live.add(openSession('cli-hana-2', { ...questionOf({ name: 'hana', issuer: other }).principal, subject: 'h' }));
  const several = await run(home, ['users', 'revoke', 'hana'], admin);
  assert.equal(several.code, 1);
  assert.match(several.err, /several users have the name hana\n/);
  for (const one of [issuer, other, 'gw-1']) assert.ok(several.err.includes(one), several.err);
  assert.equal((await run(home, ['users', 'revoke', 'hana', '--issuer', issuer], admin)).out, `revoked hana of ${issuer}\n`);
  assert.equal((await session.ended).code, 'revoked');
  forgetOther();
  // With one provider only there is nothing to choose, and the gateway's own tokens are meant as well.
  assert.equal((await run(home, ['users', 'revoke', 'hana'], admin)).out, `revoked hana of ${issuer}, gw-1\n`);
  forget();
  assert.equal((await run(home, ['users', 'restore', 'hana'], admin)).out, `restored hana of ${issuer}, gw-1\n`);
  assert.match((await run(home, ['users', 'restore', 'hana'], admin)).err, /no user of the name hana is revoked/);
});

test('what cannot be meant is a wrong call, and every list and change speaks JSON', async () => {
  const home = newHome();
  const admin = as('root', 'admins');
  for (const [args, message] of [
    [['grants', 'ls', '--state', 'actve'], /--state is one of pending, active/],
    [['events', '--type', 'denials'], /--type "denials" is not one of .*denied/],
    [['request', 'payments', '--role', 'read-write', '--for', '1h', '--reason', 'r', '--timeout', '5s'], /--timeout is how long to --wait/],
    [['grants', 'show'], /^sluice grants show: ID is missing\nusage: sluice grants show ID \[--json\]\n$/],
  ] as const) {
    const { code, err, out } = await run(home, args, admin);
    assert.deepEqual([code, out], [2, ''], err);
    assert.match(err, message);
  }
  const session = openSession('cli-json', questionOf({ name: 'bob', issuer: 'gw-1' }).principal);
  const forget = stage.live.add(session);
  const killed = await run(home, ['live', 'kill', 'cli-json', '--json'], as('sam', 'security'));
  assert.deepEqual(JSON.parse(killed.out), { killed: true });
  forget();
  const revoked = await run(home, ['tokens', 'revoke', '0b0e7f0a-3c55-4d2e-9a43-5f0f6f3a8d11', '--json'], admin);
  assert.deepEqual(JSON.parse(revoked.out), { done: true, known: false });
  assert.match(revoked.err, /^no such token is on record; whoever presents it is refused from now on$/m);
  const mistyped = await run(home, ['tokens', 'revoke', 'nosuch'], admin);
  assert.deepEqual([mistyped.code, mistyped.out], [1, '']);
  assert.match(mistyped.err, /^there is no token nosuch, and no token has such an id\n/);
  assert.deepEqual(JSON.parse((await run(home, ['logout', '--json'])).out), { done: false });
});

test('what is wrong is said: nobody logged in, an unknown authority, no https', async () => {
  const home = newHome();
  mkdirSync(join(home, 'empty'));
  const nobody = await run(home, ['ls']);
  assert.equal(nobody.code, 2);
  assert.match(nobody.err, /log in first/);
  const untrusted = await run(home, ['ls'], { ...as('ada', 'analysts'), SLUICE_CA: '/etc/hostname' });
  assert.notEqual(untrusted.code, 0);
  const clear = await run(home, ['ls'], { SLUICE_URL: 'http://127.0.0.1:1', SLUICE_TOKEN: 'x' });
  assert.equal(clear.code, 2);
  assert.match(clear.err, /not an https URL/);
});
