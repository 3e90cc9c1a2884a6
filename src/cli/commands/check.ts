import { basename, join } from 'node:path';

import type { Config } from '../../config/model.ts';
import { isReference } from '../../config/secrets.ts';
import { loadPolicies } from '../../policy/engine.ts';
import { vocabularies } from '../../protocols/registry.ts';
import type { Arguments, Command, ExitCode, Io } from '../command.ts';
import { configDetails, configOption, inspectionOf } from '../config-option.ts';
import { policyProblems } from '../policy-problems.ts';

export const check: Command = {
  name: 'check',
  summary: 'Checks the configuration and the policies, and starts nothing.',
  usage: '--config FILE [--json]',
  options: { ...configOption, json: { type: 'boolean' } },
  details: `${configDetails}\n  --json          one JSON object: ok, problems, warnings, and what was found\n\nPrints "ok" and a summary, or every problem as file:line:column: what; what to write instead.`,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const { config, warnings, problems } = inspectionOf(args, io);
    const asJson = args.flag('json');
    if (!asJson) for (const warning of warnings) io.err(`warning: ${warning}\n`);
    const names = config?.resources.map((resource) => resource.name) ?? [];
    const all = [...problems, ...(config === null ? [] : policyProblems(config.policies, names))];
    if (config === null || all.length > 0) {
      if (asJson) io.out(`${JSON.stringify({ ok: false, problems: all, warnings })}\n`);
      else io.err(`${all.join('\n')}\n`);
      return 1;
    }
    const engine = loadPolicies(config.policies, vocabularies, basename(config.policies));
    const { snapshot } = engine;
    const count = engine.policies.length;
    engine.close();
    const { api, gateway, resources } = config;
    const listeners = Object.entries(config.listeners).map(([name, { host, port }]) => `${name} on ${host}:${port}`);
    if (api !== null) listeners.push(`https (API and pages) on ${api.address.host}:${api.address.port}, reached as ${api.url}`);
    if (asJson) {
      const found = { gateway: gateway.name, listeners, store: storeText(config), resources: names, policies: count, snapshot };
      io.out(`${JSON.stringify({ ok: true, problems: [], warnings, ...found })}\n`);
      return 0;
    }
    io.out(`ok\n  gateway ${gateway.name}: ${listeners.join(', ')}\n  store: ${storeText(config)}\n`);
    for (const resource of resources) {
      io.out(
        `  resource ${resource.name}: ${resource.kind} ${resource.host}:${resource.port}, accounts ${[...resource.accounts.keys()].join(', ')}\n`,
      );
    }
    io.out(`  ${count} policies, snapshot ${snapshot}\n`);
    return 0;
  },
};

/** Where the control store is. Of a connection string nothing but the place is told: the rest may be secret. */
function storeText({ store, gateway }: Config): string {
  if (store === 'embedded') return `embedded, in ${join(gateway.dataDir, 'store')}`;
  if (isReference(store)) return `a database of your own, named by ${store}`;
  if (!URL.canParse(store)) return 'a database of your own';
  const { host, pathname } = new URL(store);
  return `a database of your own, ${host}${pathname}`;
}
