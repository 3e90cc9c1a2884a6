import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { requireClient } from '../support/clients.ts';
import { type Done, run } from '../support/run.ts';
import { assertNoCard } from '../support/secrets.ts';
import { recordedBytes, type Stage, type StageLogin, startStage } from '../support/stage.ts';

const client = requireClient('psql');
const options = { skip: client.skip ?? false };
let stage: Stage;
before(async () => {
  stage = await startStage({
    setup: 'create table notes (id int primary key, body text); grant all on notes to app_rw; grant select on notes to app_ro',
  });
});
after(() => stage.stop());

const psql = (login: StageLogin, commands: string, ...args: readonly string[]): Promise<Done> =>
  run(client.path ?? '', ['-X', '-At', '-v', 'ON_ERROR_STOP=0', ...args], stage.environment(login), commands);

/** The same commands straight on the server, as the account that the analyst gets. */
const direct = (commands: string): Promise<Done> => {
  const { user, password } = stage.analyst.account;
  const env = { ...stage.environment(stage.analyst), PGPORT: String(stage.server.port), PGUSER: user, PGPASSWORD: password };
  return run(client.path ?? '', ['-X', '-At'], env, commands);
};

test('a select shows the last four digits and nothing of the CVV', options, async () => {
  const { code, stdout, stderr } = await psql(stage.analyst, 'select id, pan, cvv, holder from cards order by id limit 20;');
  assert.equal(stderr, '');
  assert.equal(code, 0);
  const rows = stdout.trim().split('\n');
  assert.equal(rows.length, 20);
  rows.forEach((row, i) => {
    const card = stage.seeded.cards[i];
    assert.ok(card !== undefined);
    assert.equal(row, `${card.id}|${'*'.repeat(card.pan.length - 4)}${card.pan.slice(-4)}|${'*'.repeat(card.cvv.length)}|${card.holder}`);
  });
});

test('a number typed where none belongs is masked by its pattern', options, async () => {
  const { stdout } = await psql(stage.analyst, "select note from orders where note like 'paid by phone%' order by id limit 1;");
  assert.match(stdout, /^paid by phone, card \*+\d{4}\n$/);
});

test('a statement past the limit is told so, however much of it is still on its way', options, async () => {
  for (const sslmode of ['disable', 'require']) {
    const environment = { ...stage.environment(stage.analyst), PGSSLMODE: sslmode };
    const { stderr } = await run(client.path ?? '', ['-X', '-At'], environment, `select length('${'a'.repeat(9 << 20)}');\n`);
    assert.match(
      stderr,
      /^FATAL: {2}statement of 943\d{4} bytes is longer than the gateway takes\nHINT: {2}the limit is 8MB, limits.statement_bytes/,
    );
    assert.doesNotMatch(stderr, /unexpectedly.*unexpectedly|could not send/s);
  }
});

test('a password past all limits is answered, not reset', options, async () => {
  for (const sslmode of ['disable', 'require']) {
    const environment = { ...stage.environment(stage.analyst), PGSSLMODE: sslmode, PGPASSWORD: 'a'.repeat(60_000) };
    const { stderr } = await run(client.path ?? '', ['-X', '-At', '-c', 'select 1'], environment, '');
    assert.match(stderr, /FATAL: {2}expected a password message/);
  }
});

test('the describe commands work', options, async () => {
  const commands = [
    '\\d',
    '\\d+',
    '\\d cards',
    '\\d+ cards',
    '\\d payments',
    '\\d+ payments',
    '\\dt',
    '\\dt+',
    '\\di',
    '\\dv',
    '\\dn',
    '\\dn+',
    '\\du',
    '\\df',
    '\\df+',
    '\\dp',
    '\\l',
    '\\dT',
    '\\dx',
    '\\ds',
    '\\dm',
    '\\db',
    '\\dC',
    '\\dd',
    '\\ddp',
    '\\des',
    '\\dE',
    '\\dF',
    '\\dL',
    '\\do',
    '\\dO',
    '\\drds',
    '\\dy',
    '\\conninfo',
    '\\sv payments',
  ];
  for (const command of commands) {
    const [through, straight] = await Promise.all([psql(stage.analyst, `${command}\n`), direct(`${command}\n`)]);
    // Errors too: this psql may be older than the server and ask for columns that are gone.
    assert.equal(through.stderr, straight.stderr, command);
    if (!['\\conninfo', '\\dL'].includes(command)) assert.equal(through.stdout, straight.stdout, command);
  }
  const { stdout } = await psql(stage.analyst, '\\d cards\n');
  assert.match(stdout, /^pan\|text\|\|not null\|$/m);
});

