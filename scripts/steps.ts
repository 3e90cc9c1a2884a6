import { spawn } from 'node:child_process';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** One thing to run: a command, or a function that returns its complaints. */
export interface Step {
  readonly name: string;
  readonly run: readonly [string, ...string[]] | (() => readonly string[]);
  /** Longest time it may take, seconds. */
  readonly limit?: number;
}

/** Runs a step, its output shown when it fails (or as it comes, with `live`). Returns whether it passed. */
export async function runStep(step: Step, live = false): Promise<boolean> {
  const started = Date.now();
  const say = (word: string): void => {
    process.stdout.write(`${word} ${step.name} (${((Date.now() - started) / 1000).toFixed(1)} s)\n`);
  };
  if (typeof step.run === 'function') {
    const complaints = step.run();
    say(complaints.length === 0 ? 'ok    ' : 'FAILED');
    for (const complaint of complaints) process.stdout.write(`  ${complaint}\n`);
    return complaints.length === 0;
  }
  const { passed, output } = await command(step.run, (step.limit ?? 1200) * 1000, live);
  // What was shown as it came has told its own result.
  if (!live || !passed) say(passed ? 'ok    ' : 'FAILED');
  if (!passed && output !== '') process.stdout.write(`${output.trimEnd()}\n`);
  return passed;
}

function command(
  [program, ...args]: readonly [string, ...string[]],
  limit: number,
  live: boolean,
): Promise<{ passed: boolean; output: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, PATH: `${join(root, 'node_modules', '.bin')}${delimiter}${process.env['PATH'] ?? ''}` };
    const child = spawn(program, args, { cwd: root, env, stdio: live ? 'inherit' : ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const collect = (chunk: Buffer): void => {
      output += chunk.toString('utf8');
    };
    child.stdout?.on('data', collect);
    child.stderr?.on('data', collect);
    const timer = setTimeout(() => {
      output += `\nstopped: not done within ${limit / 1000} s`;
      child.kill('SIGTERM');
    }, limit);
    child.on('error', (error) => {
      clearTimeout(timer);
      resolve({ passed: false, output: error.message });
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ passed: code === 0, output });
    });
  });
}
