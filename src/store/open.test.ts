import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { sql } from 'kysely';
import { dataDirectory, quiet } from '../../test/support/control.ts';
import type { Store } from './model.ts';
import { openStore } from './open.ts';

const dir = dataDirectory();
const open = (env: Record<string, string> = {}): Promise<Store> =>
  openStore({ url: 'embedded', dataDir: dir.path, log: quiet, now: Date.now, env });
let store: Store;

before(async () => {
  // What a start that was killed may have left.
  mkdirSync(join(dir.path, 'store.new'));
  writeFileSync(join(dir.path, 'store.new', 'PG_VERSION'), '1');
  store = await open();
});
after(async () => {
  await store.close();
  dir.remove();
});

test('a new store is made with its key, and nothing is left of the making', () => {
  assert.equal(store.kind, 'embedded');
  assert.equal(store.downSince, null);
  assert.ok(!existsSync(join(dir.path, 'store.new')));
  assert.equal(statSync(join(dir.path, 'store')).mode & 0o777, 0o700);
  assert.equal(statSync(join(dir.path, 'keys', 'store.key')).mode & 0o777, 0o600);
});

test('the files belong to one process', async () => {
  await assert.rejects(open(), { code: 'store_in_use' });
});

test('numbers, bytes, lists and texts come back as what they were', async () => {
  const row = { id: 'x', service: 'a\\b\'"', groups: ['ä', '\u2028'], digest: Buffer.of(0, 255, 92), created_by: '', replaced_by: null };
  const times = { created_at: 1_769_860_800_123, expires_at: 9_007_199_254_740_991, last_used_at: null };
  await store.db
    .insertInto('service_keys')
    .values({ ...row, ...times, groups: JSON.stringify(row.groups) })
    .execute();
  const stored = await store.db.selectFrom('service_keys').selectAll().executeTakeFirstOrThrow();
  assert.deepEqual({ ...stored, digest: Buffer.from(stored.digest) }, { ...row, ...times });
  const { numDeletedRows } = await store.db.deleteFrom('service_keys').executeTakeFirst();
  assert.equal(numDeletedRows, 1n);
});

test('transactions do not interleave, and what fails leaves nothing', async () => {
  const user = { issuer: 'i', subject: 's', name: 'n', kind: 'user' as const, groups: '[]', first_seen: 0, last_seen: 0 };
  await store.db.insertInto('users').values(user).execute();
  const add = (): Promise<void> =>
    store.transaction(async (db) => {
      const { last_seen } = await db.selectFrom('users').select('last_seen').executeTakeFirstOrThrow();
      await db
        .updateTable('users')
        .set({ last_seen: last_seen + 1 })
        .execute();
    });
  const failing = store.transaction(async (db) => {
    await db.updateTable('users').set({ last_seen: 1_000 }).execute();
    throw new Error('on purpose');
  });
  await Promise.all([...Array.from({ length: 10 }, add), assert.rejects(failing, /on purpose/)]);
  assert.equal((await store.db.selectFrom('users').select('last_seen').executeTakeFirstOrThrow()).last_seen, 10);
});

test('an error of a statement has its code, and the next one goes on', async () => {
  await assert.rejects(sql`select 1 / 0`.execute(store.db), { code: '22012' });
  await assert.rejects(
    store.transaction((db) => sql`select * from nowhere`.execute(db)),
    { code: '42P01' },
  );
  assert.deepEqual((await sql<{ n: number }>`select 7 as n`.execute(store.db)).rows, [{ n: 7 }]);
});

test('a collision is tried again', async () => {
  let attempts = 0;
  const result = await store.transaction((db) => {
    attempts += 1;
    if (attempts === 1) throw Object.assign(new Error('could not serialize access'), { code: '40001' });
    return sql<{ n: number }>`select 1 as n`.execute(db);
  });
  assert.deepEqual([attempts, result.rows], [2, [{ n: 1 }]]);
});

test('notifications go to who listens to their topic, until they stop', async () => {
  const heard: string[] = [];
  const both = new Promise<void>((resolve) => {
    store.listen('grants', (payload) => {
      heard.push(`grants ${payload}`);
      if (payload === 'last') resolve();
    });
  });
  const stop = store.listen('approvals', (payload) => heard.push(`approvals ${payload}`));
  store.listen('approvals', () => {
    throw new Error('a listener that fails keeps nobody from hearing');
  });
  await store.notify('approvals', 'a b');
  stop();
  await store.notify('approvals', 'c');
  await store.notify('sessions', 'd');
  await store.notify('grants', 'last');
  await both;
  assert.deepEqual(heard, ['approvals a b', 'grants last']);
  await assert.rejects(store.notify('grants', 'x'.repeat(4_001)), RangeError);
});

test('closed and opened again it has kept everything; without its key it is refused', async () => {
  const sealed = store.seal(Buffer.from('secret'), 'place');
  const threads = process.getActiveResourcesInfo().filter((name) => name === 'MessagePort').length;
  await store.close();
  assert.ok(process.getActiveResourcesInfo().filter((name) => name === 'MessagePort').length < threads);
  await assert.rejects(sql`select 1`.execute(store.db));
  await assert.rejects(open({ SLUICE_STORE_KEY: Buffer.alloc(32, 3).toString('base64') }), { code: 'store_key_mismatch' });
  store = await open();
  assert.equal((await store.db.selectFrom('users').selectAll().execute()).length, 1);
  assert.equal(store.open(sealed, 'place').toString(), 'secret');
  await store.close();
  rmSync(join(dir.path, 'keys', 'store.key'));
  await assert.rejects(open(), { code: 'store_key_missing' });
  assert.ok(!existsSync(join(dir.path, 'keys', 'store.key')), 'no new key is made for an old store');
});
