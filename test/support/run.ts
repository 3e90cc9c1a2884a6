import { spawn } from 'node:child_process';

/** What a program printed, and how it ended. */
export interface Done {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, giving it `input`; it is ended when it takes longer than `limitMs`. */
export function run(path: string, args: readonly string[], env: NodeJS.ProcessEnv, input = '', limitMs = 60_000): Promise<Done> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, args, { env, timeout: limitMs, killSignal: 'SIGKILL' });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.on('error', reject);
    // A program that ends before it has read everything is judged by its exit code.
    child.stdin.on('error', () => {});
    child.on('close', (code) =>
      resolve({ code, stdout: Buffer.concat(stdout).toString('utf8'), stderr: Buffer.concat(stderr).toString('utf8') }),
    );
    child.stdin.end(input);
  });
}
