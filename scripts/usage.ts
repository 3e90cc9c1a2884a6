import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';

type Values<T extends ParseArgsOptionsConfig> = ReturnType<typeof parseArgs<{ options: T }>>['values'];

/**
 * The options of a program that people start by `npm run`. `--help` prints the usage and exits with 0; what is not an option
 * is one line on stderr and exits with 2. `check` may refuse values: it returns what is wrong, or null.
 */
export function optionsOf<const T extends ParseArgsOptionsConfig>(
  program: { readonly name: string; readonly usage: string; readonly options: T },
  check: (values: Values<T>) => string | null = () => null,
): Values<T> {
  const { values } = optionsAndWordsOf(program, false);
  const wrong = check(values);
  return wrong === null ? values : refuse(program.name, wrong);
}

/** As `optionsOf`, for a program that takes words too. */
export function optionsAndWordsOf<const T extends ParseArgsOptionsConfig>(
  program: { readonly name: string; readonly usage: string; readonly options: T },
  words = true,
): { readonly values: Values<T>; readonly positionals: readonly string[] } {
  const { name, usage, options } = program;
  if (process.argv.slice(2).some((arg) => arg === '--help' || arg === '-h')) {
    process.stdout.write(`${usage.trim()}\n`);
    process.exit(0);
  }
  try {
    const { values, positionals } = parseArgs({ options, strict: true, allowPositionals: words });
    return { values: values as Values<T>, positionals };
  } catch (error) {
    return refuse(name, (error instanceof Error ? error.message : String(error)).replace(/\. .*/s, ''));
  }
}

function refuse(name: string, why: string): never {
  process.stderr.write(`${name}: ${why}; --help shows the options\n`);
  process.exit(2);
}

/** Whether the text is a number of at least `least`. */
export function isCount(text: string | undefined, least = 1): boolean {
  return text !== undefined && /^\d+$/.test(text) && Number(text) >= least;
}
