import { globSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { root, runStep } from './steps.ts';

const USAGE = `usage: npm test [-- [--long] [--only PATTERN]]

  --only PATTERN   the test files with PATTERN in their path alone, and no Rust tests
  --long           also what runs for hours
`;

/** All tests, bounded: the Rust workspace, then node's own test runner, whose summary comes last. */
const values = wanted();

const patterns = ['src/**/*.test.ts', 'native/binding/*.test.ts', 'demo/*.test.ts', 'bench/**/*.test.ts', 'test/**/*.test.ts'];
const files = globSync(patterns, { cwd: root, exclude: (path) => path === 'node_modules' })
  .filter((file) => values.long || !file.startsWith('test/long/'))
  .filter((file) => values.only === undefined || file.includes(values.only))
  .sort();

let passed = true;
if (values.only === undefined) {
  const rust = ['cargo', 'test', '--release', '--workspace', '--no-fail-fast', '--quiet'] as const;
  passed = await runStep({ name: 'Rust tests (cargo test)', run: rust, limit: 1800 });
}
if (files.length === 0) {
  process.stdout.write(`no test file has ${values.only ?? ''} in its path\n`);
  passed = false;
} else {
  // A file that hangs is ended, and counts as failed: a test run never waits for ever.
  const perFile = values.long ? 1_800_000 : 180_000;
  const args = [
    '--disable-warning=ExperimentalWarning',
    '--test',
    '--test-concurrency=2',
    `--test-timeout=${perFile}`,
    '--test-reporter=spec',
    ...files,
  ] as const;
  const limit = values.long ? 4 * 3600 : 1800;
  passed = (await runStep({ name: `${files.length} test files`, run: [process.execPath, ...args], limit }, true)) && passed;
}
process.exitCode = passed ? 0 : 1;

function wanted(): { readonly long: boolean; readonly only?: string } {
  const options = { long: { type: 'boolean', default: false }, only: { type: 'string' }, help: { type: 'boolean', short: 'h' } } as const;
  try {
    const { values: given, positionals } = parseArgs({ options, allowPositionals: true });
    const [word] = positionals;
    if (word !== undefined) throw new Error(`name files with --only ${word}`);
    if (given.help !== true) return given;
    process.stdout.write(USAGE);
    process.exit(0);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message.split(/\.\s|\n/)[0] : String(error)}\n${USAGE}`);
    process.exit(2);
  }
}
