import { type LoadedConfig, loadConfig } from '../config/load.ts';
import { protocols } from '../protocols/registry.ts';
import type { Arguments, Io } from './command.ts';

export const configOption = { config: { type: 'string', short: 'c' } } as const;

export const configDetails = '  --config FILE   the configuration file (sluice.yaml)';

/** The configuration named by --config. With `checked`, every secret and file it refers to must be there. */
export function configOf(args: Arguments, io: Io, checked = false): LoadedConfig {
  const file = args.required('config');
  return loadConfig(file, checked ? { protocols, env: io.env } : { protocols });
}
