import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { protocols } from '../../protocols/registry.ts';
import type { Command } from '../command.ts';
import { runCommand } from '../run.ts';
import { check } from './check.ts';
import { explain } from './explain.ts';

const [kind = ''] = [...protocols.keys()];
const dir = mkdtempSync(join(tmpdir(), 'sluice-explain-'));
after(() => rmSync(dir, { recursive: true }));
cpSync(join(import.meta.dirname, '../../../deploy/policies'), join(dir, 'policies'), { recursive: true });
const config = join(dir, 'sluice.yaml');
writeFileSync(
  config,
  `gateway: { name: gw-1 }
listeners: { ${kind}: 127.0.0.1:0 }
policies: ./policies
resources:
  - name: payments
    kind: ${kind}
    address: 127.0.0.1:1
    database: payments
    tls: disable
    accounts: { read-only: { user: u, password: env:PW }, read-write: { user: w, password: env:PW } }
    protect: { columns: { public.cards.pan: pan, public.cards.holder: name } }
`,
);

async function run(command: Command, ...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const io = {
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
    env: { PW: 'x' },
    now: () => 1,
    stopped: async () => {},
  };
  const code = await runCommand([command.name, '--config', config, ...argv], [command], io);
  return { code, out, err };
}

const ask = (group: string, statement: string, ...more: string[]) =>
  run(explain, '--user', 'ann', '--group', group, '--resource', 'payments', '--offline', '--statement', statement, ...more);

test('an allowed statement: by which policy, on what, and what is masked', async () => {
  const { code, out } = await ask('analysts', 'select id, pan, upper(holder) as name from cards');
  assert.equal(code, 0);
  assert.match(out, /^decision +allow\n/);
  assert.match(out, /^policy +policies\/10-access\.cedar:\d+ {2}permit access\.read$/m);
  assert.match(out, /^object +select cards$/m);
  assert.match(out, /^masked +pan: all but the last digits$/m);
  assert.match(out, /^masked +name: whole$/m);
  assert.doesNotMatch(out, /^masked +id/m);
  assert.match(out, /^note +without the catalog/m);
  const idOf = async (statement: string): Promise<string | undefined> =>
    /^query id +([0-9a-f]{16})$/m.exec((await ask('analysts', statement)).out)?.[1];
  assert.equal(await idOf('select 1'), '50fde20626009aba');
  assert.equal(await idOf('select  2'), '50fde20626009aba');
  assert.equal(await idOf('selec'), undefined);
});

test('* without the target: what is configured and what well-known names say is masked, and that the rest cannot be told', async () => {
  const { code, out } = await ask('analysts', 'select * from cards');
  assert.equal(code, 0);
  assert.match(out, /^masked +holder: whole$/m);
  assert.match(out, /^masked +pan: all but the last digits$/m);
  assert.match(out, /^masked +cvv: whole, never revealed$/m);
  assert.match(out, /^masked +expiry: whole$/m);
  assert.match(out, /^note +which columns \* stands for cannot be told without the target: /m);
  assert.doesNotMatch((await ask('analysts', 'select count(*) from cards')).out, /which columns/);
});

test('a statement that needs approval: by whom', async () => {
  const { out } = await ask('developers', 'delete from orders', '--account', 'read-write', '--json');
  const report = JSON.parse(out) as Record<string, unknown>;
  assert.deepEqual(
    [report['decision'], report['account'], report['approvers'], report['objects']],
    ['approve', 'read-write', [{ group: 'dba', needed: 1 }], ['delete orders']],
  );
  const [policy] = report['policies'] as Record<string, unknown>[];
  assert.deepEqual([policy?.['id'], policy?.['file']], ['approve.no-where', 'policies/50-approvals.cedar']);
});

test('a denied statement: by which policy, or that the gateway itself refuses it', async () => {
  const dropped = await ask('developers', 'drop table cards');
  assert.match(dropped.out, /^decision +deny\n/);
  assert.match(dropped.out, /^policy +policies\/20-destructive\.cedar:\d+ {2}forbid destructive\.drop$/m);
  assert.match((await ask('developers', 'selec 1')).out, /^policy +sluice\.unparsed {2}\(the gateway's own\)$/m);
  assert.match((await ask('guests', 'select 1')).out, /^decision +deny \(at log-in\)\n/);
});

test('a target that cannot be reached is said, and the rest is told', async () => {
  const { code, out } = await run(explain, '--user', 'ann', '--group', 'analysts', '--resource', 'payments', '--statement', 'select 1');
  assert.equal(code, 0);
  assert.match(out, /^decision +allow\n/);
  assert.match(out, /^note +the target was not asked: /m);
});

test('policies that name a resource which does not exist are refused, here as in check', async () => {
  const slip = join(dir, 'policies', '90-slip.cedar');
  writeFileSync(slip, '@id("slip") forbid (principal, action, resource in Resource::"paymnets");');
  try {
    for (const command of [explain, check]) {
      const wanted = command === check ? [] : ['--user', 'a', '--resource', 'payments', '--statement', 'select 1'];
      const { code, err } = await run(command, ...wanted);
      assert.equal(code, 1);
      assert.match(
        err,
        /^policies\/90-slip\.cedar:1:\d+: Resource::"paymnets": there is no resource "paymnets"; did you mean "payments"\?$/m,
      );
    }
  } finally {
    rmSync(slip);
  }
});

test('called wrongly', async () => {
  assert.equal((await run(explain, '--user', 'ann')).code, 2);
  const { code, err } = await run(explain, '--user', 'ann', '--resource', 'x', '--statement', 'select 1');
  assert.equal(code, 2);
  assert.match(err, /there is no "x"; the configuration has: payments/);
});
