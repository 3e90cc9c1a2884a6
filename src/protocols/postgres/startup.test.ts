import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cancelRequest, MAX_STARTUP_BYTES, PROTOCOL_3_0, parseStartup, sslRequest, startupLength, startupMessage } from './startup.ts';

test('a start-up packet reads back as it was written', () => {
  const text = fc.string().filter((value) => !value.includes('\0') && Buffer.from(value).toString() === value);
  fc.assert(
    fc.property(
      fc.dictionary(
        text.filter((name) => name !== ''),
        text,
      ),
      (parameters) => {
        const packet = startupMessage(PROTOCOL_3_0, new Map(Object.entries(parameters)));
        assert.equal(startupLength(packet, 0), packet.length > MAX_STARTUP_BYTES ? -1 : packet.length);
        assert.deepEqual(parseStartup(packet), { kind: 'startup', version: PROTOCOL_3_0, parameters: new Map(Object.entries(parameters)) });
      },
    ),
  );
});

test('whatever bytes come, the answer is a packet or a refusal', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 4, maxLength: 400 }), (body) => {
      const packet = Buffer.concat([Buffer.alloc(4), body]);
      packet.writeUInt32BE(packet.length, 0);
      assert.ok(['startup', 'ssl', 'gssenc', 'cancel', 'invalid'].includes(parseStartup(packet).kind));
    }),
  );
});

test('lengths that no start-up packet can have are refused before any of it is read', () => {
  for (const length of [0, 4, 7, MAX_STARTUP_BYTES + 1, 0x4000_0000, 0xffff_ffff]) {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(length, 0);
    assert.equal(startupLength(bytes, 0), -1, String(length));
  }
});

test('cancel requests carry keys of 4 to 256 bytes', () => {
  for (const bytes of [4, 32, 256]) {
    const secret = Buffer.alloc(bytes, 7);
    assert.deepEqual(parseStartup(cancelRequest(12, secret)), { kind: 'cancel', pid: 12, secret });
  }
  for (const bytes of [0, 3, 257]) assert.equal(parseStartup(cancelRequest(12, Buffer.alloc(bytes))).kind, 'invalid');
});

test('a request for TLS has nothing behind its code', () => {
  assert.equal(parseStartup(sslRequest()).kind, 'ssl');
  assert.equal(parseStartup(Buffer.concat([sslRequest(), Buffer.alloc(1)])).kind, 'invalid');
});
