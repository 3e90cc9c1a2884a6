import { type Kysely, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { storeInvalid } from './errors.ts';
import { up as control } from './migrations/0001-control.ts';
import { up as approvalReason } from './migrations/0003-approval-reason.ts';
import { up as revokedBefore } from './migrations/0004-revoked-before.ts';
import { up as tokenKeys } from './migrations/0005-token-keys.ts';
import { up as grantEnd } from './migrations/0006-grant-end.ts';
import { up as shownElsewhere } from './migrations/0007-shown-elsewhere.ts';
import { up as tokenAudience } from './migrations/0008-token-audience.ts';
import type { ControlSchema } from './schema.ts';

/** In order of name. Forward only: there is no way back but a backup. */
const migrations: Readonly<Record<string, Migration>> = {
  '0001-control': { up: control },
  '0003-approval-reason': { up: approvalReason },
  '0004-revoked-before': { up: revokedBefore },
  '0005-token-keys': { up: tokenKeys },
  '0006-grant-end': { up: grantEnd },
  '0007-shown-elsewhere': { up: shownElsewhere },
  '0008-token-audience': { up: tokenAudience },
};

const TABLE = 'sluice_migrations';

/**
 * Brings the schema up to date, one gateway at a time (an advisory lock of the database). Throws GatewayError `store_newer` when a later version of
 * the software has been here, `store_migration_failed`. `last`: the schema as it was after that migration, for tests of what comes later.
 */
export async function migrate(db: Kysely<ControlSchema>, last?: string): Promise<void> {
  await refuseNewer(db);
  const migrator = new Migrator({
    db,
    provider: { getMigrations: () => Promise.resolve({ ...migrations }) },
    migrationTableName: TABLE,
    migrationLockTableName: `${TABLE}_lock`,
  });
  const { error, results } = await (last === undefined ? migrator.migrateToLatest() : migrator.migrateTo(last));
  if (error === undefined) return;
  // Another gateway of a later version may have been first by a moment.
  await refuseNewer(db);
  const failed = results?.find(({ status }) => status === 'Error')?.migrationName;
  throw storeInvalid(
    'store_migration_failed',
    `the schema of the store cannot be brought up to date${failed === undefined ? '' : ` (${failed})`}: ${message(error)}`,
    'nothing was changed; the database role needs the right to create tables',
    error,
  );
}

async function refuseNewer(db: Kysely<ControlSchema>): Promise<void> {
  const { rows: found } = await sql<{ there: boolean }>`select to_regclass(${TABLE}) is not null as there`.execute(db);
  if (found[0]?.there !== true) return;
  const { rows } = await sql<{ name: string }>`select name from ${sql.table(TABLE)} order by name`.execute(db);
  const unknown = rows.map(({ name }) => name).filter((name) => !(name in migrations));
  if (unknown.length > 0)
    throw storeInvalid(
      'store_newer',
      `the store was brought up to date by a later version (${unknown.join(', ')})`,
      'start that version or a later one: this one would not know what it finds',
    );
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
