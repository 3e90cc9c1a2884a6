import { parseDuration } from '../../config/values.ts';
import { type LocalToken, signToken, type TokenRequest } from '../../identity/local-token.ts';
import { tokenKey } from '../../identity/signing-key.ts';
import { type Arguments, type Command, type ExitCode, type Io, UsageError } from '../command.ts';
import { configDetails, configOf, configOption } from '../config-option.ts';

export const tokenIssue: Command = {
  name: 'token issue',
  summary: 'Issues a token to log in with as the password. The token alone goes to stdout.',
  usage: '--config FILE --user U [--group G]... --ttl 8h [--service] [--api] [--json]',
  options: {
    ...configOption,
    user: { type: 'string' },
    group: { type: 'string', multiple: true },
    ttl: { type: 'string' },
    service: { type: 'boolean' },
    api: { type: 'boolean' },
    json: { type: 'boolean' },
  },
  details: [
    configDetails,
    '  --user U        the name to log in with; one person or one service',
    '  --group G       a group policies know; may be given several times',
    '  --ttl 8h        how long it is valid: 90s, 15m, 8h, 30d',
    '  --service       for a service account instead of a person',
    '  --api           good for the API and the commands that use it as well (SLUICE_TOKEN): approvals, grants, revocations;',
    '                  keep such a one out of ~/.pgpass. Without it: for connections to resources alone',
    '  --json          with its id, by which it is revoked, and its end',
  ].join('\n'),
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const user = args.required('user');
    const ttl = args.required('ttl');
    const ttlMs = parseDuration(ttl);
    if (ttlMs === null) throw new UsageError(`--ttl "${ttl}" is not a duration; write e.g. 8h, 15m or 30d`);
    const { config } = configOf(args, io);
    const { privateKey } = tokenKey(config.gateway.dataDir);
    const request: TokenRequest = {
      user,
      kind: args.flag('service') ? 'service' : 'user',
      groups: args.list('group'),
      ttlMs,
      ...(args.flag('api') ? {} : { audience: 'connect' }),
    };
    let issued: LocalToken;
    try {
      issued = signToken(request, config.gateway.name, privateKey, io.now());
    } catch (error) {
      if (error instanceof RangeError) throw new UsageError(error.message);
      throw error;
    }
    if (request.groups.length === 0)
      io.err(`warning: no --group: policies that speak of groups permit ${user} nothing, and what none permits is denied\n`);
    io.out(args.flag('json') ? `${JSON.stringify({ ...issued, user })}\n` : `${issued.token}\n`);
    return 0;
  },
};
