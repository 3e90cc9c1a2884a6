/** What the tests of the record share: a record on disk with known lines, and its two verifiers. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Recorder } from './model.ts';
import type { RecorderOptions } from './options.ts';
import type { FileRecorder } from './recorder.ts';
import { openRecorder } from './recorder.ts';
import { verifyRecord } from './verify.ts';

const INDEPENDENT = fileURLToPath(new URL('../../tools/verify-record.mjs', import.meta.url));

/** A directory that is removed at the end of the block that declares it with `using`. */
export class TempDir {
  readonly path = mkdtempSync(join(tmpdir(), 'sluice-record-'));

  /** A copy of it, to be damaged. */
  copy(): TempDir {
    const copy = new TempDir();
    cpSync(this.path, copy.path, { recursive: true });
    return copy;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export const CHAIN = 'record/gw-1';

/** A recorder with small segments, whose clock moves a microsecond a line. */
export function testRecorder(dataDir: string, options: Partial<RecorderOptions> = {}): FileRecorder {
  let now = Date.UTC(2026, 0, 31, 23, 59, 59) * 1000;
  return openRecorder({
    dataDir,
    gateway: 'gw',
    durability: 'durable',
    segmentBytes: 1 << 20,
    checkpointSeconds: 3600,
    version: '0.0.0-test',
    clock: { micros: () => now++ },
    ...options,
  });
}

/** Resolves when every line up to now is recorded, rejects when that failed. */
export function recorded(recorder: Recorder): Promise<void> {
  return new Promise((resolve, reject) => {
    recorder.whenRecorded({ onRecorded: (error) => (error === null ? resolve() : reject(error)) });
  });
}

/** Records one session of `ops` operations, each its own batch. */
export async function recordSession(recorder: Recorder, sid: string, ops: number): Promise<void> {
  recorder.append('session', sid, '"event":"start","principal":{"name":"dev1"},"target":{"resource":"payments","account":"read-only"}');
  for (let op = 1; op <= ops; op++) {
    const intent = recorder.append('intent', sid, `"op":${op},"kind":"query","text":"select ${op}","objects":["public.orders"]`);
    await recorded(recorder);
    recorder.appendOutput(sid, `"intent":${intent}`, Buffer.from(`row ${op}\n`), 0, 5 + String(op).length);
    recorder.append('result', sid, `"intent":${intent},"status":"ok","tag":"SELECT 1","rows":1,"masked":{"pan":2}`);
  }
  recorder.append('session', sid, `"event":"end","reason":"terminate","ops":${ops}`);
  await recorded(recorder);
}

/** Runs both verifiers; they must agree on whether it holds (where each gives up on a broken segment is its own affair). `known`: files of checkpoints kept elsewhere. */
export function verifyBoth(
  path: string,
  options: { keys?: string; known?: readonly { path: string; text: string }[] } = {},
): { ok: boolean; problems: string[]; lines: number } {
  const { keys, known = [] } = options;
  const ours = verifyRecord(path, { ...(keys === undefined ? {} : { keys }), known: known.map(({ text }) => text) });
  const args = [...(keys === undefined ? [] : ['--key', keys.trim()]), ...known.flatMap((checkpoint) => ['--checkpoint', checkpoint.path])];
  const run = spawnSync(process.execPath, [INDEPENDENT, path, '--json', ...args], { encoding: 'utf8' });
  const theirs = JSON.parse(run.stdout) as { ok: boolean; lines: number; problems: string[] };
  if (run.status !== (theirs.ok ? 0 : 1)) throw new Error(`the independent verifier exits with ${run.status}: ${run.stderr}`);
  if (ours.ok !== theirs.ok || (ours.ok && ours.lines !== theirs.lines)) {
    throw new Error(`the verifiers disagree: ${JSON.stringify(ours, null, 1)} and ${JSON.stringify(theirs, null, 1)}`);
  }
  return { ok: ours.ok, lines: ours.lines, problems: ours.problems.map(({ file, line, message }) => `${file}:${line}: ${message}`) };
}
