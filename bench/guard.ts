import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { optionsAndWordsOf } from '../scripts/usage.ts';
import { type Comparison, compareRounds, type Interval, type Round, TOLERANCE } from './lib/compare.ts';
import { describeMachine, load, machine } from './lib/machine.ts';
import type { BenchFile } from './lib/result.ts';
import { columns, duration } from './lib/table.ts';

const usage = `usage: npm run bench:guard -- BASE [--rounds 5] [--time MS] [--filter TEXT]

Compares the micro benches of this tree with those of a commit, round by round in turns and in fresh processes.

  BASE           a commit or branch
  --rounds N     rounds of each, 5 or more
  --time MS      time for each bench in a round, 60
  --filter TEXT  only benches whose name holds it

Exits 1 when a bench of this tree is slower by more than a tenth in the median and in each of its rounds slower than in any
of BASE's; 2 when the two cannot be compared.`;

const { values, positionals } = optionsAndWordsOf({
  name: 'bench:guard',
  usage,
  options: {
    rounds: { type: 'string', default: '5' },
    time: { type: 'string', default: '60' },
    filter: { type: 'string', default: '' },
  },
});

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const say = (text: string): void => void process.stderr.write(`bench:guard: ${text}\n`);

class CannotCompare extends Error {}

// What was begun is ended and taken away again, however the guard is stopped.
let running: ChildProcess | null = null;
let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    stopped = true;
    // The whole group: a build has children of its own.
    if (running?.pid !== undefined) process.kill(-running.pid, 'SIGTERM');
  });
}

try {
  process.exitCode = await guard();
} catch (error) {
  if (!(error instanceof CannotCompare)) throw error;
  say(error.message);
  process.exitCode = 2;
}

async function guard(): Promise<number> {
  const [revision] = positionals;
  const rounds = Number(values.rounds);
  if (revision === undefined || positionals.length !== 1)
    throw new CannotCompare('one commit or branch to compare with is needed; --help shows the options');
  // With fewer, separated intervals come about by chance too often.
  if (!Number.isInteger(rounds) || rounds < 5) throw new CannotCompare('--rounds takes a whole number, 5 or more');
  const found = git('rev-parse', '--verify', '--quiet', `${revision}^{commit}`);
  if (found.status !== 0) throw new CannotCompare(`${revision} is no commit of this repository`);
  const commit = found.stdout.trim();

  const folder = mkdtempSync(join(tmpdir(), 'sluice-guard-'));
  const base = join(folder, 'base');
  try {
    const added = git('worktree', 'add', '--detach', base, commit);
    if (added.status !== 0) throw new CannotCompare(`git worktree add: ${added.stderr.trim()}`);
    if (!existsSync(join(base, 'bench', 'main.ts')))
      throw new CannotCompare(`${revision} has no benches (bench/main.ts): nothing to compare`);
    await build(base, revision);
    const loadBefore = load();
    const { ofBase, ofHead } = await interleaved(base, folder, rounds);
    const compared = compareRounds(ofBase, ofHead);
    const changed = git('status', '--porcelain', '--', 'src', 'native', 'bench').stdout.trim() === '' ? '' : ', with changes not committed';
    const head = `${git('rev-parse', '--short', 'HEAD').stdout.trim()}${changed}`;
    process.stdout.write(`base ${revision} (${commit.slice(0, 7)}), head ${head}, ${rounds} rounds each by turns\n`);
    process.stdout.write(`${describeMachine(machine(loadBefore))}\n\n${report(compared)}\n`);
    return conclude(compared);
  } finally {
    git('worktree', 'remove', '--force', base);
    rmSync(folder, { recursive: true, force: true });
    git('worktree', 'prune');
  }
}

/** Installs and builds the base as its own scripts do it. */
async function build(base: string, revision: string): Promise<void> {
  say(`building ${revision} ...`);
  // Not our own target folder: the two addons have one name. Kept, so that the packages that both use are built once.
  const env = { ...process.env, CARGO_TARGET_DIR: join(root, 'target', 'guard') };
  if ((await command(process.execPath, ['scripts/run.mjs'], base, env, true)).status !== 0)
    throw new CannotCompare(`${revision} could not be built`);
}

