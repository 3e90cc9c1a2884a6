import { basename } from 'node:path';

import { compileRules, dropRules } from '../../../native/binding/index.js';
import type { Config } from '../../config/model.ts';
import { GatewayError } from '../../errors.ts';
import { loadPolicies } from '../../policy/engine.ts';
import { vocabularies } from '../../protocols/registry.ts';
import type { Arguments, Command, ExitCode, Io } from '../command.ts';
import { configDetails, configOf, configOption } from '../config-option.ts';

export const check: Command = {
  name: 'check',
  summary: 'Checks the configuration and the policies, and starts nothing.',
  usage: '--config FILE',
  options: configOption,
  details: `${configDetails}\n\nPrints "ok" and a summary, or every problem as file:line:column: what; what to write instead.`,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const { config, warnings } = configOf(args, io, true);
    for (const warning of warnings) io.err(`warning: ${warning}\n`);
    const problems = [...problemsOf(() => checkPatterns(config))];
    let summary = '';
    problems.push(
      ...problemsOf(() => {
        const engine = loadPolicies(config.policies, vocabularies, basename(config.policies));
        summary = `${engine.policies.length} policies, snapshot ${engine.snapshot}`;
        engine.close();
      }),
    );
    if (problems.length > 0) {
      io.err(`${problems.join('\n')}\n`);
      return 1;
    }
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

/** The operator's own mask patterns are read by the engine that will run them. */
function checkPatterns(config: Config): void {
  try {
    dropRules(compileRules(JSON.stringify(config.masking)));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new GatewayError({
      code: 'config_invalid',
      source: 'gateway',
      phase: 'config',
      publicMessage: `${basename(config.file)}: masking: ${why}`,
      cause,
    });
  }
}

function problemsOf(body: () => void): string[] {
  try {
    body();
    return [];
  } catch (error) {
    if (error instanceof GatewayError) return [error.publicMessage];
    throw error;
  }
}
