import type { Approval } from '../../access/model.ts';
import { apiDetails, apiOf, apiOptions } from '../api-client.ts';
import { type Arguments, type Command, type ExitCode, type Io, UsageError } from '../command.ts';
import { columns, visible } from '../terminal.ts';
import { MOST_LISTED, sayIfCut, showList, timeOf } from './list.ts';

const one = { min: 1, max: 1 } as const;
/** A list shows the beginning of longer reasons, characters. */
const LISTED = 60;

export const approvalsList: Command = {
  name: 'approvals ls',
  summary: 'Lists the requests for approval that wait for a decision; with --all also those that were decided.',
  usage: '[--all] [--json]',
  options: { ...apiOptions, all: { type: 'boolean' } },
  details: `  --all           also what was decided\n${apiDetails}`,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const state = args.flag('all') ? undefined : 'pending';
    const { approvals } = await apiOf(args, io).get<{ readonly approvals: readonly Approval[] }>('/api/v1/approvals', {
      state,
      limit: String(MOST_LISTED),
    });
    const none = state === undefined ? 'there are no requests' : 'nothing waits for a decision';
    const header = ['ID', 'ASKED', 'STATE', 'WHO', 'TARGET', 'MODE', 'WHAT', 'WHY'];
    showList(args, io, { items: approvals, none, header, row });
    sayIfCut(approvals.length, io);
    return 0;
  },
};

export const approvalsShow: Command = {
  name: 'approvals show',
  summary: 'Shows one request: who, what, where, why, and the statement with card data masked.',
  usage: 'ID [--json]',
  options: apiOptions,
  details: apiDetails,
  positionals: one,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    show(await apiOf(args, io).get<Approval>(`/api/v1/approvals/${idOf(args)}`), args, io);
    return 0;
  },
};

export const approvalsApprove: Command = decision(
  'approve',
  'Approves one request: the operation may run, once.',
  { rows: { type: 'string' } },
  ['  --rows N        aborts it when it touches more rows'],
);

export const approvalsDeny: Command = decision('deny', 'Denies one request: the operation does not run.', {}, []);

function decision(word: 'approve' | 'deny', summary: string, more: Command['options'], details: readonly string[]): Command {
  return {
    name: `approvals ${word}`,
    summary,
    usage: `ID [--reason TEXT]${word === 'approve' ? ' [--rows N]' : ''} [--json]`,
    options: { ...apiOptions, reason: { type: 'string' }, ...more },
    details: ['  --reason TEXT   kept with the decision', ...details, apiDetails].join('\n'),
    positionals: one,
    async run(args: Arguments, io: Io): Promise<ExitCode> {
      const rows = args.text('rows');
      if (rows !== undefined && !/^\d{1,12}$/.test(rows)) throw new UsageError(`--rows "${rows}" is not a number of rows`);
      const body = { decision: word, reason: args.text('reason') ?? '', ...(rows === undefined ? {} : { rowBudget: Number(rows) }) };
      show(await apiOf(args, io).post<Approval>(`/api/v1/approvals/${idOf(args)}/decision`, body), args, io);
      return 0;
    },
  };
}

function idOf(args: Arguments): string {
  return encodeURIComponent(args.words[0] ?? '');
}

function show(approval: Approval, args: Arguments, io: Io): void {
  if (args.flag('json')) {
    io.out(`${JSON.stringify(approval)}\n`);
    return;
  }
  const { estimate } = approval;
  io.out(
    columns(
      [
        ['request', approval.id],
        ['state', approval.state],
        ['who', `${approval.requester.name} (${approval.requester.subject} of ${approval.requester.issuer})`],
        ['from', approval.source],
        ['target', `${approval.resource} as ${approval.account}`],
        ['why', reasonOf(approval)],
        ['mode', modes[approval.mode]],
        ['policies', approval.policies.join(', ')],
        ['asked are', approval.approvers.map(({ group, needed }) => (needed > 1 ? `${group} (${needed})` : group)).join(', ')],
        ['touches', approval.objects.join(', ')],
        ['rows', 'rows' in estimate ? `about ${Math.round(estimate.rows)}` : `unknown: ${estimate.unavailable}`],
        ['row budget', approval.rowBudget === null ? 'none' : String(approval.rowBudget)],
        ['asked at', timeOf(approval.createdAt)],
        ['until', approval.expiresAt === null ? 'it is decided' : timeOf(approval.expiresAt)],
      ].map((cells) => cells.map((cell) => visible(cell))),
    ),
  );
  io.out(`\n${visible(approval.statement, true)}\n`);
  for (const [i, param] of approval.params.entries()) io.out(`  $${i + 1} = ${visible(param)}\n`);
  for (const vote of approval.votes) {
    io.out(
      `\n${visible(`${vote.decision} by ${vote.approver} for ${vote.groups.join(', ')}, ${timeOf(vote.at)}${vote.reason === '' ? '' : `: ${vote.reason}`}`)}\n`,
    );
  }
}

const modes: Readonly<Record<Approval['mode'], string>> = { wait: 'waits', retry: 'to be sent again' };

function reasonOf({ reason }: Approval): string {
  return reason === '' ? '(none given)' : reason;
}

/** A row of a list is one line. */
function shortened(text: string): string {
  const characters = [...text];
  return characters.length > LISTED ? `${characters.slice(0, LISTED - 1).join('')}…` : text;
}

function row(approval: Approval): string[] {
  return [
    approval.id,
    timeOf(approval.createdAt),
    approval.state,
    approval.requester.name,
    `${approval.resource}+${approval.account}`,
    modes[approval.mode],
    approval.objects.join(', '),
    shortened(reasonOf(approval)),
  ];
}