test('\\copy brings rows out masked, and in as they are', options, async () => {
  const file = join(stage.gateway.dir, 'cards.csv');
  const out = await psql(stage.analyst, `\\copy (select id, pan, cvv from cards order by id) to '${file}' csv header\n`);
  assert.equal(out.stderr, '');
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  assert.equal(lines[0], 'id,pan,cvv');
  assert.equal(lines.length, 1 + stage.seeded.cards.length);
  assertNoCard(lines.join('\n'), stage.seeded, 'the copied file');
  const card = stage.seeded.cards[0];
  assert.ok(card !== undefined);
  const source = join(stage.gateway.dir, 'notes.tsv');
  writeFileSync(source, `1\tfirst\n2\tcard ${card.pan}\n`);
  const into = await psql(stage.developer, `\\copy notes from '${source}'\n`);
  assert.equal(into.stderr, '');
  assert.deepEqual((await stage.server.sql('select body from notes order by id', 'payments'))[0]?.rows, [
    { body: 'first' },
    { body: `card ${card.pan}` },
  ]);
});

for (const format of ['text', 'csv', 'binary'] as const) {
  test(`COPY TO STDOUT in ${format} format is masked`, options, async () => {
    const { stdout, stderr, code } = await psql(stage.analyst, `copy cards to stdout (format ${format});`);
    assert.equal(stderr, '');
    assert.equal(code, 0);
    assertNoCard(stdout, stage.seeded, 'the copy');
    assert.ok(stdout.length > stage.seeded.cards.length * 30, 'the copy came whole');
  });
}

test('COPY keeps its line count and its unprotected columns', options, async () => {
  const { stdout } = await psql(stage.analyst, 'copy (select id, pan, holder from cards order by id) to stdout;');
  const rows = stdout
    .trim()
    .split('\n')
    .map((line) => line.split('\t'));
  assert.deepEqual(
    rows,
    stage.seeded.cards.map((card) => [String(card.id), `${'*'.repeat(card.pan.length - 4)}${card.pan.slice(-4)}`, card.holder]),
  );
});

test('an error whose DETAIL quotes a card number comes masked', options, async () => {
  const { stderr } = await psql(
    stage.developer,
    'insert into cards select 0, customer_id, brand, pan, expiry, cvv, holder from cards where id = 7;',
  );
  assert.match(stderr, /duplicate key value violates unique constraint "cards_pan_key"/);
  const last = stage.seeded.cards[6]?.pan.slice(-4) ?? '';
  assert.match(stderr, new RegExp(`DETAIL: {2}Key \\(pan\\)=\\(\\*+${last}\\) already exists\\.`));
  assertNoCard(stderr, stage.seeded, 'the error');
});

test('a blocked statement is an error that says why, and the session goes on', options, async () => {
  const { stdout, stderr, code } = await psql(stage.developer, 'drop table cards;\nselect count(*) from cards;\n');
  assert.equal(code, 0);
  assert.match(stderr, /ERROR: {2}denied: drop on cards is forbidden by policy destructive\.drop\n/);
  assert.match(stderr, /HINT: {2}ask whoever runs/);
  assert.equal(stdout.trim(), String(stage.seeded.cards.length));
});

test('transactions, errors in them and \\gdesc behave as without the gateway', options, async () => {
  const commands = 'begin;\nselect 1/0;\nselect 1;\nrollback;\nselect 2;\nselect id, pan from cards \\gdesc\nselect 1\\; select 3;\n';
  const through = await psql(stage.analyst, commands);
  assert.deepEqual(through, await direct(commands));
});

test('psql logs in over TLS, by SSLRequest', options, async () => {
  const done = await run(client.path ?? '', ['-X', '-At', '-c', 'select pan from cards where id = 1'], {
    ...stage.environment(stage.analyst),
    PGSSLMODE: 'require',
  });
  assert.equal(done.stderr, '');
  assert.match(done.stdout, /^\*+\d{4}\n$/);
});

test('the record verifies and holds no card number', options, async () => {
  const verified = stage.gateway.sluice('verify', stage.gateway.recordDir);
  assert.equal(verified.status, 0, verified.stderr + verified.stdout);
  assertNoCard(recordedBytes(stage.gateway.recordDir), stage.seeded, 'the record');
  assertNoCard(stage.gateway.log(), stage.seeded, 'the log');
});
