import type { ServiceKey, TokenInfo } from '../../identity/model.ts';
import { apiDetails, apiOf, apiOptions } from '../api-client.ts';
import type { Arguments, Command, ExitCode, Io } from '../command.ts';
import { visible } from '../terminal.ts';
import { durationOf } from './grants.ts';
import { MOST_LISTED, sayIfCut, showList, timeOf } from './list.ts';

const one = { min: 1, max: 1 } as const;
const reasonOption = { reason: { type: 'string' } } as const;
const reasonDetails = '  --reason TEXT   kept in the record';

interface MadeKey {
  readonly key: ServiceKey;
  readonly secret: string;
}

export const keysList: Command = {
  name: 'keys ls',
  summary: 'Lists the keys of service accounts, with their state and last use.',
  usage: '[--json]',
  options: apiOptions,
  details: apiDetails,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const { keys } = await apiOf(args, io).get<{ readonly keys: readonly ServiceKey[] }>('/api/v1/keys');
    showList(args, io, {
      items: keys,
      none: 'there are no keys',
      header: ['ID', 'SERVICE', 'STATE', 'GROUPS', 'EXPIRES', 'LAST USED', 'MADE BY', 'REPLACED BY'],
      row: (key) => [
        key.id,
        key.service,
        key.state,
        key.groups.join(','),
        timeOf(key.expiresAt),
        timeOf(key.lastUsedAt),
        key.createdBy,
        key.replacedBy ?? '',
      ],
    });
    return 0;
  },
};

export const keysCreate: Command = {
  name: 'keys create',
  summary: 'Makes a key for a service account. The key alone goes to stdout, and is shown this once.',
  usage: '--service S --ttl 30d [--group G]... [--json]',
  options: { ...apiOptions, service: { type: 'string' }, group: { type: 'string', multiple: true }, ttl: { type: 'string' } },
  details: [
    '  --service S     the service: one program, one name',
    '  --group G       a group policies know; may be given several times',
    '  --ttl 30d       how long it is valid',
    apiDetails,
  ].join('\n'),
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const body = {
      service: args.required('service'),
      groups: args.list('group'),
      ttlSeconds: durationOf('ttl', args.required('ttl')) / 1000,
    };
    showKey(await apiOf(args, io).post<MadeKey>('/api/v1/keys', body), args, io);
    return 0;
  },
};

export const keysRotate: Command = {
  name: 'keys rotate',
  summary: 'Makes a new key in place of one, which goes on for a while. The key alone goes to stdout.',
  usage: 'ID [--overlap 1h] [--json]',
  options: { ...apiOptions, overlap: { type: 'string' } },
  details: `  --overlap 1h    how long the old one goes on; 0s ends it at once, with what was made from it\n${apiDetails}`,
  positionals: one,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const overlapSeconds = durationOf('overlap', args.text('overlap') ?? '1h', true) / 1000;
    showKey(await apiOf(args, io).post<MadeKey>(`/api/v1/keys/${wordOf(args)}/rotate`, { overlapSeconds }), args, io);
    return 0;
  },
};

export const keysRevoke: Command = revocation('keys revoke', 'Ends a key of a service account and the sessions that stand on it.', 'keys');
export const tokensRevoke: Command = revocation(
  'tokens revoke',
  'Takes a token or log-in back, by its id, and ends the sessions that stand on it.',
  'tokens',
);

export const tokensList: Command = {
  name: 'tokens ls',
  summary: 'Lists tokens and log-ins that are open: your own, and all with the right to revoke them.',
  usage: '[--user U] [--json]',
  options: { ...apiOptions, user: { type: 'string' } },
  details: `  --user U        of one user\n${apiDetails}`,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const { tokens } = await apiOf(args, io).get<{ readonly tokens: readonly TokenInfo[] }>('/api/v1/tokens', {
      user: args.text('user'),
      limit: String(MOST_LISTED),
    });
    showList(args, io, {
      items: tokens,
      none: 'no token is open',
      header: ['ID', 'WHO', 'KIND', 'PROVIDER', 'FOR', 'ISSUED', 'EXPIRES', 'LAST USED'],
      row: (token) => [
        token.id,
        token.name,
        token.kind,
        token.provider,
        token.audience ?? 'all',
        timeOf(token.issuedAt),
        timeOf(token.expiresAt),
        timeOf(token.lastUsedAt),
      ],
    });
    sayIfCut(tokens.length, io);
    return 0;
  },
};

