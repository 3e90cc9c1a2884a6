import type { StatementInfo } from './analysis.ts';

/**
 * Functions that carry an argument out of the statement, to where another one reads it back with nothing to tell where it
 * came from: settings, notifications, sequences, the numbers of advisory locks.
 */
const CARRIERS: ReadonlySet<string> = new Set([
  'set_config',
  'setval',
  'pg_notify',
  'pg_logical_emit_message',
  ...['lock', 'lock_shared', 'xact_lock', 'xact_lock_shared', 'unlock', 'unlock_shared'].map((name) => `pg_advisory_${name}`),
  ...['lock', 'lock_shared', 'xact_lock', 'xact_lock_shared'].map((name) => `pg_try_advisory_${name}`),
]);

/** The carrier that a statement calls with an argument that is computed, or null. For set_config with constants only, null. */
export function carrierOf(statement: StatementInfo): string | null {
  for (const name of statement.functions) {
    const plain = name.slice(name.lastIndexOf('.') + 1);
    if (!CARRIERS.has(plain)) continue;
    if (plain === 'set_config' && !statement.dynamicSettings && statement.settings.every((setting) => setting.value !== null)) continue;
    return plain;
  }
  return null;
}
