import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Kysely, PostgresDialect, sql } from 'kysely';
import { createIdentity } from '../../src/identity/create.ts';
import type { Identity } from '../../src/identity/model.ts';
import type { Backend } from '../../src/store/backend.ts';
import { openEmbedded } from '../../src/store/embedded.ts';
import { migrate } from '../../src/store/migrate.ts';
import type { Store } from '../../src/store/model.ts';
import type { ControlSchema } from '../../src/store/schema.ts';
import { Seal } from '../../src/store/seal.ts';
import { openShared } from '../../src/store/shared.ts';
import {
  dataDirectory,
  gatewayOver,
  person,
  quiet,
  refusedWith,
  TEST_KEY,
  TestClock,
  type TestGateway,
  testStore,
  urlOf,
} from '../support/control.ts';
import { seedStore } from '../support/embedded-store.ts';
import { identityConfig } from '../support/identity.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';

/** A store that the first version began and used, opened by this one: over both databases. */

const FIRST = '0001-control';
const seal = new Seal(Buffer.from(TEST_KEY, 'base64'));
const keyId = '0123456789abcdef';
const keySecret = 'A'.repeat(43);

type Row = Readonly<Record<string, string | number | boolean | Buffer | null>>;

/** One row of each table, as the first version wrote it. */
function rowsAt(now: number): Readonly<Record<string, Row>> {
  const requester = JSON.stringify({ name: 'ada', issuer: 'idp', subject: 'sub-ada' });
  const approvers = JSON.stringify([{ group: 'dba', needed: 2 }]);
  const vote = {
    approver: 'bob',
    issuer: 'idp',
    subject: 'sub-bob',
    groups: '["dba"]',
    decision: 'approve',
    reason: 'OPS-1',
    at: now - 50,
  };
  return {
    seal_check: { id: 1, sealed: seal.seal(Buffer.from('seal-check'), 'seal-check') },
    users: {
      issuer: 'idp',
      subject: 'sub-ada',
      name: 'ada',
      kind: 'user',
      groups: '["developers"]',
      first_seen: now - 9_000,
      last_seen: now - 900,
    },
    revocations: { kind: 'user', id: 'idp mallory', revoked_by: 'root', reason: 'left', at: now - 1_000 },
    service_keys: {
      id: keyId,
      service: 'nightly',
      groups: '["jobs"]',
      digest: seal.digest([Buffer.from(keyId), Buffer.from(keySecret)], 'service-key'),
      created_by: 'root',
      created_at: now - 5_000,
      expires_at: now + 86_400_000,
      last_used_at: null,
      replaced_by: null,
    },
    login_attempts: {
      id: 'attempt',
      kind: 'oidc',
      sealed: seal.seal(Buffer.from('{}'), 'x'),
      created_at: now,
      expires_at: now + 600_000,
    },
    web_sessions: {
      digest: Buffer.alloc(32, 1),
      principal: requester,
      csrf: 'c',
      created_at: now,
      last_used_at: now,
      expires_at: now + 600_000,
    },
    issued_tokens: {
      id: 'token-1',
      issuer: 'idp',
      subject: 'sub-ada',
      name: 'ada',
      kind: 'user',
      provider: 'corp',
      refresh: null,
      issued_at: now - 100,
      expires_at: now + 600_000,
      last_used_at: null,
    },
    approvals: {
      id: 'approval-1',
      state: 'pending',
      mode: 'retry',
      gateway: 'gw-1',
      process: 'gw-1',
      sid: 's1',
      requester,
      source: '10.0.0.9:4000',
      resource: 'payments',
      account: 'read-write',
      action: 'delete',
      objects: '["delete public.cards"]',
      policies: '["destructive"]',
      approvers,
      statement: "delete from cards where number = '****'",
      params: '[]',
      estimate: '{"rows":3}',
      digest: Buffer.alloc(32, 2),
      row_budget: null,
      created_at: now - 100,
      expires_at: now + 600_000,
      decided_at: null,
    },
    approval_votes: { request: 'approval-1', ...vote },
    grants: {
      id: 'grant-1',
      state: 'active',
      user_name: 'ada',
      user_issuer: 'idp',
      user_subject: 'sub-ada',
      resource: 'payments',
      role: 'read-only',
      seconds: 3600,
      reason: 'on duty',
      ticket: 'OPS-2',
      break_glass: false,
      approvers: '[{"group":"dba","needed":1}]',
      created_at: now - 100,
      starts_at: now - 50,
      expires_at: now + 3_600_000,
      last_used_at: null,
    },
    grant_votes: { request: 'grant-1', ...vote },
    gateways: { process: 'gw-0', gateway: 'gw-0', started_at: now - 86_000_000, seen_at: now - 80_000_000 },
  };
}

