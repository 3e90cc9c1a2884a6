/** Structured log: one JSON object a line. Messages are constants, facts are fields; never a payload, never a secret. */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

export type LogFields = Readonly<Record<string, unknown>>;

export interface LogOptions {
  /** Takes one line, newline included. */
  readonly write: (line: string) => void;
  /** Least level written; default `info`. */
  readonly level?: LogLevel;
  /** ms since the epoch; default Date.now. */
  readonly clock?: () => number;
}

export class Log {
  readonly #write: (line: string) => void;
  readonly #least: number;
  readonly #clock: () => number;
  readonly #bound: LogFields;

  constructor(options: LogOptions, bound: LogFields = {}) {
    this.#write = options.write;
    this.#least = logLevels.indexOf(options.level ?? 'info');
    this.#clock = options.clock ?? Date.now;
    this.#bound = bound;
  }

  /** A log whose lines all carry these fields. */
  with(fields: LogFields): Log {
    return new Log({ write: this.#write, level: logLevels[this.#least] ?? 'info', clock: this.#clock }, { ...this.#bound, ...fields });
  }

  debug(message: string, fields?: LogFields): void {
    this.#line('debug', message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#line('info', message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#line('warn', message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.#line('error', message, fields);
  }

  #line(level: LogLevel, msg: string, fields: LogFields = {}): void {
    if (logLevels.indexOf(level) < this.#least) return;
    // The fixed members come first and cannot be overwritten by fields.
    const fixed = { t: new Date(this.#clock()).toISOString(), level, msg };
    this.#write(`${JSON.stringify({ ...fixed, ...this.#bound, ...fields, ...fixed }, plain)}\n`);
  }
}

/** What JSON has no form for: errors as code and message (never a stack, which may quote data), big integers as text. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (!(value instanceof Error)) return value;
  const code = (value as { code?: unknown }).code;
  return typeof code === 'string' ? { code, message: value.message } : { message: value.message };
}
