import { cpSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDatabase } from '../../src/store/embedded.ts';

/**
 * Gives a data directory the files of a new, empty embedded database, when it has none: to make them takes seconds, to copy them does not. They
 * are made once for a version of it.
 */
export async function seedStore(dataDir: string): Promise<void> {
  const store = join(dataDir, 'store');
  if (existsSync(store)) return;
  const { version } = JSON.parse(
    readFileSync(new URL('../../node_modules/@electric-sql/pglite/package.json', import.meta.url), 'utf8'),
  ) as {
    version: string;
  };
  const template = join(tmpdir(), `sluice-store-${version}-${process.getuid?.() ?? 0}`);
  if (!existsSync(template)) {
    const draft = mkdtempSync(`${template}-`);
    await createDatabase(join(draft, 'store'));
    try {
      renameSync(join(draft, 'store'), template);
    } catch (error) {
      // Another test has made one at the same moment.
      if (!existsSync(template)) throw error;
    }
    rmSync(draft, { recursive: true, force: true });
  }
  cpSync(template, store, { recursive: true });
}
