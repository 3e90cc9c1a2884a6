import { GatewayError } from '../../errors.ts';
import { Back, parseErrorFields } from './messages.ts';

/** A query of the gateway's own, answered by a target that may send anything: nothing it sends is kept beyond these. */
export interface ReplyLimits {
  /** Bytes of one message, its length field included: the definition of a view is the longest that is asked for. */
  readonly message: number;
  /** Bytes of one reply. */
  readonly bytes: number;
  readonly rows: number;
}

/** Enough for half a million columns, which is more than servers bear. */
export const REPLY_LIMITS: ReplyLimits = { message: 8 * 1024 * 1024, bytes: 64 * 1024 * 1024, rows: 1_000_000 };

/** Pieces of a message that are kept apart before they are put together. */
const MAX_PIECES = 256;

export type Row = (string | null)[];

/** What a query came to: its rows, or the server's own error. */
export type Reply = { readonly rows: Row[]; readonly error: null } | { readonly rows: null; readonly error: string };

/** Takes replies to simple queries apart, one query at a time. Throws a GatewayError when the target breaks the protocol or a limit. */
export class ReplyReader {
  readonly #limits: ReplyLimits;
  #pieces: Buffer[] = [];
  #have = 0;
  /** Bytes without which the next message is not complete. */
  #need = 5;
  #asked = false;
  #rows: Row[] = [];
  #bytes = 0;
  #error: string | null = null;

  constructor(limits: ReplyLimits = REPLY_LIMITS) {
    this.#limits = limits;
  }

  /** A query is sent: what comes now is its reply. */
  begin(): void {
    this.#asked = true;
    this.#rows = [];
    this.#bytes = 0;
    this.#error = null;
  }

  /** Takes what was read. The reply, when this has completed it. */
  take(chunk: Buffer): Reply | null {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#limits.bytes) throw broken(`more than ${this.#limits.bytes} bytes`);
    this.#pieces.push(chunk);
    this.#have += chunk.length;
    if (this.#have < this.#need) {
      if (this.#pieces.length > MAX_PIECES) this.#pieces = [Buffer.concat(this.#pieces)];
      return null;
    }
    const bytes = this.#pieces.length === 1 ? chunk : Buffer.concat(this.#pieces);
    let at = 0;
    let reply: Reply | null = null;
    this.#need = 5;
    while (bytes.length - at >= 5) {
      const length = bytes.readUInt32BE(at + 1);
      if (length < 4 || length > this.#limits.message) throw broken(`a message of ${length} bytes`);
      if (bytes.length - at < 1 + length) {
        this.#need = 1 + length;
        break;
      }
      reply = this.#message(bytes[at] ?? 0, bytes, at + 5, at + 1 + length) ?? reply;
      at += 1 + length;
    }
    // A copy: the rest of a large read must not keep all of it alive.
    this.#pieces = at === bytes.length ? [] : [Buffer.from(bytes.subarray(at))];
    this.#have = bytes.length - at;
    return reply;
  }

  #message(type: number, bytes: Buffer, from: number, to: number): Reply | null {
    switch (type) {
      // At any time, and nothing to the point.
      case Back.ParameterStatus:
      case Back.NoticeResponse:
      case Back.NotificationResponse:
        return null;
      case Back.ErrorResponse:
        this.#error ??= parseErrorFields(bytes, from, to).get('M') ?? 'unknown error';
        return null;
    }
    if (!this.#asked) throw broken(`a message of type ${type} that answers nothing`);
    switch (type) {
      case Back.RowDescription:
      case Back.CommandComplete:
      case Back.EmptyQueryResponse:
        return null;
      case Back.DataRow:
        if (this.#rows.length >= this.#limits.rows) throw broken(`more than ${this.#limits.rows} rows`);
        this.#rows.push(row(bytes, from, to));
        return null;
      case Back.ReadyForQuery: {
        const reply: Reply = this.#error === null ? { rows: this.#rows, error: null } : { rows: null, error: this.#error };
        this.#asked = false;
        this.#rows = [];
        this.#bytes = 0;
        return reply;
      }
      default:
        throw broken(`a message of type ${type}`);
    }
  }
}

function row(bytes: Buffer, from: number, to: number): Row {
  let at = from + 2;
  const values: Row = [];
  if (at > to) throw broken('a row that is cut short');
  for (let left = bytes.readUInt16BE(from); left > 0; left--) {
    if (at + 4 > to) throw broken('a row that is cut short');
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length === -1) {
      values.push(null);
      continue;
    }
    if (length < 0 || at + length > to) throw broken('a value that is cut short');
    values.push(bytes.toString('utf8', at, at + length));
    at += length;
  }
  return values;
}

function broken(what: string): GatewayError {
  return new GatewayError({
    code: 'upstream_protocol',
    source: 'upstream',
    phase: 'classify',
    publicMessage: 'what the target says of its catalog cannot be taken',
    cause: new Error(`the target sent ${what}`),
  });
}
