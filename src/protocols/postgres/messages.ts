import { GatewayError } from '../../errors.ts';

/** Message types of protocol 3 (PostgreSQL documentation, "Message Formats") and the few messages the gateway makes itself. */

export const Front = {
  Bind: 0x42,
  Close: 0x43,
  CopyData: 0x64,
  CopyDone: 0x63,
  CopyFail: 0x66,
  Describe: 0x44,
  Execute: 0x45,
  Flush: 0x48,
  FunctionCall: 0x46,
  Parse: 0x50,
  Password: 0x70,
  Query: 0x51,
  Sync: 0x53,
  Terminate: 0x58,
} as const;

export const Back = {
  Authentication: 0x52,
  BackendKeyData: 0x4b,
  BindComplete: 0x32,
  CloseComplete: 0x33,
  CommandComplete: 0x43,
  CopyBothResponse: 0x57,
  CopyData: 0x64,
  CopyDone: 0x63,
  CopyInResponse: 0x47,
  CopyOutResponse: 0x48,
  DataRow: 0x44,
  EmptyQueryResponse: 0x49,
  ErrorResponse: 0x45,
  FunctionCallResponse: 0x56,
  NegotiateProtocolVersion: 0x76,
  NoData: 0x6e,
  NoticeResponse: 0x4e,
  NotificationResponse: 0x41,
  ParameterDescription: 0x74,
  ParameterStatus: 0x53,
  ParseComplete: 0x31,
  PortalSuspended: 0x73,
  ReadyForQuery: 0x5a,
  RowDescription: 0x54,
} as const;

/** One message: type byte, length, body parts. Strings are written as they are: add the terminating zero where the format has one. */
export function message(type: number, ...parts: readonly (string | Uint8Array)[]): Buffer {
  const bodies = parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'utf8') : part));
  const length = bodies.reduce((sum, body) => sum + body.length, 0);
  const out = Buffer.allocUnsafe(5 + length);
  out[0] = type;
  out.writeInt32BE(4 + length, 1);
  let at = 5;
  for (const body of bodies) {
    out.set(body, at);
    at += body.length;
  }
  return out;
}

export function int32(value: number): Buffer {
  const out = Buffer.allocUnsafe(4);
  out.writeInt32BE(value);
  return out;
}

/** Fields of an ErrorResponse or NoticeResponse by their one-letter codes. */
export interface ErrorFields {
  readonly severity: 'ERROR' | 'FATAL' | 'PANIC' | 'NOTICE' | 'WARNING';
  readonly code: string;
  readonly message: string;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  /** Character of the query, from 1. */
  readonly position?: number | undefined;
}

const clean = (text: string): string => text.replaceAll('\0', ' ');

function fields(type: number, f: ErrorFields): Buffer {
  const parts = [`S${f.severity}\0V${f.severity}\0C${f.code}\0M${clean(f.message)}\0`];
  if (f.detail !== undefined) parts.push(`D${clean(f.detail)}\0`);
  if (f.hint !== undefined && f.hint !== '') parts.push(`H${clean(f.hint)}\0`);
  if (f.position !== undefined) parts.push(`P${f.position}\0`);
  parts.push('\0');
  return message(type, parts.join(''));
}

export const errorResponse = (f: ErrorFields): Buffer => fields(Back.ErrorResponse, f);
export const noticeResponse = (f: ErrorFields): Buffer => fields(Back.NoticeResponse, f);
export const parameterStatus = (name: string, value: string): Buffer => message(Back.ParameterStatus, `${name}\0${value}\0`);
export const authenticationOk = (): Buffer => message(Back.Authentication, int32(0));
export const authenticationCleartextPassword = (): Buffer => message(Back.Authentication, int32(3));
export const describePortal = (name: string): Buffer => message(Front.Describe, `P${name}\0`);
export const terminate = (): Buffer => message(Front.Terminate);

/** Strings up to this length are searched byte by byte: a call out of JavaScript costs more than that. */
const NEAR = 32;

/** Where the zero-terminated string at `at` ends; -1 when it does not end before `limit`. */
export function cstringEnd(bytes: Uint8Array, at: number, limit: number): number {
  const near = Math.min(at + NEAR, limit);
  for (let i = at; i < near; i++) if (bytes[i] === 0) return i;
  if (near === limit) return -1;
  const zero = bytes.indexOf(0, near);
  return zero === -1 || zero >= limit ? -1 : zero;
}

/** Splits the body of an ErrorResponse or NoticeResponse into its fields. */
export function parseErrorFields(bytes: Buffer, from: number, to: number): Map<string, string> {
  const found = new Map<string, string>();
  let at = from;
  while (at < to && bytes[at] !== 0) {
    const code = String.fromCharCode(bytes[at] ?? 0);
    const end = cstringEnd(bytes, at + 1, to);
    if (end === -1) break;
    found.set(code, bytes.toString('utf8', at + 1, end));
    at = end + 1;
  }
  return found;
}

/** The reverse of `parseErrorFields`. */
export function buildErrorFields(type: number, found: ReadonlyMap<string, string>): Buffer {
  let body = '';
  for (const [code, text] of found) body += `${code}${clean(text)}\0`;
  return message(type, `${body}\0`);
}

/** What a whole Describe or Close message of a client names. Throws GatewayError `frame_invalid`. */
export function namedBy(bytes: Buffer, at: number, end: number): string {
  const kind = bytes[at + 5];
  if ((kind === 0x53 || kind === 0x50) && cstringEnd(bytes, at + 6, end) === end - 1) return bytes.toString('utf8', at + 6, end - 1);
  throw new GatewayError({ code: 'frame_invalid', source: 'client', phase: 'frame', publicMessage: 'invalid Describe or Close message' });
}
