import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { recordedBytes, type Stage, startStage } from '../support/stage.ts';
import { encode } from '../support/wire-messages.ts';

/** Values of protected columns that no pattern finds, on the ways around the plain SELECT. */
const SECRET = 'SECRETX9';
const setup = `
create table vault (id int primary key, cvv text, brand text);
insert into vault select i, '${SECRET}', 'visa' from generate_series(1, 3) i;
create table late (id int, track2 text unique deferrable initially deferred);
insert into late values (1, '${SECRET}'), (2, 'y');
create table plain (id int, label text, note text);
insert into plain values (1, 'open', 'n');
grant select, insert, update on vault, plain, late to app_rw;
grant select on vault, plain to app_ro;`;

let stage: Stage;
before(async () => {
  stage = await startStage({ setup });
});
after(() => stage.stop());

const hidden = (messages: readonly { raw: Buffer }[]): void => {
  const text = Buffer.concat(messages.map((message) => message.raw)).toString('latin1');
  assert.ok(!text.toLowerCase().includes(SECRET.toLowerCase()), text);
};

test('each COPY of a text is masked by its own columns', async () => {
  const wire = await stage.connect(stage.analyst);
  for (const text of [
    "copy (select 'a'::text) to stdout; copy (select cvv from vault) to stdout",
    'copy plain (label) to stdout; copy vault (cvv) to stdout (format csv)',
  ]) {
    const cycle = await wire.query(text);
    assert.equal(cycle.tags.length, 2);
    hidden(cycle.messages);
  }
  await wire.end();
});

test('what each COPY of a text takes in is recorded by its own columns', async () => {
  const wire = await stage.connect(stage.developer);
  wire.send(encode.query('copy plain (label) from stdin; copy vault (id, cvv) from stdin'));
  wire.send(encode.copyData('shown\n'), encode.copyDone());
  while ((await wire.next()).name !== 'CopyInResponse');
  while ((await wire.next()).name !== 'CopyInResponse');
  wire.send(encode.copyData('8\tRECORDED7\n'), encode.copyDone());
  assert.equal((await wire.cycle()).status, 'I');
  await wire.end();
  await stage.settledRecord();
  const record = recordedBytes(stage.gateway.recordDir);
  assert.ok(record.includes('shown'));
  assert.ok(!record.includes('RECORDED7'));
});

test('RETURNING shows what was written as what it derives from', async () => {
  const wire = await stage.connect(stage.developer);
  for (const text of [
    'update vault set cvv = v.cvv from vault v where v.id = 1 returning vault.cvv',
    "insert into vault select 7, cvv, 'n' from vault where id = 1 returning *",
    'with u as (update vault set cvv = (select cvv from vault limit 1) where id = 1 returning cvv as label) select label from u',
    'merge into vault p using late v on p.id = v.id when matched then update set cvv = v.track2 returning p.cvv',
    'update vault set cvv = reverse(cvv) where id = 2 returning reverse(cvv)',
  ]) {
    const simple = await wire.query(`begin; ${text}; rollback`);
    assert.deepEqual(simple.errors, []);
    assert.ok(simple.rows.length > 0, text);
    hidden(simple.messages);
    await wire.query('begin');
    hidden((await wire.extended(text)).messages);
    await wire.query('rollback');
    await wire.query('begin');
    await wire.query(`prepare w as ${text}`);
    hidden((await wire.query('execute w')).messages);
    await wire.query('rollback');
    await wire.query('deallocate w');
  }
  const plain = await wire.query("begin; update plain set label = 'other' where id = 1 returning id, label; rollback");
  assert.deepEqual(plain.rows, [['1', 'other']]);
  await wire.end();
});

test('an error that takes a protected value for a name does not quote it', async () => {
  const wire = await stage.connect(stage.analyst);
  for (const expression of [
    "('x' || cvv)::regclass",
    'cvv::regrole',
    'cvv::regtype',
    'cvv::regnamespace',
    'cvv::regconfig',
    "(cvv || '()')::regprocedure",
    "current_setting('x.' || cvv)",
    "to_tsquery('x ' || cvv)",
    "has_table_privilege(cvv, 'select')",
    "has_column_privilege('plain', cvv, 'select')",
    'nextval(cvv)',
  ]) {
    const cycle = await wire.query(`select ${expression} from vault`);
    assert.equal(cycle.errors.length, 1, expression);
    hidden(cycle.messages);
  }
  const typing = await wire.query('select cvw from vault');
  assert.match(typing.errors[0]?.['M'] ?? '', /column "cvw" does not exist/);
  await wire.end();
});

