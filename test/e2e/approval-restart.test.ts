import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { type RecordLine, type Stage, startStage } from '../support/stage.ts';
import type { Wire } from '../support/wire.ts';
import { encode } from '../support/wire-messages.ts';

/** Gateways that end while statements wait, in a process of their own: in order, and without a word. */
const dir = mkdtempSync(join(tmpdir(), 'sluice-policies-'));
let stage: Stage;
before(async () => {
  cpSync(join(import.meta.dirname, '../../deploy/policies'), dir, { recursive: true });
  writeFileSync(
    join(dir, '99-test.cedar'),
    `@id("approval.delete") @approvers("dba")
    forbid (principal, action == Action::"delete", resource) unless { context.approvedBy.contains("dba") };`,
  );
  stage = await startStage({
    gateway: { api: true, sections: { policies: dir, access: { approvals: { timeout: 'none', in_transaction: 'wait' } } } },
    setup: 'create table tasks (id int primary key); insert into tasks select generate_series(1, 9); grant all on tasks to app_rw',
  });
});
after(async () => {
  await stage.stop();
  rmSync(dir, { recursive: true });
});

const left = async (): Promise<number> => Number((await stage.server.sql('select count(*) from tasks', 'payments'))[0]?.rows[0]?.count);

/** A session whose statement waits, and the id of its request. */
async function waiting(): Promise<{ wire: Wire; id: string }> {
  const wire = await stage.connect(stage.developer);
  wire.send(encode.query('delete from tasks'));
  const notice = await wire.next();
  assert.match(notice.error['M'] ?? '', /waiting for approval by "dba": request/);
  return { wire, id: /request (\S+)/.exec(notice.error['M'] ?? '')?.[1] ?? '' };
}

async function recorded(passes: (line: RecordLine) => boolean): Promise<RecordLine> {
  for (const deadline = Date.now() + 15_000; ; await pause(20)) {
    const found = stage.record().find(passes);
    if (found !== undefined) return found;
    assert.ok(Date.now() < deadline, 'no such line came into the record');
  }
}

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  test(`${signal} while a statement waits: the client gets an error, and nothing ran`, async () => {
    const { wire, id } = await waiting();
    const ended = stage.gateway.kill(signal);
    const { errors, status } = await wire.cycle();
    assert.equal(status, '');
    if (signal === 'SIGTERM') assert.deepEqual([errors[0]?.['S'], errors[0]?.['C']], ['FATAL', '57P01']);
    await ended;
    await stage.gateway.start();
    // Whoever is asked about it now finds that nobody waits any more.
    await recorded((line) => line.type === 'approval' && line['event'] === 'lost' && line['request'] === id);
    assert.equal(await left(), 9);
    const again = await stage.connect(stage.developer);
    assert.deepEqual((await again.query('select 1')).rows, [['1']]);
    await again.end();
  });
}

test('in_transaction: wait holds it inside of a transaction as well', async () => {
  const wire = await stage.connect(stage.developer);
  await wire.query('begin');
  wire.send(encode.query('delete from tasks where id = 1'));
  assert.equal((await wire.next()).name, 'NoticeResponse');
  await wire.cancel();
  const { errors, status } = await wire.cycle();
  assert.deepEqual([errors[0]?.['C'], status], ['57014', 'E']);
  await wire.query('rollback');
  await wire.end();
});

test('the record verifies', () => {
  assert.equal(stage.gateway.sluice('verify', stage.gateway.recordDir).status, 0);
});
