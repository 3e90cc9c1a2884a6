import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { type Stage, startStage } from '../support/stage.ts';
import { encode } from '../support/wire-messages.ts';

/** A peer that is slow, or says more than anybody takes, slows itself: not the others, and not the memory of the gateway. */
let stage: Stage;
before(async () => {
  stage = await startStage({ setup: 'create table sink (body text); grant select, insert on sink to app_rw' });
});
after(() => stage.stop());

const MB = 1024 * 1024;

/** Resident memory of the gateway, bytes. */
function resident(): number {
  const found = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${stage.gateway.pid}/status`, 'utf8'));
  return Number(found?.[1]) * 1024;
}

test('a client that does not read holds up neither memory nor the others', async () => {
  const before = resident();
  const slow = await stage.connect(stage.analyst);
  slow.socket.pause();
  slow.send(encode.query("select i, repeat('x', 1000) from generate_series(1, 400000) i"));
  const other = await stage.connect(stage.analyst);
  // The server's backend waits to write: everything between has filled up.
  for (;;) {
    const [result] = await stage.server.sql("select from pg_stat_activity where query like '%400000) i' and wait_event = 'ClientWrite'");
    if (result?.rowCount === 1) break;
    assert.deepEqual((await other.query('select 1')).rows, [['1']]);
  }
  assert.ok(resident() - before < 150 * MB, `${Math.round((resident() - before) / MB)} MB more than before`);
  for (let i = 0; i < 50; i++) assert.deepEqual((await other.query(`select ${i}`)).rows, [[String(i)]]);
  await other.end();

  // And when it reads on, it misses nothing.
  let bytes = 0;
  slow.socket.removeAllListeners('data');
  await new Promise<void>((resolve) => {
    let tail = Buffer.alloc(0);
    slow.socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      tail = Buffer.concat([tail, chunk]).subarray(-64);
      if (tail.includes('SELECT 400000\0')) resolve();
    });
    slow.socket.resume();
  });
  assert.ok(bytes > 400_000 * 1000, `${bytes} bytes came`);
  assert.ok(resident() - before < 250 * MB);
  slow.destroy();
});

test('a client that sends a pipeline without reading any reply is held up, and then served whole', async () => {
  const before = resident();
  const wire = await stage.connect(stage.analyst);
  wire.socket.pause();
  const one = Buffer.concat([encode.parse({ text: "select repeat('y', 20000)" }), encode.bind(), encode.execute(), encode.sync()]);
  const count = 3000;
  for (let i = 0; i < count; i += 500) wire.send(...Array.from({ length: 500 }, () => one));
  const other = await stage.connect(stage.analyst);
  for (let i = 0; i < 50; i++) assert.deepEqual((await other.query(`select ${i}`)).rows, [[String(i)]]);
  await other.end();
  assert.ok(resident() - before < 200 * MB, `${Math.round((resident() - before) / MB)} MB more than before`);
  wire.socket.resume();
  for (let i = 0; i < count; i++) {
    const { tags, status } = await wire.cycle();
    if (tags[0] !== 'SELECT 1' || status !== 'I') assert.fail(`reply ${i}: ${tags.join()} ${status}`);
  }
  await wire.end();
});

test('a COPY in of 100 MB passes in bounded memory', async () => {
  const before = resident();
  const wire = await stage.connect(stage.developer);
  wire.send(encode.query('copy sink from stdin'));
  assert.equal((await wire.next()).name, 'CopyInResponse');
  const row = encode.copyData(`${'z'.repeat(9999)}\n`);
  const block = Buffer.concat(Array.from({ length: 100 }, () => row));
  let most = 0;
  for (let i = 0; i < 100; i++) {
    if (!wire.socket.write(block)) await new Promise<void>((resolve) => wire.socket.once('drain', () => resolve()));
    most = Math.max(most, resident());
  }
  wire.send(encode.copyDone());
  assert.deepEqual((await wire.cycle()).tags, ['COPY 10000']);
  assert.ok(most - before < 200 * MB, `${Math.round((most - before) / MB)} MB more than before`);
  await wire.end();
});

test('a message of the largest size that is taken passes, one byte more is refused', async () => {
  const wire = await stage.connect(stage.analyst);
  const text = `select length('${'a'.repeat(7 * MB)}')`;
  assert.deepEqual((await wire.query(text)).rows, [[String(7 * MB)]]);
  const over = await wire.query(`select '${'a'.repeat(8 * MB)}'`);
  assert.equal(over.errors[0]?.['C'], '54000');
});
