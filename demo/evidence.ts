import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Looks for card numbers where none may be, and reads the record as any program could. */

export interface RecordLine {
  readonly seq: number;
  readonly type: string;
  readonly sid: string;
  readonly [member: string]: unknown;
}

/** Every file below a folder. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** The lines of a record, in the order of its chain. */
export function recordLines(folder: string): RecordLine[] {
  return filesBelow(folder)
    .filter((file) => file.endsWith('.jsonl'))
    .flatMap((file) => readFileSync(file, 'utf8').split('\n'))
    .filter((line) => line.startsWith('{"v"'))
    .map((line): RecordLine => JSON.parse(line))
    .sort((a, b) => a.seq - b.seq);
}

/** The card numbers of `pans` that occur in the bytes, as they are or inside base64. */
export function leaks(bytes: Buffer, pans: ReadonlySet<string>): string[] {
  const text = bytes.toString('latin1');
  const found = new Set<string>();
  const look = (part: string): void => {
    for (const [run] of part.matchAll(/\d{12,}/g)) {
      for (let length = 12; length <= 19; length++) {
        for (let at = 0; at + length <= run.length; at++) {
          if (pans.has(run.slice(at, at + length))) found.add(run.slice(at, at + length));
        }
      }
    }
  };
  look(text);
  for (const [encoded] of text.matchAll(/[A-Za-z0-9+/]{24,}={0,2}/g)) look(Buffer.from(encoded, 'base64').toString('latin1'));
  return [...found];
}