async function interleaved(base: string, folder: string, rounds: number): Promise<{ ofBase: Round[]; ofHead: Round[] }> {
  const ofBase: Round[] = [];
  const ofHead: Round[] = [];
  for (let round = 0; round < rounds; round++) {
    say(`round ${round + 1} of ${rounds}`);
    const turns: [string, Round[]][] = [
      [base, ofBase],
      [root, ofHead],
    ];
    // Each goes first as often as the other, as far as that goes.
    if (round % 2 === 1) turns.reverse();
    for (const [tree, into] of turns) into.push(await run(tree, join(folder, 'round.json')));
  }
  return { ofBase, ofHead };
}

async function run(tree: string, file: string): Promise<Round> {
  const bin = join(tree, 'node_modules', '.bin');
  const args = ['--disable-warning=ExperimentalWarning', 'bench/main.ts', '--json', file, '--time', values.time, '--filter', values.filter];
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}` };
  rmSync(file, { force: true });
  const done = await command(join(bin, 'node'), args, tree, env, false);
  if (!existsSync(file)) throw new CannotCompare(`the benches of ${tree === root ? 'head' : 'the base'} failed:\n${done.stderr}`);
  // A suite that failed shows in the table: its benches exist on the other side only. It must not pass for a removed one.
  if (done.status !== 0) say(`${tree === root ? 'head' : 'base'}: some benches failed:\n${done.stderr.trimEnd()}`);
  return (JSON.parse(readFileSync(file, 'utf8')) as BenchFile).results;
}

/** Runs a command to its end; its stderr is shown as it comes, or returned. Throws when the guard was told to stop. */
function command(
  program: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
  show: boolean,
): Promise<{ status: number | null; stderr: string }> {
  return new Promise((resolve, reject) => {
    if (stopped) throw new CannotCompare('stopped');
    const child = spawn(program, args, { cwd, env, detached: true, stdio: ['ignore', show ? 2 : 'ignore', show ? 2 : 'pipe'] });
    running = child;
    let stderr = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk.toString('utf8');
    });
    child.on('error', reject);
    child.on('close', (status) => {
      running = null;
      if (stopped) reject(new CannotCompare('stopped'));
      else resolve({ status, stderr });
    });
  });
}

function report(compared: readonly Comparison[]): string {
  const show = (side: Interval | null): string[] =>
    side === null ? ['-', '-'] : [duration(side.median), `${duration(side.min)} - ${duration(side.max)}`];
  const rows = compared.map(({ name, base, head, ratio, verdict }) => [
    name,
    ...show(base),
    ...show(head),
    Number.isNaN(ratio) ? '-' : `${ratio.toFixed(2)}x`,
    verdict === 'same' ? '' : verdict,
  ]);
  return columns([['bench (per operation)', 'base', 'min - max', 'head', 'min - max', 'head/base', ''], ...rows]);
}

function conclude(compared: readonly Comparison[]): number {
  const named = (verdict: Comparison['verdict']): string[] => compared.filter((one) => one.verdict === verdict).map((one) => one.name);
  for (const side of ['only in base', 'only in head'] as const) {
    const names = named(side);
    if (names.length > 0) process.stdout.write(`\n${side}, so not compared:\n${names.map((name) => `  ${name}\n`).join('')}`);
  }
  const both = compared.filter((one) => one.base !== null && one.head !== null).length;
  if (both === 0) throw new CannotCompare('the two have no bench in common: nothing to compare');
  const regressions = named('REGRESSION');
  const limit = `slower by more than ${TOLERANCE * 100}% with separated intervals`;
  process.stdout.write(
    `\n${regressions.length === 0 ? `none of ${both} benches is ${limit}` : `${regressions.length} of ${both} benches ${limit}:`}\n`,
  );
  for (const name of regressions) process.stdout.write(`  ${name}\n`);
  return regressions.length === 0 ? 0 : 1;
}

function git(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync('git', args, { cwd: root, encoding: 'utf8' });
}
