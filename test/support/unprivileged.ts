import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** The identity that servers refusing to run as root get. Empty when we are not root ourselves. */
export interface Identity {
  readonly uid?: number;
  readonly gid?: number;
}

/** `nobody` when root. It must be a user the system knows: PostgreSQL looks its name up. */
export function unprivileged(): Identity {
  if (process.getuid?.() !== 0) return {};
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('nobody:'));
  const [, , uid, gid] = line?.split(':') ?? [];
  if (uid === undefined || gid === undefined) throw new Error('running as root, but there is no user `nobody` to start servers as');
  return { uid: Number(uid), gid: Number(gid) };
}

/** A new folder in the system's folder for temporary files, owned by `identity` and closed to others. */
export function temporaryFolder(prefix: string, identity: Identity): string {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  if (identity.uid !== undefined && identity.gid !== undefined) chownSync(folder, identity.uid, identity.gid);
  chmodSync(folder, 0o700);
  return folder;
}

/**
 * `folder`, or a copy of it in the folder for temporary files when `identity` cannot get there (a clone under /root, which
 * is 0700). The copy is made once for each state of the original, and only taken when nobody but us could have written it.
 */
export function reachable(folder: string, identity: Identity): string {
  if (identity.uid === undefined || traversable(folder)) return folder;
  const state = lstatSync(folder);
  const copy = join(tmpdir(), `sluice-${process.getuid?.()}-${basename(dirname(folder))}-${state.ino}-${Math.trunc(state.mtimeMs)}`);
  const present = lstatSync(copy, { throwIfNoEntry: false });
  if (present !== undefined) {
    if (!present.isDirectory() || present.uid !== process.getuid?.() || (present.mode & 0o022) !== 0)
      throw new Error(`${copy} is not ours: remove it`);
    return copy;
  }
  const half = mkdtempSync(`${copy}-`);
  cpSync(folder, half, { recursive: true, verbatimSymlinks: true });
  chmodSync(half, 0o755);
  try {
    // Whole or not at all: another process may be doing the same.
    renameSync(half, copy);
  } catch {
    rmSync(half, { recursive: true, force: true });
  }
  return copy;
}

function traversable(folder: string): boolean {
  for (let path = folder; ; path = dirname(path)) {
    if ((statSync(path).mode & 0o001) === 0) return false;
    if (path === dirname(path)) return true;
  }
}

/** Whether a file is there and may be executed. */
export function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Makes a folder of `identity`'s own. */
export function ownedFolder(path: string, identity: Identity): string {
  mkdirSync(path, { mode: 0o700 });
  if (identity.uid !== undefined && identity.gid !== undefined) chownSync(path, identity.uid, identity.gid);
  return path;
}
