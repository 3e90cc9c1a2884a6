import assert from 'node:assert/strict';
import { test } from 'node:test';

import { renderMessages } from './render.ts';

function message(type: string, ...parts: (string | Buffer)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const head = Buffer.alloc(5, type);
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}
const int32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(n);
  return bytes;
};
const column = (name: string): Buffer => Buffer.concat([Buffer.from(`${name}\0`), Buffer.alloc(18, 1)]);
const sized = (bytes: string | Buffer): Buffer => Buffer.concat([int32(Buffer.byteLength(bytes)), Buffer.from(bytes)]);

test('rows, tags, errors, copies and notifications are lines', () => {
  const run = Buffer.concat([
    message('1'),
    message('T', '\0\x02', column('id'), column('holder')),
    message('D', '\0\x02', sized('7'), sized('Zoë')),
    message('D', '\0\x02', int32(-1), sized(Buffer.from([0, 255]))),
    message('C', 'SELECT 2\0'),
    message('E', 'SERROR\0VERROR\0C42501\0Mdenied\0Hask\0\0'),
    message('d', '1\tx\n'),
    message('A', int32(9), 'jobs\0run\0'),
    message('Z', 'I'),
  ]);
  assert.equal(
    renderMessages(run),
    'id | holder\n7 | Zoë\n(null) | \\x00ff\nSELECT 2\nERROR 42501: denied\nHINT: ask\n1\tx\nnotification on jobs: run\n',
  );
});

test('what is cut off or no message is named by its length', () => {
  const whole = message('C', 'SELECT 1\0');
  for (let cut = 1; cut < whole.length; cut++) assert.equal(renderMessages(whole.subarray(0, cut)), `[${cut} more bytes]\n`);
  assert.equal(renderMessages(Buffer.alloc(9, 255)), '[9 more bytes]\n');
  assert.equal(renderMessages(Buffer.from([68, 0, 0, 0, 0, 1])), '[6 more bytes]\n');
  assert.equal(renderMessages(message('D', '\0\x01', int32(99), 'x')), 'x\n');
  assert.equal(renderMessages(message('T', '\0\x01', 'no end')), 'no end\n');
  assert.equal(renderMessages(Buffer.alloc(0)), '');
});
