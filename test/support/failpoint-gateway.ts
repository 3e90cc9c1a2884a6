import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadConfig } from '../../src/config/load.ts';
import { protocols } from '../../src/protocols/registry.ts';
import { startGateway } from '../../src/session/gateway.ts';

/**
 * A gateway as `sluice gateway --config FILE` is one, that kills itself with SIGKILL at a named place. It is armed by a file
 * `armed` beside the configuration: the name of the failpoint and at which of its hits, counted from then on, it happens.
 */
const { values } = parseArgs({ options: { config: { type: 'string', default: '' } } });
const { config } = loadConfig(values.config, { protocols, env: process.env });
const armed = join(dirname(config.file), 'armed');
const log = (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
  process.stderr.write(`${JSON.stringify({ message, ...fields })}\n`);
};

let hits = 0;
await startGateway(config, {
  log: { debug: () => {}, info: log, warn: log, error: log },
  failpoints: {
    hit(name) {
      if (!existsSync(armed)) return;
      const [wanted, at] = readFileSync(armed, 'utf8').split(' ');
      if (name === wanted && ++hits === Number(at)) process.kill(process.pid, 'SIGKILL');
    },
  },
});
process.stdout.write('ready\n');
