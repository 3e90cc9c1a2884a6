import { parentPort, workerData } from 'node:worker_threads';
import { PGlite } from '@electric-sql/pglite';

/** The thread of the embedded database: it blocks for the length of each statement, so it is not the gateway's own. */

export interface EmbeddedSettings {
  readonly dataDir: string;
  readonly channel: string;
  /** Makes the files of a new database, and ends. */
  readonly initialize: boolean;
}

export type EmbeddedRequest =
  | { readonly id: number; readonly sql: string; readonly parameters: readonly unknown[] }
  | { readonly id: number; readonly close: true };

export type EmbeddedAnswer =
  | { readonly id: number; readonly command: string; readonly rowCount: number; readonly rows: readonly unknown[] }
  | { readonly id: number; readonly error: { readonly message: string; readonly code: string; readonly constraint: string } }
  | { readonly notification: string };

/** The control state is small: what counts is the memory it costs beside the gateway. */
const SETTINGS = ['shared_buffers = 4MB', 'max_wal_size = 32MB', 'min_wal_size = 32MB', 'work_mem = 1MB', 'maintenance_work_mem = 8MB'];

const { dataDir, channel, initialize } = workerData as EmbeddedSettings;
const port = parentPort;
if (port === null) throw new Error('this is the entry of a worker thread');
const answer = (message: EmbeddedAnswer): void => port.postMessage(message);

let database: PGlite | null = null;
try {
  database = await PGlite.create({ dataDir, postgresqlconf: SETTINGS });
  if (initialize) {
    await database.close();
    database = null;
  } else {
    await database.listen(channel, (notification) => answer({ notification }));
  }
  answer({ id: 0, command: '', rowCount: 0, rows: [] });
} catch (error) {
  answer({ id: 0, error: describe(error) });
  database = null;
}

if (database === null) {
  port.close();
} else {
  const open = database;
  // Requests wait for one another: two at once would share the one session.
  let last: Promise<void> = Promise.resolve();
  port.on('message', (request: EmbeddedRequest) => {
    last = last.then(() => serve(open, request));
  });
}

async function serve(open: PGlite, request: EmbeddedRequest): Promise<void> {
  const { id } = request;
  try {
    if ('close' in request) {
      await open.close();
      answer({ id, command: '', rowCount: 0, rows: [] });
      port?.close();
      return;
    }
    const result = await open.query<unknown>(request.sql, [...request.parameters]);
    answer({ id, command: result.command ?? '', rowCount: result.affectedRows ?? 0, rows: result.rows });
  } catch (error) {
    answer({ id, error: describe(error) });
  }
}

function describe(error: unknown): { message: string; code: string; constraint: string } {
  const { code, constraint } = (error ?? {}) as { code?: unknown; constraint?: unknown };
  return {
    message: error instanceof Error ? error.message : String(error),
    code: typeof code === 'string' ? code : '',
    constraint: typeof constraint === 'string' ? constraint : '',
  };
}
