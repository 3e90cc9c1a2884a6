import { parseArgs } from 'node:util';

import { nearest } from '../config/values.ts';
import { GatewayError } from '../errors.ts';
import { VERSION } from '../session/version.ts';
import { Arguments, type Command, type ExitCode, type Io, UsageError } from './command.ts';
import { visible } from './terminal.ts';

/** Finds the command, parses its options, runs it, and turns what it throws into an exit code. */
export async function runCommand(argv: readonly string[], commands: readonly Command[], io: Io): Promise<ExitCode> {
  if (argv[0] === '--version' || argv[0] === '-V') {
    io.out(`sluice ${VERSION}\n`);
    return 0;
  }
  const command = commands.find(({ name }) => name.split(' ').every((word, i) => argv[i] === word));
  if (command === undefined) return noCommand(argv, commands, io);
  try {
    const { values, positionals } = parseArgs({
      args: argv.slice(command.name.split(' ').length),
      options: { ...command.options, help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
      strict: true,
    });
    if (values['help'] === true) {
      io.out(help(command));
      return 0;
    }
    const { min, max } = command.positionals ?? { min: 0, max: 0 };
    if (positionals.length < min) throw new UsageError(`${wordsOf(command.usage)[positionals.length] ?? 'an argument'} is missing`);
    if (positionals.length > max) throw new UsageError(`unexpected argument "${positionals[max] ?? ''}"`);
    return await command.run(new Arguments(values, positionals), io);
  } catch (error) {
    if (error instanceof UsageError || isParseArgsError(error)) {
      io.err(`sluice ${command.name}: ${messageOf(error)}\n${`usage: sluice ${command.name} ${command.usage}`.trimEnd()}\n`);
      return 2;
    }
    io.err(`${explain(error)}\n`);
    return 1;
  }
}

function noCommand(argv: readonly string[], commands: readonly Command[], io: Io): ExitCode {
  const [first, second] = argv;
  const group = commands.filter(({ name }) => name.startsWith(`${first} `));
  if (group.length > 0) return noCommandOf(group, first ?? '', second, io);
  const width = Math.max(...commands.map(({ name }) => name.length));
  const overview = [
    'usage: sluice <command> [options]; --help after a command explains it, --version tells which this is',
    '',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    'exit codes: 0 done, 1 failed, 2 called wrongly, 3 people said no, 4 nobody said anything in time',
    '',
  ].join('\n');
  if (first === '--help' || first === '-h' || first === 'help') {
    io.out(overview);
    return 0;
  }
  if (first === undefined) io.err(overview);
  else io.err(unknown(argv, commands));
  return 2;
}

/** One line, with the command that was probably meant. */
function unknown(argv: readonly string[], commands: readonly Command[]): string {
  const names = commands.map(({ name }) => name);
  const firsts = [...new Set(names.map((name) => name.split(' ')[0] ?? ''))];
  const [first = '', second] = argv;
  const meant = (second === undefined ? null : nearest(`${first} ${second}`, names)) ?? nearest(first, firsts);
  const written = meant?.includes(' ') === true ? `${first} ${second}` : first;
  return `sluice: unknown command "${visible(written)}"${meant === null ? ';' : `; did you mean "sluice ${meant}"?`} "sluice --help" lists them all\n`;
}

/** The first word of several commands, without a second one that makes it one of them. */
function noCommandOf(group: readonly Command[], first: string, second: string | undefined, io: Io): ExitCode {
  const usages = group.map(({ name, usage, summary }) => `${`sluice ${name} ${usage}`.trimEnd()}\n    ${summary}\n`);
  const overview = `usage:\n${usages.map((text) => `  ${text}`).join('')}--help after a command explains it\n`;
  if (second === '--help' || second === '-h' || second === 'help') {
    io.out(overview);
    return 0;
  }
  if (second === undefined) {
    io.err(overview);
    return 2;
  }
  const meant = nearest(
    second,
    group.map(({ name }) => name.split(' ')[1] ?? ''),
  );
  const guess = meant === null ? ';' : `; did you mean "sluice ${first} ${meant}"?`;
  io.err(`sluice: unknown command "${visible(`${first} ${second}`)}"${guess} "sluice ${first} --help" lists them\n`);
  return 2;
}

function help(command: Command): string {
  return `${`usage: sluice ${command.name} ${command.usage}`.trimEnd()}\n\n${command.summary}\n\n${command.details}\n`;
}

/** The words that a command takes beside its options, as its usage names them. */
function wordsOf(usage: string): string[] {
  const words = usage.replaceAll(/\[[^\]]*\]/g, ' ').replaceAll(/--\S+ \S+/g, ' ');
  return words.split(/\s+/).filter((word) => word !== '');
}

/** What the operator needs to know. An error that is none of ours is a fault of the program: then its stack helps. */
function explain(error: unknown): string {
  if (error instanceof GatewayError) return error.hint === undefined ? error.publicMessage : `${error.publicMessage}\n${error.hint}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** Without Node's advice on how to pass an odd option as a word, which no command here takes. */
function messageOf(error: Error): string {
  if (error instanceof UsageError) return error.message;
  const [first = ''] = error.message.split(/\.\s|\n/);
  return first.charAt(0).toLowerCase() + first.slice(1).replace(/\.$/, '');
}

function isParseArgsError(error: unknown): error is Error {
  return error instanceof Error && String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS');
}