const replaced = {
  execute: [
    'prepare s as select brand as x from vault where id < 4',
    'execute s',
    'deallocate s',
    'prepare s as select cvv as x from vault where id < 4',
  ],
  fetch: [
    'declare s cursor for select brand as x from vault where id < 4',
    'fetch all from s',
    'close s',
    'declare s cursor for select cvv as x from vault where id < 4',
  ],
} as const;
for (const [kind, [first, run, end, second]] of Object.entries(replaced)) {
  test(`what ${kind} runs is masked as what the name stands for when it runs`, async () => {
    const { parse, bind, describe, execute, sync, query } = encode;
    const wire = await stage.connect(stage.analyst);
    await wire.query('begin');
    await wire.query(first);
    wire.send(parse({ text: run }), bind({ portal: 'p' }), describe('P', 'p'), sync());
    await wire.cycle();
    await wire.query(end);
    await wire.query(second);
    wire.send(execute('p'), sync());
    const cycle = await wire.cycle();
    assert.equal(cycle.rows.length, 3);
    hidden(cycle.messages);
    await wire.query('rollback');
    await wire.query('deallocate all');

    // The other way round, with rows left over from before the name was replaced.
    await wire.query('begin');
    await wire.query(second);
    wire.send(parse({ text: run }), bind({ portal: 'p' }), describe('P', 'p'), execute('p', 1), sync());
    wire.send(query(end), query(first), describe('P', 'p'), execute('p'), sync());
    const rest = [await wire.cycle(), await wire.cycle(), await wire.cycle(), await wire.cycle()];
    assert.equal(rest.flatMap((one) => one.rows).length, 3);
    for (const one of rest) hidden(one.messages);
    await wire.end();
  });
}

test('the values of EXECUTE are recorded as those of what it runs', async () => {
  const wire = await stage.connect(stage.developer);
  await wire.query('prepare i (int, text) as insert into vault (id, cvv) values ($1, $2)');
  assert.deepEqual((await wire.query("execute i (20, 'RECORDED8')")).tags, ['INSERT 0 1']);
  await wire.query("execute nowhere ('RECORDED8')");
  await wire.query('prepare j (text) as select $1');
  await wire.query("execute j ('legible')");
  await wire.end();
  await stage.settledRecord();
  const record = recordedBytes(stage.gateway.recordDir);
  assert.ok(!record.includes('RECORDED8'));
  assert.ok(record.includes("execute j ('legible')"));
});

test('card numbers as names or in texts that do not parse reach neither the record nor the client in clear', async () => {
  const { bind, execute, sync } = encode;
  const wire = await stage.connect(stage.developer);
  wire.send(bind({ statement: '4012888888881881' }), sync(), execute('4012888888881881'), sync());
  hiddenNumber([await wire.cycle(), await wire.cycle()].flatMap((cycle) => cycle.messages));
  hiddenNumber((await wire.query('select 4012888888881881 4012888888881881')).messages);
  hiddenNumber((await wire.query("select set_config('4012888888881881', (select cvv from vault limit 1), false)")).messages);
  await wire.end();
  await stage.settledRecord();
  assert.ok(!recordedBytes(stage.gateway.recordDir).includes('4012888888881881'));
});

test('a card number given as a database reaches neither the record nor the log', async () => {
  await assert.rejects(stage.connect(stage.analyst, { database: '4000056655665556' }), /there is no resource/);
  await stage.settledRecord();
  assert.ok(!recordedBytes(stage.gateway.recordDir).includes('4000056655665556'));
  assert.ok(!stage.gateway.log().includes('4000056655665556'));
});

test('a text of very many statements or tables is denied, and holds up nobody', async () => {
  const [wire, other] = await Promise.all([stage.connect(stage.analyst), stage.connect(stage.analyst)]);
  const tables = Array.from({ length: 20_000 }, (_, i) => `a${i}`).join(',');
  for (const text of ['select 1;'.repeat(20_000), `select 1 from ${tables}`]) {
    assert.match((await wire.query(text)).errors[0]?.['M'] ?? '', /more than 10000 statements/);
    assert.deepEqual((await other.query('select 1')).rows, [['1']]);
  }
  await Promise.all([wire.end(), other.end()]);
});

test('a constraint checked at the end of the transaction does not quote the value', async () => {
  const wire = await stage.connect(stage.developer);
  const late = 'update late set track2 = (select track2 from late where id = 1) where id = 2';
  for (const end of ['commit', 'set constraints all immediate']) {
    await wire.query('begin');
    await wire.query(late);
    const cycle = await wire.query(end);
    assert.equal(cycle.errors[0]?.['C'], '23505');
    hidden(cycle.messages);
    await wire.query('rollback');
  }
  const implicit = await wire.extended(late);
  assert.equal(implicit.errors[0]?.['C'], '23505');
  hidden(implicit.messages);
  await wire.end();
});

function hiddenNumber(messages: readonly { raw: Buffer }[]): void {
  assert.ok(!Buffer.concat(messages.map((message) => message.raw)).includes('4012888888881881'));
}
