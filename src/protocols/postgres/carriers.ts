import type { StatementInfo } from './analysis.ts';
import type { CatalogSnapshot } from './catalog.ts';

/**
 * Carriers: functions that can take what they are given out of the statement, to where it is read with nothing to tell where it
 * came from. Every function of PostgreSQL that is volatile, by the server's own word, and takes arguments is one, unless it is
 * listed here as harmless: so one that a new version brings is one too. Those that are known are named all the same, so that it
 * does not take the server's word for them, and so that each has been looked at: a test holds both lists against real servers.
 */

/** Names that begin with `prefix`. */
const all = (prefix: string, ...names: readonly string[]): readonly string[] => names.map((name) => `${prefix}${name}`);

export const CARRIERS: ReadonlySet<string> = new Set([
  // Settings, and the state of random().
  ...['set_config', 'setseed'],
  // They draw as many random numbers as they are asked for: the next one after a known seed tells how many.
  ...['array_sample', 'array_shuffle'],
  // What sequences and counters of OIDs stand at.
  ...['setval', 'pg_nextoid'],
  // Messages to others, into the log or the write-ahead log.
  ...['pg_notify', 'pg_logical_emit_message', 'pg_create_restore_point', 'pg_log_backend_memory_contexts'],
  // Locks, whose numbers everyone sees in pg_locks.
  ...all('pg_advisory_', 'lock', 'lock_shared', 'xact_lock', 'xact_lock_shared', 'unlock', 'unlock_shared'),
  ...all('pg_try_advisory_', 'lock', 'lock_shared', 'xact_lock', 'xact_lock_shared'),
  // Time: how long it takes is what it was given.
  ...all('pg_sleep', '', '_for', '_until'),
  // Large objects: their contents, numbers and positions.
  ...all('lo_', 'close', 'creat', 'create', 'export', 'from_bytea', 'get', 'import', 'lseek', 'lseek64', 'open', 'put', 'tell', 'tell64'),
  ...['lo_truncate', 'lo_truncate64', 'lo_unlink', 'loread', 'lowrite'],
  // Files of the server, by name: reading one leaves traces, and errors quote the name.
  ...all('pg_', 'read_file', 'read_file_old', 'read_binary_file', 'stat_file', 'ls_dir', 'ls_replslotdir', 'ls_tmpdir', 'current_logfile'),
  'pg_wal_summary_contents',
  // SQL given as text, and cursors, which move.
  ...['query_to_xml', 'query_to_xml_and_xmlschema', 'query_to_xmlschema', 'cursor_to_xml', 'cursor_to_xmlschema', 'ts_stat', 'ts_rewrite'],
  // Statistics of tables, which everyone reads in pg_class; and counters, which show when they were reset.
  ...all('pg_restore_', 'relation_stats', 'attribute_stats'),
  ...all('pg_clear_', 'relation_stats', 'attribute_stats'),
  ...all('pg_stat_reset_', 'backend_stats', 'replication_slot', 'shared', 'single_function_counters', 'single_table_counters', 'slru'),
  'pg_stat_reset_subscription_stats',
  // Names and positions of replication.
  ...all('pg_replication_origin_', 'advance', 'create', 'drop', 'session_setup', 'xact_setup'),
  // These flush what they look at.
  ...all('pg_replication_origin_', 'progress', 'session_progress'),
  ...all('pg_create_', 'logical_replication_slot', 'physical_replication_slot'),
  ...all('pg_copy_', 'logical_replication_slot', 'physical_replication_slot'),
  ...['pg_drop_replication_slot', 'pg_replication_slot_advance'],
  ...all('pg_logical_slot_', 'get_changes', 'get_binary_changes', 'peek_changes', 'peek_binary_changes'),
  // Backups and processes.
  ...['pg_backup_start', 'pg_backup_stop', 'pg_promote', 'pg_cancel_backend', 'pg_terminate_backend'],
  ...['pg_start_backup', 'pg_stop_backup'],
  // What is done to catalogs and indexes.
  ...all('brin_', 'desummarize_range', 'summarize_new_values', 'summarize_range'),
  ...['gin_clean_pending_list', 'pg_extension_config_dump', 'pg_import_system_collations'],
  ...all('binary_upgrade_', 'add_sub_rel_state', 'create_empty_extension', 'logical_slot_has_caught_up', 'replorigin_advance'),
  ...all('binary_upgrade_set_', 'missing_value', 'record_init_privs', 'next_array_pg_type_oid', 'next_heap_pg_class_oid'),
  ...all('binary_upgrade_set_next_', 'heap_relfilenode', 'index_pg_class_oid', 'index_relfilenode', 'multirange_array_pg_type_oid'),
  ...all('binary_upgrade_set_next_', 'multirange_pg_type_oid', 'pg_authid_oid', 'pg_enum_oid', 'pg_tablespace_oid', 'pg_type_oid'),
  ...all('binary_upgrade_set_next_', 'toast_pg_class_oid', 'toast_relfilenode'),
]);

/** Volatile functions that keep nothing of what they are given. */
export const HARMLESS: ReadonlySet<string> = new Set([
  // They give a number back. How often they were called is how many rows there were, which no mask hides.
  ...['random', 'random_normal', 'uuidv7'],
  // One step of a sequence that has to exist: once more, how many rows there were.
  'nextval',
  // They look something up, which may have changed in between, and so are volatile.
  ...['currval', 'pg_sequence_last_value', 'pg_get_sequence_data', 'currtid2'],
  ...all('pg_', 'relation_size', 'table_size', 'indexes_size', 'total_relation_size', 'database_size', 'tablespace_size'),
  ...all('pg_', 'partition_ancestors', 'partition_tree', 'collation_actual_version', 'database_collation_actual_version'),
  ...all('pg_', 'blocking_pids', 'safe_snapshot_blocking_pids', 'isolation_test_session_is_blocked'),
  ...all('pg_', 'xact_status', 'xact_commit_timestamp', 'xact_commit_timestamp_origin', 'get_multixact_members'),
  'txid_status',
  ...all('pg_stat_', 'have_stats', 'get_backend_io', 'get_backend_wal'),
  ...all('pg_stat_get_xact_', 'blocks_fetched', 'blocks_hit', 'numscans', 'tuples_deleted', 'tuples_fetched', 'tuples_hot_updated'),
  ...all('pg_stat_get_xact_', 'tuples_inserted', 'tuples_newpage_updated', 'tuples_returned', 'tuples_updated'),
  ...all('pg_stat_get_xact_function_', 'calls', 'self_time', 'total_time'),
  // They check what was defined, and say whether it is valid.
  ...['amvalidate', 'plpgsql_validator'],
]);

/** The carrier that a statement calls, or null. For set_config with constants only, null. */
export function carrierOf(statement: StatementInfo, catalog: Pick<CatalogSnapshot, 'isVolatile'>): string | null {
  for (const name of statement.functions) {
    const plain = name.slice(name.lastIndexOf('.') + 1);
    if (!CARRIERS.has(plain) && (HARMLESS.has(plain) || !catalog.isVolatile(plain))) continue;
    if (plain === 'set_config' && !statement.dynamicSettings && statement.settings.every((setting) => setting.value !== null)) continue;
    return plain;
  }
  return null;
}
