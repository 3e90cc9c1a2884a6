import type { ParseArgsOptionsConfig } from 'node:util';

/** What a command may touch of the process, so that tests can stand in for it. */
export interface Io {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** ms since the epoch. */
  readonly now: () => number;
  /** Resolves when the process is asked to end. */
  readonly stopped: () => Promise<void>;
  /** Calls `fn` when the process is asked to read its files anew (SIGHUP), which then no longer ends it. */
  readonly onReload?: (fn: () => void) => void;
}

/** 0: done. 1: failed, the reason is on stderr. 2: called wrongly. 3: people said no. 4: nobody said anything in time. */
export type ExitCode = 0 | 1 | 2 | 3 | 4;

export interface Command {
  /** e.g. `token issue`. */
  readonly name: string;
  readonly summary: string;
  /** What follows the name, e.g. `--config FILE --user U`. */
  readonly usage: string;
  readonly options: ParseArgsOptionsConfig;
  /** Explains each option, one line each. */
  readonly details: string;
  /** How many words may follow the options. */
  readonly positionals?: { readonly min: number; readonly max: number };
  run(args: Arguments, io: Io): Promise<ExitCode>;
}

/** Called wrongly: the message and the usage go to stderr, the exit code is 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The parsed command line. */
export class Arguments {
  readonly words: readonly string[];
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>, words: readonly string[]) {
    this.#values = values;
    this.words = words;
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === 'string' ? value : undefined;
  }

  required(name: string): string {
    const value = this.text(name);
    if (value === undefined || value === '') throw new UsageError(`--${name} is missing`);
    return value;
  }

  list(name: string): readonly string[] {
    const value = this.#values[name];
    return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
  }
}
