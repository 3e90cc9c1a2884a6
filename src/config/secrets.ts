import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import { GatewayError } from '../errors.ts';
import { whyUnreadable } from './unreadable.ts';

/** Environment and base directory that references are read against. */
export interface SecretSource {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Directory of the configuration file. */
  readonly dir: string;
}

const maxSecretBytes = 64 * 1024;

/** Whether the value is a reference and not the secret itself. */
export function isReference(value: string): boolean {
  return value.startsWith('env:') || value.startsWith('file:');
}

/**
 * The secret a value stands for: `env:NAME`, `file:PATH` (one newline at its end is dropped), anything else is the secret itself.
 * Read at every use, so that a rotated file counts at once. Throws GatewayError `secret_missing`, which names the
 * reference and never its content.
 */
export function secret(reference: string, source: SecretSource): string {
  if (reference.startsWith('env:')) {
    const name = reference.slice('env:'.length);
    const value = source.env[name];
    if (value === undefined || value === '') throw missing(`the environment variable ${name} is not set`);
    return value;
  }
  if (reference.startsWith('file:')) {
    const path = resolve(source.dir, reference.slice('file:'.length));
    let bytes: Buffer;
    try {
      bytes = readFileSync(path);
    } catch (error) {
      throw missing(`the file ${path} cannot be read: ${whyUnreadable(error)}`);
    }
    const value = bytes.toString('utf8').replace(/\r?\n$/, '');
    if (value === '') throw missing(`the file ${path} is empty`);
    if (bytes.length > maxSecretBytes) throw missing(`the file ${path} is too large for a secret`);
    return value;
  }
  return reference;
}

function missing(publicMessage: string): GatewayError {
  return new GatewayError({ code: 'secret_missing', source: 'gateway', phase: 'config', publicMessage });
}
