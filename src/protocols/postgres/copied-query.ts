import { analyzeSql } from '../../../native/binding/index.js';
import type { Decision, PolicyEngine } from '../../policy/model.ts';
import { analysisOf, type StatementInfo } from './analysis.ts';
import { type Classified, deny } from './classifier.ts';
import { newNonce } from './denial.ts';
import { maskLiterals } from './literals.ts';
import { Front, message } from './messages.ts';

/**
 * The query inside of `COPY (query) TO STDOUT`. COPY says nothing of the types of what it sends, and a number in binary form cannot
 * be told from eight letters: so the server is asked to describe the query first, on the session's own connection, where it
 * means what it will mean to the COPY.
 */

const isCopyOfQuery = ({ copy }: StatementInfo): boolean => copy !== null && copy.table === null;

/** Refuses a COPY in binary format whose rows could not be read; null when they can. @param copied as it was found in the text. */
export function untypedCopy(engine: PolicyEngine, classified: Classified, copied: Buffer | null): Decision | null {
  const binary = classified.statements.some((statement) => isCopyOfQuery(statement) && statement.copy?.format === 'binary');
  if (copied !== null || !binary) return null;
  const hint = 'send the COPY by itself, or use its text format';
  return deny(engine, 'sluice.unsupported', 'unsupported', 'the types of a binary COPY of a query cannot be told', hint);
}

/**
 * The query that a text of one COPY copies, with spaces in place of what stands before it: the server's positions stay those of the
 * text. Null when there is none, or it cannot be told.
 * @param text the very text: statements of one shape may differ in types.
 */
export function copiedQuery(classified: Classified, text: Buffer): Buffer | null {
  if (classified.statements.length !== 1 || !classified.statements.some(isCopyOfQuery)) return null;
  const bare = Buffer.from(text);
  // Now only quoted names can hold a parenthesis that is none.
  maskLiterals(bare);
  let depth = 0;
  let open = -1;
  let quoted = false;
  for (let at = 0; at < bare.length; at++) {
    const byte = bare[at];
    if (byte === 0x22) quoted = !quoted;
    if (quoted) continue;
    if (byte === 0x28 && depth++ === 0) open = at;
    if (byte !== 0x29 || --depth > 0) continue;
    if (open === -1 || depth < 0 || !/^(\s|\/\*[*/]*\*\/|--\**\n)*to\b/i.test(bare.toString('latin1', at + 1))) return null;
    const query = text.subarray(open + 1, at);
    const analysis = analysisOf(analyzeSql(query, 0, query.length));
    if (analysis.error !== undefined || analysis.statements.length !== 1) return null;
    return Buffer.concat([Buffer.from(text.toString('utf8', 0, open + 1).replaceAll(/[^\n]/gu, ' ')), query]);
  }
  return null;
}

/** Asks for the types of a query's columns, under a name of ours: Parse, Describe, Close. */
export function describeQuery(query: Buffer): Buffer {
  const name = newNonce().replace('denied', 'copied');
  return Buffer.concat([
    message(Front.Parse, `${name}\0`, query, '\0\0\0'),
    message(Front.Describe, `S${name}\0`),
    message(Front.Close, `S${name}\0`),
  ]);
}
