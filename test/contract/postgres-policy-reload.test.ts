import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { approver, startAccessStage } from '../support/access-stage.ts';
import { MemoryApprovals } from '../support/approvals.ts';
import { type Stage, startStage } from '../support/stage.ts';
import { encode } from '../support/wire-messages.ts';

/** Policies that change while sessions are open: what was decided before is decided anew. */
const dir = mkdtempSync(join(tmpdir(), 'sluice-policies-'));
const shut = join(dir, '70-shut.cedar');
let stage: Stage;
before(async () => {
  cpSync(join(import.meta.dirname, '../../deploy/policies'), dir, { recursive: true });
  stage = await startStage({ gateway: { sections: { policies: dir } } });
});
after(async () => {
  await stage.stop();
  rmSync(dir, { recursive: true });
});

const { parse, bind, execute, sync } = encode;
const TEXT = 'select brand from cards where id = 1';

/** The events of the policies so far, once there are `count` of them. */
async function policyLines(count: number): Promise<Record<string, unknown>[]> {
  for (;;) {
    const lines = stage.record().filter((line) => line.type === 'config' && String(line['event']).startsWith('policy.'));
    if (lines.length >= count) return lines;
    await wait(20);
  }
}

test('a forbid that comes later holds for open sessions and prepared statements', async () => {
  const wire = await stage.connect(stage.analyst);
  wire.send(parse({ name: 's', text: TEXT }), bind({ statement: 's' }), execute(), sync());
  assert.deepEqual((await wire.cycle()).errors, []);
  assert.deepEqual((await wire.query(TEXT)).errors, []);
  await wire.query(`prepare p as ${TEXT}`);
  assert.deepEqual((await wire.query('execute p')).errors, []);

  // A file that is not valid changes nothing.
  writeFileSync(shut, '@id("shut") forbid (principal, action == Action::"selct", resource);');
  const [refused] = await policyLines(1);
  assert.ok(refused !== undefined);
  assert.equal(refused['event'], 'policy.refused');
  assert.match(JSON.stringify(refused['problems']), /70-shut\.cedar:1:.*did you mean `Action::\\"select\\"`\?"\]$/);
  assert.deepEqual((await wire.query(TEXT)).errors, []);

  writeFileSync(shut, '@id("shut") forbid (principal, action == Action::"select", resource) when { context.tables.contains("cards") };');
  const [, reloaded] = await policyLines(2);
  assert.equal(reloaded?.['event'], 'policy.reloaded');
  assert.equal(reloaded?.['before'], refused['snapshot']);
  const byQuery = [await wire.query(TEXT), await wire.query('execute p')];
  wire.send(bind({ statement: 's' }), execute(), sync());
  for (const cycle of [...byQuery, await wire.cycle()]) {
    assert.equal(cycle.errors[0]?.['C'], '42501');
    assert.match(cycle.errors[0]?.['M'] ?? '', /by policy shut$/);
  }

  rmSync(shut);
  await policyLines(3);
  wire.send(bind({ statement: 's' }), execute(), sync());
  assert.deepEqual((await wire.cycle()).errors, []);
  assert.deepEqual((await wire.query('execute p')).errors, []);
  await wire.end();
});

const SHUT = '@id("shut") forbid (principal, action == Action::"select", resource) when { context.tables.contains("cards") };';

test('a portal that was bound before is decided anew when it is executed, half-way through its rows too', async () => {
  const known = (await policyLines(0)).length;
  const wire = await stage.connect(stage.analyst);
  const cards = 'select id from cards order by id';
  await wire.query('begin');
  wire.send(parse({ name: 'c', text: cards }), bind({ statement: 'c', portal: 'begun' }), execute('begun', 2));
  wire.send(bind({ statement: 'c', portal: 'fresh' }), sync());
  assert.deepEqual((await wire.cycle()).rows, [['1'], ['2']]);

  // Other policies that say the same of it: it goes on.
  writeFileSync(shut, '@id("other") forbid (principal, action == Action::"lock", resource);');
  await policyLines(known + 1);
  wire.send(execute('begun', 2), sync());
  assert.deepEqual((await wire.cycle()).rows, [['3'], ['4']]);
  assert.deepEqual((await wire.query('fetch 1 from begun')).rows, [['5']]);
  await wire.query('savepoint s');

  writeFileSync(shut, SHUT);
  await policyLines(known + 2);
  const tries = [
    () => wire.send(execute('begun', 2), sync()),
    () => wire.send(execute('fresh'), sync()),
    () => wire.send(encode.query('fetch 1 from begun')),
    () => wire.send(encode.query('select 1; fetch 1 from fresh')),
    () => wire.send(parse({ text: 'fetch 1 from fresh' }), sync()),
  ];
  for (const attempt of tries) {
    attempt();
    const { errors, rows, status } = await wire.cycle();
    assert.deepEqual([errors[0]?.['C'], rows, status], ['42501', [], 'E']);
    assert.match(errors[0]?.['M'] ?? '', /by policy shut$/);
    assert.deepEqual((await wire.query('rollback to s')).errors, []);
  }

  // What could be executed before can be again, and goes on where it stood.
  rmSync(shut);
  await policyLines(known + 3);
  wire.send(execute('begun', 1), sync());
  assert.deepEqual((await wire.cycle()).rows, [['6']]);
  await wire.end();
  const lines = await stage.settledRecord();
  const sid = lines.find((line) => line['text'] === cards)?.sid;
  const denials = lines.filter((line) => line.type === 'deny' && line['kind'] === 'execute' && line.sid === sid);
  assert.equal(denials.length, 2);
  for (const line of denials) assert.ok(Number(line['again']) > 0 && Number(line['stmt']) > 0, JSON.stringify(line));
});

test('an approval still counts for the portal that it was given for, and none that is needed since is skipped', async () => {
  const approvals = new MemoryApprovals();
  const held = (action: string): string =>
    `@id("held.${action}") @approvers("dba") @hint("say why") forbid (principal, action == Action::"${action}", resource) unless { context.approvedBy.contains("dba") };\n`;
  const access = await startAccessStage({
    setup: 'create table tasks (id int); insert into tasks select generate_series(1, 9); grant all on tasks to app_rw',
    policies: held('delete'),
    sections: { access: { approvals: { in_transaction: 'wait' } } },
    services: (services) => ({ access: { ...services.access, approvals } }),
  });
  try {
    const reload = async (text: string, count: number): Promise<void> => {
      writeFileSync(join(access.dir, 'policies', '99-test.cedar'), text);
      await access.recorded(() => access.record().filter((line) => line['event'] === 'policy.reloaded').length >= count);
    };
    const wire = await access.connect('dev+read-write', ['developers']);
    await wire.query('begin');
    wire.send(parse({ text: 'delete from tasks where id < 5 returning id' }), bind({ portal: 'gone' }), execute('gone', 2), sync());
    const { id } = await approvals.nextQuestion(0);
    await approvals.decide(id, approver('grace'), 'approve', '');
    assert.equal((await wire.cycle()).rows.length, 2);
    wire.send(
      parse({ text: 'update tasks set id = id where id > 5 returning id' }),
      bind({ portal: 'changed' }),
      execute('changed', 2),
      sync(),
    );
    assert.equal((await wire.cycle()).rows.length, 2);

    await reload(`${held('delete')}${held('update')}`, 1);
    wire.send(execute('gone'), sync());
    assert.equal((await wire.cycle()).rows.length, 2);
    await wire.query('savepoint s');
    wire.send(execute('changed'), sync());
    const [refused] = (await wire.cycle()).errors;
    assert.equal(refused?.['C'], '42501');
    assert.match(`${refused?.['M']} ${refused?.['H']}`, /held\.update.*bind it again/);
    assert.equal(approvals.size, 1);

    // An approval by others than it needs now does not count.
    await wire.query('rollback to s');
    await reload(held('delete').replaceAll('"dba"', '"security"'), 2);
    wire.send(execute('gone'), sync());
    assert.equal((await wire.cycle()).errors[0]?.['C'], '42501');
    await wire.end();
  } finally {
    await access.stop();
  }
});
