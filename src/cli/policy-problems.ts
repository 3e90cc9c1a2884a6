import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import { whyUnreadable } from '../config/unreadable.ts';
import { nearest } from '../config/values.ts';
import { GatewayError } from '../errors.ts';
import { CedarEngine } from '../policy/engine.ts';
import type { PolicyFile } from '../policy/files.ts';
import { vocabularies } from '../protocols/registry.ts';

/** A compiler that finds something new each time would be at fault, not the policies. */
const ROUNDS = 100;

/**
 * Every problem of the policies of a directory, `policies/a.cedar:3:14: message; what to write instead`, in the order of the
 * files. The compiler says nothing of the policies of a file in which one does not parse, so whatever it has reported is
 * blanked and the rest compiled again, until nothing new is found. `resources` are the names of all there are.
 */
export function policyProblems(directory: string, resources: readonly string[]): string[] {
  // That it is missing is a problem of the configuration.
  if (!existsSync(directory)) return [];
  const found = new Map<string, Location>();
  let files: PolicyFile[] = [];
  for (const name of readdirSync(directory)
    .filter((file) => file.endsWith('.cedar'))
    .sort()) {
    const file = join(basename(directory), name);
    try {
      files.push({ name: file, text: new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(join(directory, name))) });
    } catch (error) {
      found.set(`${file}:1:1: the file cannot be read: ${whyUnreadable(error)}`, { file, line: 1, column: 1 });
    }
  }
  for (let round = 0; round < ROUNDS; round++) {
    const problems = compile(files, resources);
    const before = found.size;
    for (const problem of problems) found.set(withoutGuess(problem), locationOf(problem));
    if (found.size === before) break;
    files = files.map((file) => ({ name: file.name, text: blanked(file, problems.map(locationOf)) }));
  }
  return [...found]
    .sort(([, a], [, b]) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line || a.column - b.column))
    .map(([problem]) => problem);
}

interface Location {
  readonly file: string;
  /** From 1; columns count characters. */
  readonly line: number;
  readonly column: number;
}

function compile(files: readonly PolicyFile[], resources: readonly string[]): string[] {
  try {
    new CedarEngine(files, vocabularies, { resources }).close();
    return [];
  } catch (error) {
    if (error instanceof GatewayError) return error.publicMessage.split('\n');
    throw error;
  }
}

function locationOf(problem: string): Location {
  const [, file = '', line, column] = /^(.+?):(\d+):(\d+): /.exec(problem) ?? [];
  return { file, line: Number(line ?? 0), column: Number(column ?? 0) };
}

/** The text with every policy that has a problem replaced by blanks, so that all others stay where they are. */
function blanked(file: PolicyFile, problems: readonly Location[]): string {
  let text = file.text;
  for (const { file: name, line, column } of problems) {
    if (name !== file.name) continue;
    const before = file.text.split('\n').slice(0, line - 1);
    const inLine = [...(file.text.split('\n')[line - 1] ?? '')].slice(0, column - 1).join('');
    const offset = before.reduce((sum, one) => sum + one.length + 1, 0) + inLine.length;
    const [start, end] = policyAt(file.text, offset);
    // One blank for each character, not for each UTF-16 unit: columns count characters.
    text = text.slice(0, start) + text.slice(start, end).replace(/[^\n]/g, ' ') + text.slice(end);
  }
  return text;
}

/** From the end of the policy before to the semicolon of this one; those in strings and comments do not count. */
function policyAt(text: string, offset: number): [number, number] {
  let start = 0;
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|\/\/[^\n]*|;/g)) {
    if (token !== ';') continue;
    if (index >= offset) return [start, index + 1];
    start = index + 1;
  }
  return [start, text.length];
}

/** Cedar guesses what was meant however far off it is. A guess that is no slip of the pen away only misleads. */
function withoutGuess(problem: string): string {
  const match = /(?:attribute|action|entity type) `(?:Action::)?"?([^`"]+)"?`[^`]*; did you mean `(?:Action::)?"?([^`"]+)"?`\?$/.exec(
    problem,
  );
  const [, written = '', guess = ''] = match ?? [];
  if (match === null || nearest(written, [guess]) !== null) return problem;
  return problem.replace(/; did you mean `[^`]+`\?$/, '; docs/policy.md lists what there is');
}
