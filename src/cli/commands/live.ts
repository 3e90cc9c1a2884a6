import type { AllSessions, LiveEvent } from '../../access/model.ts';
import { apiDetails, apiOf, apiOptions } from '../api-client.ts';
import { type Arguments, type Command, type ExitCode, type Io, UsageError } from '../command.ts';
import { visible } from '../terminal.ts';
import { showList, timeOf } from './list.ts';

const types: readonly string[] = Object.keys({
  'session.start': true,
  'session.end': true,
  'login.failed': true,
  denied: true,
  approval: true,
  grant: true,
  revocation: true,
  config: true,
  alert: true,
  'control.failed': true,
} satisfies Record<LiveEvent['type'], true>);

export const liveList: Command = {
  name: 'live ls',
  summary: 'Lists the open sessions of all gateways: your own, and those you may see.',
  usage: '[--json]',
  options: apiOptions,
  details: apiDetails,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const { sessions, complete, silent } = await apiOf(args, io).get<AllSessions>('/api/v1/sessions');
    showList(args, io, {
      items: sessions,
      none: 'no session is open',
      header: ['SESSION', 'SINCE', 'WHO', 'FROM', 'TARGET', 'STATE', 'OPS', 'DENIED', 'MASKED', 'GATEWAY'],
      row: (session) => [
        session.sid,
        timeOf(session.startedAt),
        session.user,
        session.source,
        `${session.resource}+${session.account}`,
        session.busy ? 'busy' : 'idle',
        String(session.operations),
        String(session.denied),
        Object.entries(session.masked)
          .map(([rule, n]) => `${rule} ${n}`)
          .join(', '),
        session.gateway,
      ],
    });
    if (!complete)
      io.err(`not all gateways were heard: ${silent.length === 0 ? 'the control store is away' : visible(silent.join(', '))}\n`);
    return 0;
  },
};

export const liveKill: Command = {
  name: 'live kill',
  summary: 'Ends an open session, on whichever gateway it is.',
  usage: 'SESSION [--reason TEXT] [--json]',
  options: { ...apiOptions, reason: { type: 'string' } },
  details: `  --reason TEXT   the client is told, and the record keeps it\n${apiDetails}`,
  positionals: { min: 1, max: 1 },
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const path = `/api/v1/sessions/${encodeURIComponent(args.words[0] ?? '')}/kill`;
    const done = await apiOf(args, io).post(path, { reason: args.text('reason') ?? '' });
    io.out(args.flag('json') ? `${JSON.stringify(done)}\n` : 'ended\n');
    return 0;
  },
};

export const events: Command = {
  name: 'events',
  summary: 'Shows what happens, as it happens, until it is interrupted.',
  usage: '[--type T]... [--json]',
  options: { ...apiOptions, type: { type: 'string', multiple: true } },
  details: `  --type T        only events of this type; may be given several times: ${types.join(', ')}\n${apiDetails}`,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const wanted = args.list('type');
    // Of one that does not exist none would ever come.
    const odd = wanted.find((type) => !types.includes(type));
    if (odd !== undefined) throw new UsageError(`--type "${odd}" is not one of ${types.join(', ')}`);
    const query = wanted.length === 0 ? '' : `?${new URLSearchParams({ type: wanted.join(',') })}`;
    let interrupted = false;
    const stopped = io.stopped().then(() => {
      interrupted = true;
    });
    const why = await apiOf(args, io).events(
      query,
      (text) => io.out(args.flag('json') ? `${text}\n` : eventLine(JSON.parse(text) as LiveEvent)),
      stopped,
    );
    if (interrupted) return 0;
    io.err(`${visible(why)}\n`);
    return 1;
  },
};

export const alerts: Command = {
  name: 'alerts',
  summary: 'Lists the latest alerts of all gateways, newest first.',
  usage: '[--json]',
  options: apiOptions,
  details: apiDetails,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const answer = await apiOf(args, io).get<{ readonly alerts: readonly LiveEvent[]; readonly complete: boolean }>('/api/v1/alerts');
    for (const alert of answer.alerts) io.out(args.flag('json') ? `${JSON.stringify(alert)}\n` : eventLine(alert));
    if (answer.alerts.length === 0 && !args.flag('json')) io.err('there are no alerts\n');
    if (!answer.complete) io.err('not all alerts are here: the control store is away\n');
    return 0;
  },
};

function eventLine({ at, type, gateway, user, resource, sid, detail }: LiveEvent): string {
  const facts = Object.entries(detail).map(([name, value]) => `${name}=${typeof value === 'object' ? value.join(',') : String(value)}`);
  const parts = [timeOf(at), type.padEnd(14), gateway, user, resource, sid, ...facts].filter((part) => part !== '');
  return `${visible(parts.join('  '))}\n`;
}
