import { openStore } from '../../src/store/open.ts';
import { quiet } from '../support/control.ts';

/** Writes one user after another into an embedded store, and says which it has committed: `store-writer.ts DIR KEY`. */
const [dataDir, key] = process.argv.slice(2);
if (dataDir === undefined || key === undefined) throw new Error('usage: store-writer.ts DIR KEY');
const store = await openStore({ url: 'embedded', dataDir, log: quiet, now: Date.now, env: { SLUICE_STORE_KEY: key } });
for (let i = 0; ; i++) {
  const user = { issuer: 'i', subject: String(i), name: `n${i}`, kind: 'user', groups: '[]', first_seen: i, last_seen: i } as const;
  await store.db.insertInto('users').values(user).execute();
  process.stdout.write(`${i}\n`);
}
