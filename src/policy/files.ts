import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import { GatewayError } from '../errors.ts';

export interface PolicyFile {
  /** As problems name it, e.g. `policies/base.cedar`. */
  readonly name: string;
  readonly text: string;
}

/**
 * The `*.cedar` files of a directory, in order of name. `label` is the directory as problems should name it. Throws GatewayError
 * `policy_invalid`: unreadable, or no policies at all.
 */
export function readPolicies(dir: string, label = dir): PolicyFile[] {
  let files: PolicyFile[];
  try {
    const names = readdirSync(dir)
      .filter((name) => name.endsWith('.cedar'))
      .sort();
    files = names.map((name) => ({
      name: join(label, name),
      text: new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(join(dir, name))),
    }));
  } catch (error) {
    throw invalid(`${label}: cannot read the policies: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  // Without policies everything is denied: surely not meant, so say it at start and not at the first statement.
  if (files.length === 0) throw invalid(`${label}: no *.cedar file here; without policies everything is denied`);
  return files;
}

/** SHA-256 over the schema and each file's base name and text, every part preceded by its length. The directory does not count. */
export function snapshotOf(schema: string, files: readonly PolicyFile[]): string {
  const hash = createHash('sha256');
  for (const part of [schema, ...files.flatMap((file) => [basename(file.name), file.text])]) {
    hash.update(`${Buffer.byteLength(part)}:`).update(part);
  }
  return hash.digest('hex');
}

/** GatewayError `policy_invalid`. */
export function invalid(message: string, cause?: unknown): GatewayError {
  return new GatewayError({
    code: 'policy_invalid',
    source: 'gateway',
    phase: 'config',
    publicMessage: message,
    ...(cause === undefined ? {} : { cause }),
  });
}
