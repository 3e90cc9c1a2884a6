import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { ByteReader } from './byte-reader.ts';

const pair = (): { stream: PassThrough; reader: ByteReader } => {
  const stream = new PassThrough();
  return { stream, reader: new ByteReader(stream as unknown as Socket) };
};

test('reads exact numbers of bytes, however they come', async () => {
  const { stream, reader } = pair();
  const first = reader.read(3);
  stream.write('a');
  stream.write('bcde');
  assert.equal((await first).toString(), 'abc');
  assert.equal((await reader.read(1)).toString(), 'd');
  const rest = reader.read(3);
  stream.write('fg');
  assert.equal((await rest).toString(), 'efg');
});

test('peek takes nothing, and what is not read is handed over', async () => {
  const { stream, reader } = pair();
  stream.write('abcdef');
  assert.equal((await reader.peek(2)).toString(), 'ab');
  assert.equal((await reader.read(3)).toString(), 'abc');
  assert.equal(reader.detach().toString(), 'def');
});

test('a peer that leaves, and a reader that is aborted, make reading fail', async () => {
  const gone = pair();
  const pending = gone.reader.read(1);
  gone.stream.end();
  await assert.rejects(pending, /closed by peer/);
  await assert.rejects(gone.reader.read(1), /closed by peer/);
  const late = pair();
  const waiting = late.reader.read(1);
  late.reader.abort(new Error('too late'));
  await assert.rejects(waiting, /too late/);
});

test('what nobody waits for stays with the system', async () => {
  const { stream, reader } = pair();
  const one = reader.read(1);
  stream.write('ab');
  await one;
  assert.equal(stream.isPaused(), true);
});