for (const kind of ['embedded', 'shared'] as const) {
  describe(`a ${kind} store of the first version`, () => {
    const dir = dataDirectory();
    const clock = new TestClock();
    const wrote = rowsAt(clock.now());
    let server: Postgres | null = null;
    let store: Store;
    let gateway: TestGateway;
    let identity: Identity;
    let original: Readonly<Record<string, readonly object[]>>;
    let migrated: Readonly<Record<string, readonly object[]>>;

    const backendOf = (): Promise<Backend> => {
      const options = { onNotification: () => {}, now: clock.now, log: quiet };
      return server === null ? openEmbedded(dir.path, options) : openShared(urlOf(server), options, 10_000);
    };

    before(async () => {
      if (kind === 'shared') server = await startPostgres();
      else await seedStore(dir.path);
      const backend = await backendOf();
      const db = new Kysely<ControlSchema>({ dialect: new PostgresDialect({ pool: backend.pool }) });
      await migrate(db, FIRST);
      for (const [table, row] of Object.entries(wrote)) {
        const names = sql.join(Object.keys(row).map((name) => sql.ref(name)));
        await sql`insert into ${sql.table(table)} (${names}) values (${sql.join(Object.values(row))})`.execute(db);
      }
      original = await contents(db, await tablesOf(db));
      await db.destroy();
      await backend.close();
      store = await testStore(server === null ? 'embedded' : urlOf(server), dir.path, clock);
      migrated = await contents(store.db, Object.keys(original));
      gateway = await gatewayOver(store, { name: 'gw-1', clock });
      identity = createIdentity({
        config: identityConfig(),
        gateway: 'gw-1',
        process: 'gw-1',
        tokenKey: generateKeyPairSync('ed25519'),
        store,
        recorder: { append: () => 0 },
        mask: (text) => text,
        reservedGroups: new Set(),
        check: (principal) => gateway.access.revocations.check(principal),
        onRevoked: async () => {},
        onReturned: async () => {},
        onCredentialRevoked: async () => {},
        secret: (reference) => reference,
        now: clock.now,
        log: quiet,
      });
    });
    after(async () => {
      await identity?.close();
      await gateway?.access.close();
      await store?.close();
      await server?.stop();
      dir.remove();
    });

    test('had something in every table, and has it still', () => {
      assert.deepEqual(Object.keys(original).sort(), Object.keys(wrote).sort());
      for (const [table, rows] of Object.entries(original)) {
        assert.equal(rows.length, 1, table);
        const [row = {}] = migrated[table] ?? [];
        assert.deepEqual(Object.fromEntries(Object.keys(rows[0] ?? {}).map((name) => [name, (row as Row)[name]])), rows[0], table);
      }
    });

    test('what was revoked stays so, and what the user had does not come back with a restore', async () => {
      const { revocations } = gateway.access;
      const mallory = person('mallory');
      const issued = (issuedAt: number) => ({ ...mallory, credential: { ...mallory.credential, issuedAt } });
      assert.deepEqual(
        (await revocations.list()).map(({ id, by, reason }) => [id, by, reason]),
        [['idp mallory', 'root', 'left']],
      );
      assert.throws(() => revocations.check(issued(clock.now())), refusedWith('revoked'));
      await revocations.restoreUser('mallory', 'idp', person('root'), '');
      assert.throws(() => revocations.check(issued(clock.now())), refusedWith('revoked'));
      revocations.check(issued(clock.now() + 1));
    });

    test('a request is shown and decided with the votes it had, a grant is in force and revoked', async () => {
      const { approvals, grants } = gateway.access;
      const approval = await approvals.get('approval-1');
      assert.deepEqual(
        [approval?.state, approval?.reason, approval?.estimate, approval?.votes.map(({ approver }) => approver)],
        ['pending', '', { rows: 3 }, ['bob']],
      );
      assert.equal((await approvals.decide('approval-1', person('eve', ['dba']), 'approve', '')).state, 'approved');
      assert.deepEqual(
        grants.groupsOf(person('ada')).map(({ group, grant }) => [group, grant]),
        [['payments/read-only', 'grant-1']],
      );
      const grant = await grants.get('grant-1');
      assert.deepEqual([grant?.ticket, grant?.votes.length], ['OPS-2', 1]);
      assert.equal((await grants.revoke('grant-1', person('bob', ['dba']), 'enough')).state, 'revoked');
    });

    test('keys, tokens and names are known', async () => {
      const principal = await identity.authenticator.authenticate(`slk_${keyId}_${keySecret}`, 'nightly');
      assert.deepEqual([principal.kind, principal.groups], ['service', ['jobs']]);
      assert.deepEqual(
        (await identity.tokens.list({ limit: 10 })).map(({ id, name }) => [id, name]),
        [['token-1', 'ada']],
      );
      assert.deepEqual(
        (await identity.serviceKeys.list()).map(({ id }) => id),
        [keyId],
      );
    });

    test('tables that came later are there', async () => {
      await identity.start();
      assert.equal((await store.db.selectFrom('token_keys').select('issuer').execute()).length, 1);
      assert.deepEqual(await gateway.access.alerts.latest(), { alerts: [], complete: true });
    });
  });
}

async function tablesOf(db: Kysely<ControlSchema>): Promise<readonly string[]> {
  const { rows } = await sql<{ name: string }>`
    select tablename as name from pg_tables where schemaname = 'public' and tablename not like 'sluice_migrations%'`.execute(db);
  return rows.map(({ name }) => name);
}

async function contents(db: Kysely<ControlSchema>, tables: readonly string[]): Promise<Readonly<Record<string, readonly object[]>>> {
  const found: Record<string, readonly object[]> = {};
  for (const table of tables) found[table] = (await sql<object>`select * from ${sql.table(table)}`.execute(db)).rows;
  return found;
}
