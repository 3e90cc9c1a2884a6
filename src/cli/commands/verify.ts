import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { whyUnreadable } from '../../config/unreadable.ts';
import { verifyRecord } from '../../recording/verify.ts';
import { type Arguments, type Command, type ExitCode, type Io, UsageError } from '../command.ts';
import { configOf, configOption } from '../config-option.ts';

export const verify: Command = {
  name: 'verify',
  summary: 'Verifies a record: one segment, one chain, or everything below a directory.',
  usage: 'DIR|FILE [--keys FILE] [--checkpoint FILE]... [--json], or --config FILE in place of DIR|FILE',
  options: {
    ...configOption,
    keys: { type: 'string' },
    key: { type: 'string' },
    checkpoint: { type: 'string', multiple: true },
    json: { type: 'boolean' },
  },
  details: [
    '  --config FILE       the configuration file (sluice.yaml) of the gateway whose record it is, as it lies in its data directory',
    '  --keys FILE         verifier keys, one a line; default: keys/record.pub of the data directory;',
    '                      for a record that was copied elsewhere name it, best a copy kept apart from the gateway; --key is the same',
    '  --checkpoint FILE   a checkpoint kept elsewhere that the record must hold; shows that its end was not cut off',
    '  --json              the report as JSON',
    '',
    'Exits 0 only when everything holds.',
  ].join('\n'),
  positionals: { min: 0, max: 1 },
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const keys = args.text('keys') ?? args.text('key');
    const report = verifyRecord(placeOf(args, io), {
      ...(keys === undefined ? {} : { keys: read(keys) }),
      known: args.list('checkpoint').map(read),
    });
    if (args.flag('json')) io.out(`${JSON.stringify(report)}\n`);
    else {
      for (const [word, findings] of [
        ['problem', report.problems],
        ['note', report.notes],
      ] as const) {
        for (const { file, line, message } of findings) io.out(`${word}: ${file}${line === 0 ? '' : `:${line}`}: ${message}\n`);
      }
      io.out(
        `${report.ok ? 'verified' : 'DOES NOT HOLD'}: ${report.lines} lines, ${report.segments} segments, ${report.checkpoints} checkpoints\n`,
      );
    }
    return report.ok ? 0 : 1;
  },
};

function placeOf(args: Arguments, io: Io): string {
  const [place] = args.words;
  const configured = args.text('config') !== undefined;
  if (configured && place !== undefined) throw new UsageError('name a directory, a file or --config: one of them');
  if (configured) return join(configOf(args, io).config.gateway.dataDir, 'record');
  if (place === undefined) throw new UsageError('name the directory or the file of a record, or --config');
  return place;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${whyUnreadable(error)}`);
  }
}
