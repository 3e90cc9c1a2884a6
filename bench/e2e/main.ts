import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isCount, optionsOf } from '../../scripts/usage.ts';
import type { Gateway } from '../../test/support/gateway.ts';
import { checkRoutes, pgbench, type Route, readAll } from './measure.ts';
import { markdown, type Series, type Table } from './report.ts';
import { account, bulkRows, type Mode, serverVersion, startPooler, startSluice, startTarget } from './servers.ts';

const usage = `
usage: npm run bench:e2e [-- OPTIONS]

The same work direct, through pgbouncer and through Sluice (masking, policy and record on), interleaved in one run.

  --seconds N     length of each pgbench run; default 5
  --rounds N      runs of each route; default 5
  --clients N     clients of pgbench; default 8
  --scale N       scale of pgbench's tables; default 10
  --only ROUTES   some of direct, pgbouncer, buffered/none, buffered/full, durable/none, durable/full, with commas between
  --no-save       writes nothing to bench/results
`;

const routeNames = ['direct', 'pgbouncer', 'buffered/none', 'buffered/full', 'durable/none', 'durable/full'];

const values = optionsOf(
  {
    name: 'bench:e2e',
    usage,
    options: {
      seconds: { type: 'string', default: '5' },
      rounds: { type: 'string', default: '5' },
      clients: { type: 'string', default: '8' },
      scale: { type: 'string', default: '10' },
      only: { type: 'string' },
      'no-save': { type: 'boolean', default: false },
    },
  },
  (given) => {
    for (const name of ['seconds', 'rounds', 'clients', 'scale'] as const)
      if (!isCount(given[name])) return `--${name} "${given[name]}" is not a number from 1`;
    const unknown = given.only?.split(',').find((name) => !routeNames.includes(name));
    return unknown === undefined ? null : `--only knows ${routeNames.join(', ')}, not "${unknown}"`;
  },
);
const [seconds, rounds, clients, scale] = [values.seconds, values.rounds, values.clients, values.scale].map(Number) as [
  number,
  number,
  number,
  number,
];
const wanted = (name: string): boolean => values.only === undefined || values.only.split(',').includes(name);
const modes: readonly Mode[] = [
  { durability: 'buffered', output: 'none' },
  { durability: 'buffered', output: 'full' },
  { durability: 'durable', output: 'none' },
  { durability: 'durable', output: 'full' },
];
const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

say('starting PostgreSQL, pgbouncer and the gateways ...');
const target = await startTarget(scale);
const pooler = await startPooler(target);
const plain = { durability: '-', output: '-', masks: false, user: account.user, password: account.password };
const routes: Route[] = [];
if (wanted('direct')) routes.push({ name: 'direct', port: target.port, ...plain });
if (wanted('pgbouncer')) routes.push({ name: 'pgbouncer', port: pooler.port, ...plain });
const gateways = new Map<string, Gateway>();
for (const mode of modes) {
  const name = `${mode.durability}/${mode.output}`;
  if (!wanted(name)) continue;
  const gateway = await startSluice(target, mode);
  gateways.set(name, gateway);
  routes.push({ name: 'Sluice', port: gateway.port, user: 'bench', password: gateway.token('bench', ['analysts']), ...mode, masks: true });
}

const version = await serverVersion(target);
const tables: Table[] = [];
const operations = new Map<string, { operations: number; bytes: number }>();
try {
  await checkRoutes(routes);
  for (const protocol of ['simple', 'prepared'] as const) {
    const title = `pgbench -S -M ${protocol}, ${clients} clients, ${seconds} s, ${rounds} rounds`;
    tables.push(
      await interleaved(title, 'tps', 0, async (route) => {
        const before = recordBytes(route);
        const { tps, transactions } = await pgbench(route, protocol, seconds, clients);
        count(route, transactions, recordBytes(route) - before);
        return tps;
      }),
    );
  }
  const title = `${bulkRows.toLocaleString('en')} rows of 7 columns, a card number in each, ${rounds} rounds`;
  tables.push(await interleaved(title, 's', 3, async (route) => (await readAll(route)).seconds));
} finally {
  await Promise.all([...gateways.values()].map((gateway) => gateway.stop()));
  await pooler.stop();
  await target.stop();
}

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const git = (...args: string[]): string => spawnSync('git', args, { cwd: root, encoding: 'utf8' }).stdout.trim();
const date = new Date().toISOString();
const about = {
  date,
  commit: git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--', 'src', 'native') === '' ? '' : ' (changed)'),
  machine: `${cpus().length} x ${cpus()[0]?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GB`,
  loadAtEnd: loadavg()
    .map((value) => value.toFixed(2))
    .join(' '),
  versions: `Node ${process.versions.node}, PostgreSQL ${version}, ${pooler.version}`,
  pooling: 'pgbouncer pools by session; every connection is plaintext on loopback',
  bulkClient: 'a socket reader that decodes nothing',
  recordBytesPerOperation: Object.fromEntries([...operations].map(([name, { operations: n, bytes }]) => [name, Math.round(bytes / n)])),
};
const text = [
  `## End to end, ${date.slice(0, 16).replace('T', ' ')} UTC`,
  '',
  ...Object.entries(about).map(([name, value]) => `- ${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`),
  ...tables.map((table) => `\n${markdown(table)}`),
  '',
].join('\n');
process.stdout.write(`\n${text}`);
if (!values['no-save']) {
  const folder = join(root, 'bench', 'results');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${date.slice(0, 16).replace(/[-:]/g, '').replace('T', '-')}-e2e`);
  writeFileSync(`${file}.json`, `${JSON.stringify({ ...about, tables }, null, 2)}\n`);
  writeFileSync(`${file}.md`, text);
  say(`saved as ${file}.{json,md}`);
}

/** Every route once a round, each round beginning with the next route, so that none always follows the same one. */
async function interleaved(title: string, unit: string, digits: number, measure: (route: Route) => Promise<number>): Promise<Table> {
  say(title);
  const series = routes.map(
    (route): Series => ({ route: route.name, durability: route.durability, output: route.output, tls: 'off', samples: [] }),
  );
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < routes.length; turn++) {
      const index = (round + turn) % routes.length;
      const route = routes[index] as Route;
      const sample = await measure(route);
      series[index]?.samples.push(sample);
      say(
        `  round ${round + 1}  ${route.name} ${route.masks ? `${route.durability}/${route.output} ` : ''}${sample.toFixed(digits)} ${unit}`,
      );
    }
  }
  return { title, unit, digits, series };
}

function recordBytes(route: Route): number {
  const gateway = gateways.get(`${route.durability}/${route.output}`);
  if (gateway === undefined) return 0;
  return readdirSync(gateway.recordDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

function count(route: Route, transactions: number, bytes: number): void {
  if (!route.masks) return;
  const name = `${route.durability}/${route.output}`;
  const sum = operations.get(name) ?? { operations: 0, bytes: 0 };
  operations.set(name, { operations: sum.operations + transactions, bytes: sum.bytes + bytes });
}