interface Revocation {
  readonly kind: 'user' | 'credential';
  readonly id: string;
  readonly by: string;
  readonly reason: string;
  readonly at: number;
}

export const revocationsList: Command = {
  name: 'revocations ls',
  summary: 'Lists what has been taken back and stays so: users, and tokens, log-ins and keys by their ids.',
  usage: '[--json]',
  options: apiOptions,
  details: apiDetails,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const { revocations } = await apiOf(args, io).get<{ readonly revocations: readonly Revocation[] }>('/api/v1/revocations');
    showList(args, io, {
      items: revocations,
      none: 'nothing is revoked',
      header: ['SINCE', 'KIND', 'WHAT', 'BY', 'REASON'],
      row: ({ kind, id, by, reason, at }) => [timeOf(at), kind, whatOf(kind, id), by, reason],
    });
    return 0;
  },
};

/** The id of a user is the issuer and the name, with a space between. */
function whatOf(kind: Revocation['kind'], id: string): string {
  const space = id.indexOf(' ');
  return kind === 'user' && space !== -1 ? `${id.slice(space + 1)} of ${id.slice(0, space)}` : id;
}

export const usersRevoke: Command = userChange('revoke', 'Ends everything that stands on a user, and lets them in no more.');
export const usersRestore: Command = userChange('restore', 'Lets a user in again who had been revoked.');

function revocation(name: string, summary: string, kind: 'keys' | 'tokens'): Command {
  return {
    name,
    summary,
    usage: 'ID [--reason TEXT] [--json]',
    options: { ...apiOptions, ...reasonOption },
    details: `${reasonDetails}\n${apiDetails}`,
    positionals: one,
    async run(args: Arguments, io: Io): Promise<ExitCode> {
      const path = `/api/v1/${kind}/${wordOf(args)}/revoke`;
      const done = await apiOf(args, io).post<{ readonly known?: boolean }>(path, { reason: args.text('reason') ?? '' });
      io.out(args.flag('json') ? `${JSON.stringify(done)}\n` : 'revoked\n');
      if (done.known === false) io.err('no such token is on record; whoever presents it is refused from now on\n');
      return 0;
    },
  };
}

function userChange(word: 'revoke' | 'restore', summary: string): Command {
  return {
    name: `users ${word}`,
    summary,
    usage: 'NAME [--issuer I] [--reason TEXT] [--json]',
    options: { ...apiOptions, issuer: { type: 'string' }, ...reasonOption },
    details: [
      '  --issuer I      under this issuer alone: that of an identity provider, or the name of a gateway for the tokens of its command',
      '                  line; without it under all gateways and the one provider that has a user of the name',
      reasonDetails,
      apiDetails,
    ].join('\n'),
    positionals: one,
    async run(args: Arguments, io: Io): Promise<ExitCode> {
      const issuer = args.text('issuer');
      const body = { name: args.words[0] ?? '', reason: args.text('reason') ?? '', ...(issuer === undefined ? {} : { issuer }) };
      const done = await apiOf(args, io).post<{ readonly name: string; readonly issuers: readonly string[] }>(
        `/api/v1/users/${word}`,
        body,
      );
      if (args.flag('json')) io.out(`${JSON.stringify(done)}\n`);
      else io.out(`${word}d ${visible(`${done.name} of ${done.issuers.join(', ')}`)}\n`);
      return 0;
    },
  };
}

function showKey({ key, secret }: MadeKey, args: Arguments, io: Io): void {
  if (args.flag('json')) {
    io.out(`${JSON.stringify({ key, secret })}\n`);
    return;
  }
  io.out(`${secret}\n`);
  io.err(`${visible(`key ${key.id} of ${key.service}, until ${timeOf(key.expiresAt)}`)}\n`);
}

function wordOf(args: Arguments): string {
  return encodeURIComponent(args.words[0] ?? '');
}
