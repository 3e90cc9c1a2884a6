import type { Grant } from '../../access/model.ts';
import { awaitsVotes } from '../../access/votes.ts';
import { formatDuration, parseDuration } from '../../config/values.ts';
import { type ApiClient, apiDetails, apiOf, apiOptions } from '../api-client.ts';
import { type Arguments, type Command, type ExitCode, type Io, UsageError } from '../command.ts';
import { columns, visible } from '../terminal.ts';
import { MOST_LISTED, sayIfCut, showList, timeOf } from './list.ts';

const one = { min: 1, max: 1 } as const;
/** How often it is asked whether somebody has decided. */
const POLL_MS = 1000;
const states = ['pending', 'active', 'denied', 'expired', 'revoked', 'cancelled'] as const satisfies readonly Grant['state'][];

export const request: Command = {
  name: 'request',
  summary: 'Asks for an account of a resource for the duration of a task.',
  usage: 'RESOURCE --role R --for 2h --reason TEXT [--ticket T] [--break-glass] [--wait [--timeout 15m]] [--json]',
  options: {
    ...apiOptions,
    role: { type: 'string' },
    for: { type: 'string' },
    reason: { type: 'string' },
    ticket: { type: 'string' },
    wait: { type: 'boolean' },
    timeout: { type: 'string' },
    'break-glass': { type: 'boolean' },
  },
  details: [
    '  --role R        the account of the resource, as `sluice ls` names it',
    '  --for 2h        how long, from the approval on',
    '  --reason TEXT   what for; approvers and auditors read it',
    '  --ticket T      the ticket of the task',
    '  --wait          waits for the decision; exits 3 when it is no, 4 when --timeout passes first',
    '  --timeout 15m   how long to wait; default: until it is decided',
    '  --break-glass   takes it at once; two others have to confirm it afterwards, and an alert goes out',
    apiDetails,
  ].join('\n'),
  positionals: one,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const timeout = args.text('timeout');
    if (timeout !== undefined && !args.flag('wait')) throw new UsageError('--timeout is how long to --wait');
    const ms = timeout === undefined ? Number.POSITIVE_INFINITY : durationOf('timeout', timeout);
    const client = apiOf(args, io);
    const grant = await client.post<Grant>('/api/v1/grants', {
      resource: args.words[0] ?? '',
      role: args.required('role'),
      seconds: durationOf('for', args.required('for')) / 1000,
      reason: args.required('reason'),
      ticket: args.text('ticket') ?? '',
      breakGlass: args.flag('break-glass'),
    });
    if (!args.flag('wait') || grant.state !== 'pending') return end(grant, args, io);
    // From before anybody can know that it waits: a signal must find it listening.
    const stopped = io.stopped();
    io.err(`request ${grant.id} waits for ${grant.approvers.map(({ group }) => group).join(', ')} ...\n`);
    const decided = await decision(client, grant, stopped, ms);
    if (decided !== null) return end(decided, args, io);
    if (args.flag('json')) say(grant, args, io);
    io.err(`not decided; the request stands: sluice grants ls, or sluice grants revoke ${grant.id}\n`);
    return 4;
  },
};

export const grantsList: Command = {
  name: 'grants ls',
  summary: 'Lists grants with their last use: your own, and those you may see.',
  usage: '[--state S] [--user U] [--json]',
  options: { ...apiOptions, state: { type: 'string' }, user: { type: 'string' } },
  details: [`  --state S       ${states.join(', ')}`, '  --user U        of one user', apiDetails].join('\n'),
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const query = { state: wantedState(args), user: args.text('user'), limit: String(MOST_LISTED) };
    const { grants } = await apiOf(args, io).get<{ readonly grants: readonly Grant[] }>('/api/v1/grants', query);
    const header = ['ID', 'STATE', 'WHO', 'ROLE', 'FOR', 'UNTIL', 'LAST USED', 'TICKET', 'REASON'];
    showList(args, io, { items: grants, none: 'there are no grants', header, row });
    sayIfCut(grants.length, io);
    return 0;
  },
};

export const grantsShow: Command = {
  name: 'grants show',
  summary: 'Shows one grant: who, what, for how long, why, who decided, and who ended it.',
  usage: 'ID [--json]',
  options: apiOptions,
  details: apiDetails,
  positionals: one,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const grant = await apiOf(args, io).get<Grant>(`/api/v1/grants/${encodeURIComponent(args.words[0] ?? '')}`);
    if (args.flag('json')) io.out(`${JSON.stringify(grant)}\n`);
    else show(grant, io);
    return 0;
  },
};

export const grantsApprove: Command = change('approve', 'Approves a request, or confirms one that was taken by break-glass.');
export const grantsDeny: Command = change('deny', 'Denies a request.');
export const grantsRevoke: Command = change('revoke', 'Ends a grant and the sessions that stand on it.');

function change(word: 'approve' | 'deny' | 'revoke', summary: string): Command {
  return {
    name: `grants ${word}`,
    summary,
    usage: 'ID [--reason TEXT] [--json]',
    options: { ...apiOptions, reason: { type: 'string' } },
    details: `  --reason TEXT   kept with it\n${apiDetails}`,
    positionals: one,
    async run(args: Arguments, io: Io): Promise<ExitCode> {
      const path = `/api/v1/grants/${encodeURIComponent(args.words[0] ?? '')}`;
      const reason = args.text('reason') ?? '';
      const client = apiOf(args, io);
      const grant =
        word === 'revoke'
          ? await client.post<Grant>(`${path}/revoke`, { reason })
          : await client.post<Grant>(`${path}/decision`, { decision: word, reason });
      say(grant, args, io);
      return 0;
    },
  };
}

