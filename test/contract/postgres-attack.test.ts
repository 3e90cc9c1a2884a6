import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { recordedBytes, type Stage, startStage } from '../support/stage.ts';
import { encode } from '../support/wire-messages.ts';

/** Values of protected columns that no pattern finds, on the ways around the plain SELECT. */
const SECRET = 'SECRETX9';
const setup = `
create table vault (id int primary key, cvv text, brand text);
insert into vault select i, '${SECRET}', 'visa' from generate_series(1, 3) i;
create table plain (id int, label text, note text);
insert into plain values (1, 'open', 'n');
grant select, insert, update on vault, plain to app_rw;
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
