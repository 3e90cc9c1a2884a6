/** The untyped packets a connection begins with (PostgreSQL documentation, "Message Flow", start-up). */

export const PROTOCOL_3_0 = 0x0003_0000;
export const PROTOCOL_3_2 = 0x0003_0002;
const SSL_REQUEST = 80_877_103;
const GSSENC_REQUEST = 80_877_104;
const CANCEL_REQUEST = 80_877_102;

/** PostgreSQL's own MAX_STARTUP_PACKET_LENGTH: more is refused before any memory is set aside for it. */
export const MAX_STARTUP_BYTES = 10_000;

export type StartupPacket =
  | { readonly kind: 'ssl' }
  | { readonly kind: 'gssenc' }
  | { readonly kind: 'cancel'; readonly pid: number; readonly secret: Buffer }
  | { readonly kind: 'startup'; readonly version: number; readonly parameters: ReadonlyMap<string, string> }
  | { readonly kind: 'invalid'; readonly message: string };

/** Bytes of the packet whose length field is at `at`, or -1 when it cannot be a start-up packet. */
export function startupLength(bytes: Buffer, at: number): number {
  const length = bytes.readUInt32BE(at);
  return length < 8 || length > MAX_STARTUP_BYTES ? -1 : length;
}

/** Decodes one whole packet, length field included. */
export function parseStartup(packet: Buffer): StartupPacket {
  const code = packet.readUInt32BE(4);
  if (code === SSL_REQUEST && packet.length === 8) return { kind: 'ssl' };
  if (code === GSSENC_REQUEST && packet.length === 8) return { kind: 'gssenc' };
  if (code === CANCEL_REQUEST) {
    // 3.0 keys are 4 bytes, 3.2 allows up to 256.
    if (packet.length < 16 || packet.length > 12 + 256) return { kind: 'invalid', message: 'invalid length of cancel request' };
    return { kind: 'cancel', pid: packet.readUInt32BE(8), secret: Buffer.from(packet.subarray(12)) };
  }
  if (code >>> 16 !== 3) {
    return { kind: 'invalid', message: `unsupported frontend protocol ${code >>> 16}.${code & 0xffff}: server supports 3.0 to 3.2` };
  }
  const parameters = new Map<string, string>();
  let at = 8;
  for (;;) {
    if (at >= packet.length) return { kind: 'invalid', message: 'invalid startup packet layout: expected terminator as last byte' };
    if (packet[at] === 0) break;
    const nameEnd = packet.indexOf(0, at);
    const valueEnd = nameEnd === -1 ? -1 : packet.indexOf(0, nameEnd + 1);
    if (valueEnd === -1) return { kind: 'invalid', message: 'invalid startup packet layout: expected terminator as last byte' };
    parameters.set(packet.toString('utf8', at, nameEnd), packet.toString('utf8', nameEnd + 1, valueEnd));
    at = valueEnd + 1;
  }
  if (at !== packet.length - 1) return { kind: 'invalid', message: 'invalid startup packet layout: expected terminator as last byte' };
  return { kind: 'startup', version: code, parameters };
}

export function sslRequest(): Buffer {
  const out = Buffer.allocUnsafe(8);
  out.writeUInt32BE(8, 0);
  out.writeUInt32BE(SSL_REQUEST, 4);
  return out;
}

export function cancelRequest(pid: number, secret: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(12 + secret.length);
  out.writeUInt32BE(out.length, 0);
  out.writeUInt32BE(CANCEL_REQUEST, 4);
  out.writeUInt32BE(pid, 8);
  out.set(secret, 12);
  return out;
}

export function startupMessage(version: number, parameters: ReadonlyMap<string, string>): Buffer {
  let body = '';
  for (const [name, value] of parameters) body += `${name}\0${value}\0`;
  const bytes = Buffer.from(`${body}\0`, 'utf8');
  const out = Buffer.allocUnsafe(8 + bytes.length);
  out.writeUInt32BE(out.length, 0);
  out.writeUInt32BE(version, 4);
  out.set(bytes, 8);
  return out;
}
