import { join } from 'node:path';

import { compileRules, dropRules, maskText, ruleNames } from '../../../native/binding/index.js';
import type { Config } from '../../config/model.ts';
import { recordReading } from '../../recording/reading.ts';
import { VERSION } from '../../session/version.ts';
import { type Arguments, type Command, type Io, UsageError } from '../command.ts';
import { configDetails, configOf, configOption } from '../config-option.ts';

/** Prints what was found: a JSON object a line, or text. */
export class Printer {
  readonly #io: Io;
  readonly #json: boolean;

  constructor(io: Io, json: boolean) {
    this.#io = io;
    this.#json = json;
  }

  one(value: unknown, text: () => string): void {
    this.#io.out(this.#json ? `${JSON.stringify(value)}\n` : text());
  }

  /** Many at once, where their text depends on all of them, e.g. columns. */
  all<T>(values: readonly T[], text: (values: readonly T[]) => string): void {
    if (this.#json) for (const value of values) this.one(value, () => '');
    else this.#io.out(text(values));
  }
}

/** A command that reads the record. */
export interface ReadingCommand extends Pick<Command, 'name' | 'summary' | 'positionals'> {
  /** The words and options beside --config and --json. */
  readonly usage?: string;
  readonly options?: Command['options'];
  /** Explains each of them, one line each. */
  readonly details?: readonly string[];
  /** What is asked for, as the record shall say it. Throws UsageError. */
  asked(args: Arguments): readonly string[];
  /** `record` is the directory of all chains. */
  show(record: string, args: Arguments, print: Printer): void;
}

/** A reading is written to the record before anything is shown: one that cannot be recorded does not happen. */
export function readingCommand(reading: ReadingCommand): Command {
  const { name, summary, positionals, usage = '', options = {}, details = [] } = reading;
  return {
    name,
    summary,
    ...(positionals === undefined ? {} : { positionals }),
    usage: `${usage} --config FILE [--json]`.trimStart(),
    options: { ...configOption, json: { type: 'boolean' }, ...options },
    details: [...details, configDetails, '  --json          one JSON object a line', '', 'Every reading is itself recorded.'].join('\n'),
    async run(args, io) {
      const asked = reading.asked(args);
      const { config } = configOf(args, io);
      await recordReading({
        dataDir: config.gateway.dataDir,
        gateway: config.gateway.name,
        version: VERSION,
        command: name,
        args: masked(config, asked),
      });
      reading.show(join(config.gateway.dataDir, 'record'), args, new Printer(io, args.flag('json')));
      return 0;
    },
  };
}

export const rangeOptions = { since: { type: 'string' }, until: { type: 'string' } } as const;

export const rangeDetails = [
  '  --since T       from this time on (UTC), e.g. 2026-02-28 or 2026-02-28T13:00',
  '  --until T       before this time',
] as const;

/** The options that were given, by the names a query has for them; times are checked. */
export function queryOf(args: Arguments, names: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const query: Record<string, string> = {};
  for (const [option, member] of Object.entries(names)) {
    const value = args.text(option);
    if (value === undefined) continue;
    if ((option === 'since' || option === 'until') && !/^\d{4}(-\d\d(-\d\d(T[\d:.]*Z?)?)?)?$/.test(value))
      throw new UsageError(`"${value}" is not a time; write e.g. 2026-02-28`);
    query[member] = value;
  }
  return query;
}

/** As the record shows it: `text=drop`. */
export function asked(query: Readonly<Record<string, string | boolean>>): string[] {
  return Object.entries(query).map(([name, value]) => `${name}=${value}`);
}

function masked(config: Config, args: readonly string[]): string[] {
  const rules = compileRules(JSON.stringify(config.masking));
  try {
    const counts = new Uint32Array(ruleNames(rules).length + 1);
    return args.map((arg) => {
      const bytes = Buffer.from(arg);
      maskText(rules, bytes, 0, bytes.length, counts);
      return bytes.toString();
    });
  } finally {
    dropRules(rules);
  }
}
