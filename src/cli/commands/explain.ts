import { basename, dirname } from 'node:path';
import { chooseAccount } from '../../access/accounts.ts';
import type { Config } from '../../config/model.ts';
import { secret } from '../../config/secrets.ts';
import { GatewayError } from '../../errors.ts';
import { type CedarEngine, loadPolicies, type PolicySummary } from '../../policy/engine.ts';
import type { Decision, Principal } from '../../policy/model.ts';
import type { Explanation } from '../../protocols/explain.ts';
import { protocols, vocabularies } from '../../protocols/registry.ts';
import { engineOptions } from '../../session/policies.ts';
import { type Arguments, type Command, type ExitCode, type Io, UsageError } from '../command.ts';
import { configDetails, configOf, configOption } from '../config-option.ts';
import { visible } from '../terminal.ts';

/** What is printed, with --json as it is. */
interface Report {
  readonly decision: Decision['kind'];
  /** Whether log-in itself would be refused. */
  readonly at: 'log-in' | 'operation';
  readonly account: string;
  readonly action: string;
  readonly fingerprint: string;
  readonly objects: readonly string[];
  /** Those of files with their place; what the gateway itself refuses has only an id. */
  readonly policies: readonly (Pick<PolicySummary, 'id'> & Partial<PolicySummary>)[];
  readonly approvers: readonly { readonly group: string; readonly needed: number }[];
  readonly message: string;
  readonly hint: string;
  readonly masked: Explanation['masked'];
  readonly notes: readonly string[];
}

export const explain: Command = {
  name: 'explain',
  summary: 'Tells what would become of a statement, and by which policies. Nothing is forwarded.',
  usage: '--config FILE --user U [--group G]... --resource R [--account A] [--mfa] [--service] [--offline] [--json] STATEMENT',
  options: {
    ...configOption,
    user: { type: 'string' },
    group: { type: 'string', multiple: true },
    service: { type: 'boolean' },
    mfa: { type: 'boolean' },
    resource: { type: 'string' },
    account: { type: 'string' },
    statement: { type: 'string' },
    offline: { type: 'boolean' },
    json: { type: 'boolean' },
  },
  details: [
    configDetails,
    '  --user U        who would send it',
    '  --group G       a group they are in, also one that a grant would give (RESOURCE/ACCOUNT); may be given several times',
    '  --service       a service account instead of a person',
    '  --mfa           as somebody who logged in with several factors',
    '  --resource R    where',
    '  --account A     account of the resource; without it the one that log-in would choose',
    '  STATEMENT       what, as one word in quotes; --statement T is the same',
    '  --offline       asks nothing of the target: then its views, types and functions are not known',
    '  --json          one JSON object',
  ].join('\n'),
  positionals: { min: 0, max: 1 },
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const user = args.required('user');
    const statement = statementOf(args);
    const name = args.required('resource');
    const { config } = configOf(args, io);
    const resource = config.resources.find((one) => one.name === name);
    if (resource === undefined)
      throw new UsageError(
        `--resource: there is no "${name}"; the configuration has: ${config.resources.map((one) => one.name).join(', ')}`,
      );
    const principal: Principal = {
      kind: args.flag('service') ? 'service' : 'user',
      name: user,
      issuer: config.gateway.name,
      subject: user,
      groups: args.list('group'),
      credential: { kind: 'explain', id: '', expiresAt: 0 },
      claims: args.flag('mfa') ? { amr: ['mfa'] } : {},
    };
    const policy = loadPolicies(config.policies, vocabularies, basename(config.policies), engineOptions(config));
    try {
      const report = await reportOf({ config, policy, principal, resource, account: args.text('account') ?? null, statement, io, args });
      io.out(args.flag('json') ? `${JSON.stringify(report)}\n` : textOf(report));
    } finally {
      policy.close();
    }
    return 0;
  },
};

function statementOf(args: Arguments): string {
  const [word] = args.words;
  const option = args.text('statement');
  if (word !== undefined && option !== undefined) throw new UsageError('the statement is given twice');
  const statement = word ?? option ?? '';
  if (statement === '') throw new UsageError('the statement is missing');
  return statement;
}

async function reportOf(asked: {
  config: Config;
  policy: CedarEngine;
  principal: Principal;
  resource: Config['resources'][number];
  account: string | null;
  statement: string;
  io: Io;
  args: Arguments;
}): Promise<Report> {
  const { config, policy, principal, resource } = asked;
  const protocol = protocols.get(resource.kind);
  if (protocol === undefined) throw new UsageError(`--resource: nothing here speaks ${resource.kind}`);
  let open: ReturnType<typeof chooseAccount>;
  try {
    // Groups that grants would give are named by --group.
    const grants = { groupsOf: () => [] };
    open = chooseAccount({ principal, resource, connect: protocol.connect, policy, grants }, asked.account);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return {
      decision: 'deny',
      at: 'log-in',
      account: asked.account ?? '',
      action: protocol.connect.action,
      fingerprint: '',
      objects: [],
      policies: [],
      approvers: [],
      message: error.publicMessage,
      hint: error.hint ?? '',
      masked: [],
      notes: [],
    };
  }
  const explanation = await protocol.explain({
    resource,
    principal: open.principal,
    target: open.target,
    policy,
    text: asked.statement,
    offline: asked.args.flag('offline'),
    secret: (reference) => secret(reference, { env: asked.io.env, dir: dirname(config.file) }),
    timeoutMs: config.limits.loginSeconds * 1000,
  });
  const { decision, action, fingerprint, objects, masked, notes } = explanation;
  return {
    decision: decision.kind,
    at: 'operation',
    account: open.name,
    action,
    fingerprint,
    objects,
    policies: decision.policies.map((id) => policy.policies.find((one) => one.id === id) ?? { id }),
    approvers: decision.kind === 'approve' ? decision.approvers : [],
    message: decision.kind === 'allow' ? '' : decision.message,
    hint: decision.kind === 'allow' ? '' : decision.hint,
    masked,
    notes,
  };
}

function textOf(report: Report): string {
  const lines: [string, string][] = [['decision', `${report.decision}${report.at === 'log-in' ? ' (at log-in)' : ''}`]];
  if (report.message !== '') lines.push(['because', report.message]);
  for (const { group, needed } of report.approvers) lines.push(['approval', `${needed} of ${group}`]);
  for (const { id, file, line, effect } of report.policies)
    lines.push(['policy', file === undefined ? `${id}  (the gateway's own)` : `${file}:${line}  ${effect} ${id}`]);
  if (report.hint !== '') lines.push(['hint', report.hint]);
  if (report.account !== '') lines.push(['account', report.account]);
  lines.push(['action', report.action]);
  if (report.fingerprint !== '') lines.push(['query id', report.fingerprint]);
  for (const object of report.objects) lines.push(['object', object]);
  for (const { name, how } of report.masked) lines.push(['masked', `${name}: ${how}`]);
  if (report.decision !== 'deny' && report.masked.length === 0)
    lines.push(['masked', report.notes.length === 0 ? 'only what patterns find' : 'what patterns find, and what the notes leave open']);
  for (const note of report.notes) lines.push(['note', note]);
  return lines.map(([word, text]) => `${word.padEnd(9)} ${visible(text)}\n`).join('');
}