/** The grant once it is decided; null when the time passes or a signal comes first. */
async function decision(client: ApiClient, grant: Grant, signal: Promise<void>, ms: number): Promise<Grant | null> {
  const until = Date.now() + ms;
  let interrupted = false;
  const stopped = signal.then(() => {
    interrupted = true;
  });
  while (!interrupted && Date.now() < until) {
    const now = await client.get<Grant>(`/api/v1/grants/${encodeURIComponent(grant.id)}`);
    if (now.state !== 'pending') return now;
    let timer: NodeJS.Timeout | undefined;
    const pause = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, Math.min(POLL_MS, Math.max(0, until - Date.now())));
    });
    await Promise.race([pause, stopped]);
    clearTimeout(timer);
  }
  return null;
}

function end(grant: Grant, args: Arguments, io: Io): ExitCode {
  say(grant, args, io);
  return grant.state === 'pending' || grant.state === 'active' ? 0 : 3;
}

function say(grant: Grant, args: Arguments, io: Io): void {
  if (args.flag('json')) io.out(`${JSON.stringify(grant)}\n`);
  else {
    const last = grant.state === 'pending' || grant.breakGlass ? undefined : grant.votes.at(-1);
    const who = grant.ended ?? (last === undefined ? null : { by: last.approver, reason: last.reason });
    const by = who === null ? '' : ` by ${who.by}${who.reason === '' ? '' : `: ${who.reason}`}`;
    const until = grant.state === 'active' ? `, until ${timeOf(grant.expiresAt)}` : '';
    io.out(`${visible(`${grant.id}  ${stateOf(grant)}${by}${until}  ${grant.resource}+${grant.role} for ${grant.user.name}`)}\n`);
  }
}

function show(grant: Grant, io: Io): void {
  const { user, approvers, ended } = grant;
  const asked = approvers.map(({ group, needed }) => (needed > 1 ? `${group} (${needed})` : group)).join(', ');
  const lines: string[][] = [
    ['grant', grant.id],
    ['state', stateOf(grant)],
    ['who', `${user.name} (${user.subject} of ${user.issuer})`],
    ['role', `${grant.resource}+${grant.role}`],
    ['for', formatDuration(grant.seconds)],
    ['why', grant.reason],
    ['ticket', grant.ticket === '' ? '(none)' : grant.ticket],
    [grant.breakGlass ? 'to confirm' : 'asked are', asked === '' ? 'nobody: policy allows it at once' : asked],
    ['asked at', timeOf(grant.createdAt)],
    ...(grant.startsAt === null ? [] : [['from', timeOf(grant.startsAt)]]),
    [grant.state === 'pending' ? 'request lapses' : 'until', timeOf(grant.expiresAt)],
    ['last used', grant.lastUsedAt === null ? 'never' : timeOf(grant.lastUsedAt)],
  ];
  io.out(columns(lines.map((cells) => cells.map((cell) => visible(cell)))));
  const because = (reason: string): string => (reason === '' ? '' : `: ${reason}`);
  for (const vote of grant.votes)
    io.out(
      `\n${visible(`${vote.decision} by ${vote.approver} for ${vote.groups.join(', ')}, ${timeOf(vote.at)}${because(vote.reason)}`)}\n`,
    );
  if (ended !== null) io.out(`\n${visible(`${grant.state} by ${ended.by}, ${timeOf(ended.at)}${because(ended.reason)}`)}\n`);
}

function row(grant: Grant): string[] {
  return [
    grant.id,
    stateOf(grant),
    grant.user.name,
    `${grant.resource}+${grant.role}`,
    formatDuration(grant.seconds),
    // It begins with the approval: until then it has no end.
    grant.state === 'pending' ? '' : timeOf(grant.expiresAt),
    timeOf(grant.lastUsedAt),
    grant.ticket,
    grant.reason,
  ];
}

/** With how many have voted for it, while others still have to. */
function stateOf(grant: Grant): string {
  const { state, approvers, votes, breakGlass } = grant;
  const yes = votes.filter(({ decision }) => decision === 'approve');
  const progress = approvers
    .map(({ group, needed }) => {
      const so = `${Math.min(needed, yes.filter(({ groups }) => groups.includes(group)).length)} of ${needed}`;
      return approvers.length === 1 ? so : `${so} of ${group}`;
    })
    .join(', ');
  if (!breakGlass) return state === 'pending' && yes.length > 0 ? `${state} (${progress})` : state;
  if (awaitsVotes(grant, votes)) return `${state}, break-glass, not confirmed yet (${progress})`;
  return `${state}, break-glass, ${votes.some(({ decision }) => decision === 'deny') ? 'denied' : 'confirmed'}`;
}

/** Throws UsageError. */
function wantedState(args: Arguments): string | undefined {
  const state = args.text('state');
  if (state !== undefined && !(states as readonly string[]).includes(state)) throw new UsageError(`--state is one of ${states.join(', ')}`);
  return state;
}

/** Milliseconds. `zero`: none at all is taken too. */
export function durationOf(option: string, text: string, zero = false): number {
  const ms = zero && /^0+[smhd]$/.test(text) ? 0 : parseDuration(text);
  if (ms === null) throw new UsageError(`--${option} "${text}" is not a duration; write e.g. 90s, 15m, 8h or 30d`);
  return ms;
}
