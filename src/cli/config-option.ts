import { compileRules, dropRules } from '../../native/binding/index.js';
import { type Inspection, inspectConfig, type LoadedConfig, type LoadOptions, loadConfig } from '../config/load.ts';
import type { MaskingCheck } from '../config/masking.ts';
import { protocols } from '../protocols/registry.ts';
import type { Arguments, Io } from './command.ts';

export const configOption = { config: { type: 'string', short: 'c' } } as const;

export const configDetails = '  --config FILE   the configuration file (sluice.yaml)';

/** The configuration named by --config. With `checked`, every secret and file it refers to must be there. */
export function configOf(args: Arguments, io: Io, checked = false): LoadedConfig {
  return loadConfig(args.required('config'), checked ? thorough(io) : { protocols, masking });
}

/** As configOf with `checked`, and says what is wrong instead of throwing it. */
export function inspectionOf(args: Arguments, io: Io): Inspection {
  return inspectConfig(args.required('config'), thorough(io));
}

function thorough(io: Io): LoadOptions {
  return { protocols, masking, env: io.env };
}

const masking: MaskingCheck = (settings) => {
  try {
    dropRules(compileRules(JSON.stringify(settings)));
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};
