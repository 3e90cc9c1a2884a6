import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ClientFile } from '../access/client-help.ts';
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
  return text.replaceAll('{tokenFile}', tokenFile(io)).replaceAll('{ca}', ca ?? 'system');
}

/** Puts entries into the client's own files, in place of those of the same name; what else is there stays. Returns the paths. */
export function writeClientFiles(files: readonly ClientFile[], io: Io, filling: Filling): string[] {
  const paths = new Set<string>();
  for (const file of files) {
    const named = io.env[file.variable];
    const path = named === undefined || named === '' ? join(homeOf(io), file.path) : named;
    const entry = lineOf(file.entry, io, filling.ca).replaceAll('{token}', filling.token);
    mkdirSync(dirname(path), { recursive: true });
    writeSecret(path, file.form === 'section' ? withSection(readText(path), file.key, entry) : withLine(readText(path), file.key, entry));
    paths.add(path);
  }
  return [...paths];
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
