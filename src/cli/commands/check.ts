import { basename } from 'node:path';

import { loadPolicies } from '../../policy/engine.ts';
import { vocabularies } from '../../protocols/registry.ts';
import type { Arguments, Command, ExitCode, Io } from '../command.ts';
import { configDetails, configOption, inspectionOf } from '../config-option.ts';
import { policyProblems } from '../policy-problems.ts';

export const check: Command = {
  name: 'check',
  summary: 'Checks the configuration and the policies, and starts nothing.',
  usage: '--config FILE',
  options: configOption,
  details: `${configDetails}\n\nPrints "ok" and a summary, or every problem as file:line:column: what; what to write instead.`,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const { config, warnings, problems } = inspectionOf(args, io);
    for (const warning of warnings) io.err(`warning: ${warning}\n`);
    const names = config?.resources.map((resource) => resource.name) ?? [];
    const all = [...problems, ...(config === null ? [] : policyProblems(config.policies, names))];
    if (config === null || all.length > 0) {
      io.err(`${all.join('\n')}\n`);
      return 1;
    }
    const engine = loadPolicies(config.policies, vocabularies, basename(config.policies));
    const summary = `${engine.policies.length} policies, snapshot ${engine.snapshot}`;
    engine.close();
    const listeners = Object.entries(config.listeners).map(([name, { host, port }]) => `${name} on ${host}:${port}`);
    io.out(`ok\n  gateway ${config.gateway.name}: ${listeners.join(', ')}\n`);
    for (const resource of config.resources) {
      io.out(
        `  resource ${resource.name}: ${resource.kind} ${resource.host}:${resource.port}, accounts ${[...resource.accounts.keys()].join(', ')}\n`,
      );
    }
    io.out(`  ${summary}\n`);
    return 0;
  },
};
