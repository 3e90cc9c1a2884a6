import { globSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { root, runStep } from './steps.ts';

/**
 * All tests, bounded: the Rust workspace, then node's own test runner, whose summary comes last.
 *   npm test [-- --long] [-- --only PATTERN]     PATTERN is a part of a file's path; it leaves the Rust tests out
 */
const { values } = parseArgs({ options: { long: { type: 'boolean', default: false }, only: { type: 'string' } } });

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
