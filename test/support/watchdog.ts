import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';

/**
 * A shell that outlives this process: its standard input is a pipe from us, so that it reads the end of file when we die,
 * however we die, and then runs `script` (with `args` as $1, $2 ...). `disarm` ends it without running the script.
 */
export interface Watchdog {
  disarm(): Promise<void>;
}

export function watch(script: string, args: readonly string[]): Watchdog {
  const shell = spawn('/bin/sh', ['-c', `cat >/dev/null\n${script}`, 'sluice-watchdog', ...args], {
    // Out of our process group: what kills the group must not kill the one that cleans up after it.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  shell.unref();
  // The pipe alone must not keep this process alive.
  (shell.stdin as unknown as Socket).unref();
  return {
    async disarm() {
      shell.ref();
      await end(shell, 'SIGKILL');
    },
  };
}

/** Sends the signal and waits for the process to be gone. Returns its exit code, or null when a signal ended it. */
export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.ref();
    child.kill(signal);
    await exited;
  }
  return child.exitCode;
}
