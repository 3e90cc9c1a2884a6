import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ClientFile } from '../access/client-help.ts';
import { GatewayError } from '../errors.ts';
import type { Io } from './command.ts';
import { homeOf, tokenFile, writeSecret } from './stored-login.ts';

/** What the placeholders of a protocol's texts stand for. */
export interface Filling {
  readonly token: string;
  /** Null: the system's. */
  readonly ca: string | null;
}

/** A line to type, with its placeholders filled in; the token itself never is. */
export function lineOf(text: string, io: Io, ca: string | null): string {
  // Who brings a token along has no file of it.
  const given = io.env['SLUICE_TOKEN'] ?? '';
  const line = given === '' ? text : text.replaceAll('$(cat {tokenFile})', '$SLUICE_TOKEN');
  return line.replaceAll('{tokenFile}', tokenFile(io)).replaceAll('{ca}', ca ?? 'system');
}

/**
 * Puts entries into the client's own files, in place of those of the same name; what else is there stays. Returns the paths.
 * Written are only files that `known` names, and only entries of their form: the gateway that asks for them is not
 * trusted with the rest of the home directory. Throws GatewayError `client_file_refused` before anything is written.
 */
export function writeClientFiles(files: readonly ClientFile[], known: readonly ClientFile[], io: Io, filling: Filling): string[] {
  const paths = new Set<string>();
  for (const file of files) if (!isKnown(file, known) || !isEntry(file)) throw refused(file);
  for (const file of files) {
    const path = placeOf(file, io);
    const entry = lineOf(file.entry, io, filling.ca).replaceAll('{token}', filling.token);
    mkdirSync(dirname(path), { recursive: true });
    writeSecret(path, file.form === 'section' ? withSection(readText(path), file.key, entry) : withLine(readText(path), file.key, entry));
    paths.add(path);
  }
  return [...paths];
}

/** Whether the client's own file has the entry, be it of an earlier log-in. */
export function hasEntry(file: ClientFile, io: Io): boolean {
  const heading = file.form === 'section' ? `[${file.key}]` : null;
  let text: string;
  try {
    text = readText(placeOf(file, io));
  } catch {
    // What cannot be read is nothing to remind of: the log-in says what is wrong with it.
    return true;
  }
  return text.split('\n').some((line) => (heading === null ? line.startsWith(file.key) : line.trim() === heading));
}

function placeOf({ variable, path }: ClientFile, io: Io): string {
  const named = io.env[variable];
  return named === undefined || named === '' ? join(homeOf(io), path) : named;
}

function isKnown(file: ClientFile, known: readonly ClientFile[]): boolean {
  return known.some(({ form, path, variable }) => form === file.form && path === file.path && variable === file.variable);
}

/** A section of its own heading and of settings, or one line that begins with its key. */
function isEntry({ form, key, entry }: ClientFile): boolean {
  const [first, ...others] = entry.split('\n');
  if (key === '' || /[\p{Cc}\]]/u.test(key) || /(?!\n)\p{Cc}/u.test(entry)) return false;
  if (form === 'line') return others.length === 0 && entry.startsWith(key);
  return first === `[${key}]` && others.every((line) => /^\w+=/.test(line));
}

function refused({ path }: ClientFile): GatewayError {
  return new GatewayError({
    code: 'client_file_refused',
    source: 'gateway',
    phase: 'decide',
    publicMessage: `the gateway asks for an entry in ${JSON.stringify(path)} that no client of it needs`,
    hint: 'nothing was written; is it your gateway, and of the same version?',
  });
}

/** The text with the section `[key]` replaced by the entry, or the entry after it. */
export function withSection(text: string, key: string, entry: string): string {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => line.trim() === `[${key}]`);
  if (start === -1) return `${ended(text)}${text === '' ? '' : '\n'}${entry}\n`;
  let end = start + 1;
  while (end < lines.length && !lines[end]?.trimStart().startsWith('[')) end++;
  const rest = lines.slice(end).join('\n');
  return `${[...lines.slice(0, start), entry].join('\n')}\n${rest === '' ? '' : `\n${rest}`}`;
}

/** The text with the line that begins with `key` replaced by the entry, or the entry before it: in such files the first match counts. */
export function withLine(text: string, key: string, entry: string): string {
  const others = text.split('\n').filter((line) => !line.startsWith(key));
  return `${entry}\n${ended(others.join('\n')).replace(/^\n+/, '')}`;
}

function ended(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
