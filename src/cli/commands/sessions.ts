import { GatewayError } from '../../errors.ts';
import { protocols } from '../../protocols/registry.ts';
import { replaySession } from '../../recording/replay.ts';
import { listSessions, type OperationView, type SessionSummary, showSession } from '../../recording/sessions.ts';
import type { Arguments } from '../command.ts';
import { columns, visible } from '../terminal.ts';
import { readingCommand } from './reading.ts';

export const sessionsList = readingCommand({
  name: 'sessions ls',
  summary: 'Lists the recorded sessions, oldest first.',
  asked: () => [],
  show: (record, _args, print) =>
    print.all(listSessions(record), (sessions) =>
      columns([['SESSION', 'START', 'STATE', 'WHO', 'FROM', 'TARGET', 'OPS', 'DENIED', 'MASKED'], ...sessions.map(row)]),
    ),
});

/** The commands about one session take its id. */
const oneSession = {
  usage: 'SESSION',
  positionals: { min: 1, max: 1 },
  asked: (args: Arguments) => [sidOf(args)],
} as const;

export const sessionsShow = readingCommand({
  ...oneSession,
  name: 'sessions show',
  summary: 'Shows the operations of one session with their outcomes.',
  show(record, args, print) {
    const detail = showSession(record, sidOf(args));
    if (detail === null) throw noSession(sidOf(args));
    print.one(detail, () => columns([row(detail.session)]) + detail.operations.map(operationText).join(''));
  },
});

export const sessionsReplay = readingCommand({
  ...oneSession,
  name: 'sessions replay',
  summary: 'Replays one session: what was asked and what came back, masked as the user saw it.',
  show(record, args, print) {
    const replay = replaySession(record, sidOf(args), (protocol, bytes, stream) => {
      const definition = protocols.get(protocol);
      return definition === undefined ? `[${bytes.length} bytes of ${protocol}]\n` : definition.render(bytes, stream);
    });
    if (replay === null) throw noSession(sidOf(args));
    print.one({ kind: 'session', session: replay.session }, () => columns([row(replay.session)]));
    for (const step of replay.steps) {
      print.one(step, () => (step.kind === 'operation' ? operationText(step.operation) : visible(step.text, true)));
    }
  },
});

function sidOf(args: Arguments): string {
  return args.words[0] ?? '';
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
  const answered = operation.status !== 'pending' && operation.status !== 'unknown';
  const outcome = [
    operation.status === 'unknown' ? 'outcome unknown: it may or may not have been done' : operation.status,
    operation.code,
    operation.tag,
    operation.status === 'denied' ? operation.message : '',
    answered && operation.status !== 'denied'
      ? `${operation.rows} rows, ${operation.bytes} bytes, ${(operation.us / 1000).toFixed(1)} ms`
      : '',
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
