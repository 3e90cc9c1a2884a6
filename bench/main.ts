import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isCount, optionsOf } from '../scripts/usage.ts';
import { describeMachine, load, machine } from './lib/machine.ts';
import type { BenchFile, Result, SuiteOutput } from './lib/result.ts';
import { rustBenches } from './lib/rust.ts';
import { table } from './lib/table.ts';

const usage = `
usage: npm run bench [-- OPTIONS]

Micro benches. Every one asserts what it computes before it is timed.

  --filter TEXT   only benches whose suite/name has TEXT, e.g. masking or masking/row
  --quick         short runs, to see that all still work
  --time MS       how long to time each bench; default 300, with --quick 40
  --json FILE     writes the results there too
  --rust          the benches of the Rust crates (criterion) as well
`;

const values = optionsOf(
  {
    name: 'bench',
    usage,
    options: {
      filter: { type: 'string', default: '' },
      quick: { type: 'boolean', default: false },
      time: { type: 'string' },
      json: { type: 'string' },
      rust: { type: 'boolean', default: false },
    },
  },
  ({ time: ms }) => (ms === undefined || isCount(ms) ? null : `--time "${ms}" is not a number of milliseconds`),
);
const time = Number(values.time ?? (values.quick ? 40 : 300));

const here = dirname(fileURLToPath(import.meta.url));
const loadBefore = load();
const results: Result[] = [];
const notes: string[] = [];
const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
let failed = false;
try {
  const suites = globSync('micro/*.ts', { cwd: here }).map((file) => basename(file, '.ts'));
  for (const name of suites.sort().filter((suite) => mayMatch(suite, suites, values.filter))) {
    process.stderr.write(`bench: ${name} ...\n`);
    const output = join(folder, `${name}.json`);
    const args = ['--disable-warning=ExperimentalWarning', join(here, 'lib', 'run-suite.ts'), name, String(time), values.filter, output];
    const done = spawnSync(process.execPath, args, { stdio: ['ignore', 2, 2] });
    if (done.error) throw done.error;
    if (done.status !== 0) {
      process.stderr.write(`bench: ${name} FAILED\n`);
      failed = true;
      continue;
    }
    const found = JSON.parse(readFileSync(output, 'utf8')) as SuiteOutput;
    if (found.results.length === 0) continue;
    results.push(...found.results);
    notes.push(...found.notes.map((note) => `${name}: ${note}`));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const about = machine(loadBefore);
process.stdout.write(`${describeMachine(about)}\n\n${table(results)}\n`);
if (notes.length > 0) process.stdout.write(`\n${notes.join('\n')}\n`);
if (values.json !== undefined) {
  const file: BenchFile = { date: new Date().toISOString(), machine: about, results, notes };
  writeFileSync(values.json, `${JSON.stringify(file, null, 2)}\n`);
}
if (values.rust) process.stdout.write(`\n${rustBenches(dirname(here), values.filter)}\n`);
if (results.length === 0 && !values.rust) {
  process.stderr.write(`bench: no bench has ${JSON.stringify(values.filter)} in its name\n`);
  failed = true;
}
process.exitCode = failed ? 1 : 0;

/** Whether a suite can have a bench that the filter wants: so that `masking` or `masking/row` need not start the others. */
function mayMatch(suite: string, suites: readonly string[], filter: string): boolean {
  const [first = '', rest] = filter.split('/');
  return rest === undefined ? !suites.includes(filter) || suite === filter : suite.endsWith(first);
}
