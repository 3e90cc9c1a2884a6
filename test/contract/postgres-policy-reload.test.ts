import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
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
