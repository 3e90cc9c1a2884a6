import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Io } from './command.ts';

/** What `sluice login` leaves for the other commands. */
export interface StoredLogin {
  readonly url: string;
  readonly user: string;
  /** ms since the epoch. */
  readonly expiresAt: number;
  /** File of authorities that the gateway's certificate is checked by; null: the system's. */
  readonly ca: string | null;
  /** Whether the log-in wrote entries into the clients' own files; not there: it is of an earlier version. */
  readonly entries?: boolean;
}

/** The home directory of whoever runs the command. */
export function homeOf(io: Io): string {
  return io.env['HOME'] ?? homedir();
}

/** $XDG_CONFIG_HOME/sluice, else ~/.config/sluice. */
function folderOf(io: Io): string {
  const configured = io.env['XDG_CONFIG_HOME'];
  return join(configured === undefined || configured === '' ? join(homeOf(io), '.config') : configured, 'sluice');
}

/** The file that holds the token for clients alone, for whoever needs it as a password. It is not good for the API. */
export function tokenFile(io: Io): string {
  return join(folderOf(io), 'token');
}

/** The token for the API, which no client but this program needs. */
function apiTokenFile(io: Io): string {
  return join(folderOf(io), 'api-token');
}

export function storeLogin(io: Io, login: StoredLogin, tokens: { readonly api: string; readonly client: string }): void {
  const folder = folderOf(io);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeSecret(join(folder, 'login.json'), `${JSON.stringify(login)}\n`);
  writeSecret(apiTokenFile(io), `${tokens.api}\n`);
  writeSecret(tokenFile(io), `${tokens.client}\n`);
}

/** With the token for the API. Null when nobody is logged in. */
export function storedLogin(io: Io): { readonly login: StoredLogin; readonly token: string } | null {
  try {
    const login = JSON.parse(readFileSync(join(folderOf(io), 'login.json'), 'utf8')) as StoredLogin;
    return { login, token: readFileSync(apiTokenFile(io), 'utf8').trim() };
  } catch {
    return null;
  }
}

export function forgetLogin(io: Io): void {
  rmSync(join(folderOf(io), 'login.json'), { force: true });
  rmSync(apiTokenFile(io), { force: true });
  rmSync(tokenFile(io), { force: true });
}

/** Readable by its owner alone, and there whole or not at all: a file of the user's own must not be lost half-way. */
export function writeSecret(path: string, text: string): void {
  const place = existsSync(path) ? realpathSync(path) : path;
  const draft = `${place}.${process.pid}.new`;
  writeFileSync(draft, text, { mode: 0o600, flag: 'wx' });
  renameSync(draft, place);
}
