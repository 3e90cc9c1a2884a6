/** Encodes frontend and decodes backend messages of the PostgreSQL protocol, version 3 (chapter 54 of its manual). */

export interface Field {
  readonly name: string;
  readonly table: number;
  readonly attribute: number;
  readonly type: number;
  readonly format: number;
}

/** A backend message. `raw` is every byte of it, type and length included; `body` what follows the length. */
export interface Message {
  readonly type: string;
  readonly name: string;
  readonly raw: Buffer;
  readonly body: Buffer;
  /** Of RowDescription. */
  readonly fields: readonly Field[];
  /** Of DataRow. */
  readonly values: readonly (Buffer | null)[];
  /** Of ErrorResponse and NoticeResponse, by their letters. */
  readonly error: Record<string, string>;
  /** Of CommandComplete. */
  readonly tag: string;
  /** Of ParameterStatus. */
  readonly parameter: readonly [string, string];
}

const names: Readonly<Record<string, string>> = {
  R: 'Authentication',
  K: 'BackendKeyData',
  S: 'ParameterStatus',
  Z: 'ReadyForQuery',
  T: 'RowDescription',
  D: 'DataRow',
  C: 'CommandComplete',
  E: 'ErrorResponse',
  N: 'NoticeResponse',
  A: 'NotificationResponse',
  I: 'EmptyQueryResponse',
  s: 'PortalSuspended',
  1: 'ParseComplete',
  2: 'BindComplete',
  3: 'CloseComplete',
  t: 'ParameterDescription',
  n: 'NoData',
  G: 'CopyInResponse',
  H: 'CopyOutResponse',
  W: 'CopyBothResponse',
  d: 'CopyData',
  c: 'CopyDone',
  v: 'NegotiateProtocolVersion',
  V: 'FunctionCallResponse',
};

export function decode(raw: Buffer): Message {
  const type = String.fromCharCode(raw.readUInt8(0));
  const body = raw.subarray(5);
  const name = names[type] ?? `unknown ${JSON.stringify(type)}`;
  return {
    type,
    name,
    raw,
    body,
    fields: type === 'T' ? rowDescription(body) : [],
    values: type === 'D' ? dataRow(body) : [],
    error: type === 'E' || type === 'N' ? errorFields(body) : {},
    tag: type === 'C' ? body.toString('utf8', 0, body.length - 1) : '',
    parameter: type === 'S' ? pair(body) : ['', ''],
  };
}

function rowDescription(body: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    const end = body.indexOf(0, at);
    fields.push({
      name: body.toString('utf8', at, end),
      table: body.readUInt32BE(end + 1),
      attribute: body.readInt16BE(end + 5),
      type: body.readUInt32BE(end + 7),
      format: body.readInt16BE(end + 17),
    });
    at = end + 19;
  }
  return fields;
}

function dataRow(body: Buffer): (Buffer | null)[] {
  const values: (Buffer | null)[] = [];
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    const length = body.readInt32BE(at);
    at += 4;
    values.push(length < 0 ? null : body.subarray(at, at + length));
    at += Math.max(length, 0);
  }
  return values;
}

function errorFields(body: Buffer): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const part of body.toString('utf8').split('\0')) {
    if (part !== '') fields[part.charAt(0)] = part.slice(1);
  }
  return fields;
}

function pair(body: Buffer): [string, string] {
  const [name = '', value = ''] = body.toString('utf8').split('\0');
  return [name, value];
}

// ---------------------------------------------------------------- frontend

const int16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
};
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const text = (value: string): Buffer => Buffer.from(`${value}\0`);
const untyped = (...parts: readonly Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([int32(body.length + 4), body]);
};

/** Any typed message, for those that only a hostile client sends. */
export function message(type: string, ...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from(type, 'latin1'), untyped(...parts)]);
}

export const encode = {
  sslRequest: (): Buffer => untyped(int32(80877103)),
  gssEncRequest: (): Buffer => untyped(int32(80877104)),
  cancelRequest: (pid: number, key: Uint8Array): Buffer => untyped(int32(80877102), int32(pid), key),
  startup: (parameters: Readonly<Record<string, string>>, version = { major: 3, minor: 0 }): Buffer =>
    untyped(
      int16(version.major),
      int16(version.minor),
      ...Object.entries(parameters).flatMap(([name, value]) => [text(name), text(value)]),
      Buffer.alloc(1),
    ),
  password: (value: string): Buffer => message('p', text(value)),
  saslInitial: (mechanism: string, response: string): Buffer => {
    const bytes = Buffer.from(response);
    return message('p', text(mechanism), int32(bytes.length), bytes);
  },
  saslResponse: (response: string): Buffer => message('p', Buffer.from(response)),
  query: (sql: string): Buffer => message('Q', text(sql)),
  parse: (options: { readonly name?: string; readonly text: string; readonly types?: readonly number[] }): Buffer =>
    message('P', text(options.name ?? ''), text(options.text), int16(options.types?.length ?? 0), ...(options.types ?? []).map(int32)),
  bind: (
    options: {
      readonly portal?: string;
      readonly statement?: string;
      readonly formats?: readonly number[];
      readonly values?: readonly (string | Uint8Array | null)[];
      readonly resultFormats?: readonly number[];
    } = {},
  ): Buffer => {
    const { formats = [], values = [], resultFormats = [] } = options;
    const bound = values.flatMap((value) => {
      if (value === null) return [int32(-1)];
      const bytes = typeof value === 'string' ? Buffer.from(value) : value;
      return [int32(bytes.length), bytes];
    });
    return message(
      'B',
      text(options.portal ?? ''),
      text(options.statement ?? ''),
      int16(formats.length),
      ...formats.map(int16),
      int16(values.length),
      ...bound,
      int16(resultFormats.length),
      ...resultFormats.map(int16),
    );
  },
  describe: (kind: 'S' | 'P', name: string): Buffer => message('D', Buffer.from(kind), text(name)),
  execute: (portal = '', rows = 0): Buffer => message('E', text(portal), int32(rows)),
  close: (kind: 'S' | 'P', name: string): Buffer => message('C', Buffer.from(kind), text(name)),
  sync: (): Buffer => message('S'),
  flush: (): Buffer => message('H'),
  copyData: (data: string | Uint8Array): Buffer => message('d', typeof data === 'string' ? Buffer.from(data) : data),
  copyDone: (): Buffer => message('c'),
  copyFail: (reason: string): Buffer => message('f', text(reason)),
  functionCall: (oid: number): Buffer => message('F', int32(oid), int16(0), int16(0), int16(0)),
  terminate: (): Buffer => message('X'),
};
