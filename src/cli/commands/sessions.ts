import { join } from 'node:path';

import { compileRules, dropRules, maskText, ruleNames } from '../../../native/binding/index.js';
import type { Config } from '../../config/model.ts';
import { GatewayError } from '../../errors.ts';
import { protocols } from '../../protocols/registry.ts';
import { recordReading } from '../../recording/reading.ts';
import { replaySession } from '../../recording/replay.ts';
import { type SearchQuery, searchRecord } from '../../recording/search.ts';
import { listSessions, type OperationView, type SessionSummary, showSession } from '../../recording/sessions.ts';
import { VERSION } from '../../session/version.ts';
import { type Arguments, type Command, type ExitCode, type Io, UsageError } from '../command.ts';
import { configDetails, configOf, configOption } from '../config-option.ts';
import { columns, visible } from '../terminal.ts';

const options = { ...configOption, json: { type: 'boolean' } } as const;
const details = `${configDetails}\n  --json          one JSON object a line\n\nEvery reading is itself recorded.`;

export const sessionsList: Command = {
  name: 'sessions ls',
  summary: 'Lists the recorded sessions, oldest first.',
  usage: '--config FILE [--json]',
  options,
  details,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const { config } = configOf(args, io);
    await recorded(config, 'sessions ls', []);
    const sessions = listSessions(recordOf(config));
    if (args.flag('json')) for (const session of sessions) io.out(`${JSON.stringify(session)}\n`);
    else io.out(columns([['SESSION', 'START', 'STATE', 'WHO', 'FROM', 'TARGET', 'OPS', 'DENIED', 'MASKED'], ...sessions.map(row)]));
    return 0;
  },
};

export const sessionsShow: Command = {
  name: 'sessions show',
  summary: 'Shows the operations of one session with their outcomes.',
  usage: 'SESSION --config FILE [--json]',
  options,
  details,
  positionals: { min: 1, max: 1 },
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const { config } = configOf(args, io);
    const sid = args.words[0] ?? '';
    await recorded(config, 'sessions show', [sid]);
    const detail = showSession(recordOf(config), sid);
    if (detail === null) throw noSession(sid);
    if (args.flag('json')) io.out(`${JSON.stringify(detail)}\n`);
    else {
      io.out(columns([row(detail.session)]));
      for (const operation of detail.operations) io.out(operationText(operation));
    }
    return 0;
  },
};

export const sessionsSearch: Command = {
  name: 'sessions search',
  summary: 'Finds operations by their text, who ran them, what they touched and when.',
  usage: '[TEXT] --config FILE [--user U] [--object O] [--since T] [--until T] [--json]',
  options: { ...options, user: { type: 'string' }, object: { type: 'string' }, since: { type: 'string' }, until: { type: 'string' } },
  details: [
    '  TEXT            in the statement or its values; upper and lower case are the same',
    '  --user U        who acted',
    '  --object O      an object touched, e.g. public.cards or cards',
    '  --since T       from this time on (UTC), e.g. 2026-02-28 or 2026-02-28T13:00',
    '  --until T       before this time',
    details,
  ].join('\n'),
  positionals: { min: 0, max: 1 },
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const { config } = configOf(args, io);
    const given: [keyof SearchQuery, string | undefined][] = [
      ['text', args.words[0]],
      ['principal', args.text('user')],
      ['object', args.text('object')],
      ['since', args.text('since')],
      ['until', args.text('until')],
    ];
    const query: SearchQuery = Object.fromEntries(given.filter(([, value]) => value !== undefined));
    for (const time of [query.since, query.until]) {
      if (time !== undefined && !/^\d{4}(-\d\d(-\d\d(T[\d:.]*Z?)?)?)?$/.test(time))
        throw new UsageError(`"${time}" is not a time; write e.g. 2026-02-28`);
    }
    await recorded(
      config,
      'sessions search',
      given.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`])),
    );
    for (const match of searchRecord(recordOf(config), query)) {
      if (args.flag('json')) io.out(`${JSON.stringify(match)}\n`);
      else
        io.out(
          `${match.t}  ${match.sid}  ${visible(match.principal)}@${match.resource}  ${match.denied ? 'DENIED ' : ''}${visible(match.text)}\n`,
        );
    }
    return 0;
  },
};

export const sessionsReplay: Command = {
  name: 'sessions replay',
  summary: 'Replays one session: what was asked and what came back, masked as the user saw it.',
  usage: 'SESSION --config FILE [--json]',
  options,
  details,
  positionals: { min: 1, max: 1 },
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const { config } = configOf(args, io);
    const sid = args.words[0] ?? '';
    await recorded(config, 'sessions replay', [sid]);
    const replay = replaySession(recordOf(config), sid, (protocol, bytes, stream) => {
      const definition = protocols.get(protocol);
      return definition === undefined ? `[${bytes.length} bytes of ${protocol}]\n` : definition.render(bytes, stream);
    });
    if (replay === null) throw noSession(sid);
    if (args.flag('json')) io.out(`${JSON.stringify({ kind: 'session', session: replay.session })}\n`);
    else io.out(columns([row(replay.session)]));
    for (const step of replay.steps) {
      if (args.flag('json')) io.out(`${JSON.stringify(step)}\n`);
      else io.out(step.kind === 'operation' ? operationText(step.operation) : visible(step.text, true));
    }
    return 0;
  },
};

function recordOf(config: Config): string {
  return join(config.gateway.dataDir, 'record');
}

/** Written before anything is shown: a reading that cannot be recorded does not happen. */
async function recorded(config: Config, command: string, args: readonly string[]): Promise<void> {
  const rules = compileRules(JSON.stringify(config.masking));
  let masked: string[];
  try {
    const counts = new Uint32Array(ruleNames(rules).length + 1);
    masked = args.map((arg) => {
      const bytes = Buffer.from(arg);
      maskText(rules, bytes, 0, bytes.length, counts);
      return bytes.toString();
    });
  } finally {
    dropRules(rules);
  }
  await recordReading({ dataDir: config.gateway.dataDir, gateway: config.gateway.name, version: VERSION, command, args: masked });
}

function row(session: SessionSummary): string[] {
  const masked = Object.entries(session.masked)
    .map(([rule, n]) => `${rule} ${n}`)
    .join(', ');
  const target = session.account === '' ? session.resource : `${session.resource}+${session.account}`;
  return [
    session.sid,
    session.start,
    session.state,
    session.principal,
    session.source,
    target,
    String(session.ops),
    String(session.denied),
    masked,
  ].map((cell) => visible(cell));
}

function operationText(operation: OperationView): string {
  const params = operation.params.length === 0 ? '' : ` ${JSON.stringify(operation.params)}`;
  const outcome = [
    operation.status,
    operation.code,
    operation.tag,
    operation.status === 'denied'
      ? operation.message
      : `${operation.rows} rows, ${operation.bytes} bytes, ${(operation.us / 1000).toFixed(1)} ms`,
    ...Object.entries(operation.masked).map(([rule, n]) => `masked ${rule} ${n}`),
    operation.policies.length === 0 ? '' : `by ${operation.policies.join(', ')}`,
  ].filter((part) => part !== '');
  const label = operation.text === '' ? operation.kind : operation.text;
  return `\n#${operation.seq} ${operation.t}  ${visible(label)}${visible(params)}\n    -> ${visible(outcome.join('; '))}\n`;
}

function noSession(sid: string): GatewayError {
  return new GatewayError({
    code: 'session_unknown',
    source: 'client',
    phase: 'record',
    publicMessage: `the record holds no session ${visible(sid)}`,
  });
}
