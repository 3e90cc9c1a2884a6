import { Log, logLevels } from '../../log.ts';
import { type Arguments, type Command, type ExitCode, type Io, UsageError } from '../command.ts';
import { configDetails, configOf, configOption } from '../config-option.ts';

export const gateway: Command = {
  name: 'gateway',
  summary: 'Runs the gateway until SIGTERM or SIGINT, then lets operations in flight end.',
  usage: '--config FILE [--log-level info]',
  options: { ...configOption, 'log-level': { type: 'string', default: 'info' } },
  details: [
    configDetails,
    `  --log-level L   least level to log: ${logLevels.join(', ')}`,
    '',
    'Prints the line "ready" on stdout once every listener is open; logs JSON lines to stderr. SIGHUP reads the policies anew,',
    'which changed files do by themselves as well. A second SIGTERM or SIGINT ends it at once.',
  ].join('\n'),
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const level = logLevels.find((name) => name === args.text('log-level'));
    if (level === undefined) throw new UsageError(`--log-level is one of ${logLevels.join(', ')}`);
    const { config, warnings } = configOf(args, io, true);
    const log = new Log({ write: io.err, level });
    for (const warning of warnings) log.warn('configuration', { warning });
    // Loaded only here: the other commands need no worker threads and no listeners.
    const { startGateway } = await import('../../session/gateway.ts');
    // From here on a hang-up does not end it, whenever it comes.
    let reload = (): void => {};
    io.onReload?.(() => reload());
    const stopped = io.stopped();
    const running = await startGateway(config, { log });
    reload = () => void running.reloadPolicies();
    io.out('ready\n');
    await stopped;
    log.info('draining');
    await running.close();
    log.info('stopped');
    return 0;
  },
};
