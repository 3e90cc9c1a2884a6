/** Search over the masked texts of a record. */
import { listChains } from './directory.ts';
import type { RecordLine } from './read.ts';
import { readLines } from './read.ts';
import { listSessions } from './sessions.ts';

export interface SearchQuery {
  /** In the statement, command or bind values; upper and lower case are the same. */
  readonly text?: string;
  /** Name of who acted, exactly. */
  readonly principal?: string;
  /** An object touched, e.g. `public.cards` or `cards`, see `touches`. */
  readonly object?: string;
  /** RFC 3339 in UTC, or a beginning of it, e.g. `2026-02-28`. `until` is not included. */
  readonly since?: string;
  readonly until?: string;
  /** Only what was denied. */
  readonly denied?: boolean;
}

export interface SearchMatch {
  /** '' of a request to the gateway's own API, whose `text` is the action. */
  readonly sid: string;
  readonly seq: number;
  readonly t: string;
  readonly principal: string;
  readonly resource: string;
  readonly denied: boolean;
  readonly text: string;
  /** The policies that decided; of a denial also why, and what the client was told. */
  readonly policies: readonly string[];
  readonly reason: string;
  readonly message: string;
}

/** The operations that match all of the query, chain by chain in the order of their lines. */
export function* searchRecord(path: string, query: SearchQuery): Generator<SearchMatch, void, void> {
  const sessions = new Map(listSessions(path).map((session) => [session.sid, session]));
  const wanted = query.text?.toLowerCase();
  const object = partsOf(query.object ?? '');
  for (const chain of listChains(path)) {
    /** Texts of statements that later lines execute by number. Those of ended sessions are let go with them. */
    const statements = new Map<string, Map<unknown, string>>();
    for (const { line } of readLines(chain, { types: ['intent', 'deny', 'session'] })) {
      if (line.type === 'session') {
        if (line['event'] === 'end') statements.delete(line.sid);
        continue;
      }
      const session = sessions.get(line.sid);
      const text = textOf(line, statements);
      if (query.denied === true && line.type !== 'deny') continue;
      const principal = session?.principal ?? nameOf(line['by']);
      if (query.principal !== undefined && principal !== query.principal) continue;
      if (query.since !== undefined && line.t < query.since) continue;
      if (query.until !== undefined && line.t >= query.until) continue;
      if (query.object !== undefined && !touches(line['objects'], object)) continue;
      if (wanted !== undefined && !`${text} ${paramsOf(line)}`.toLowerCase().includes(wanted)) continue;
      yield {
        sid: line.sid,
        seq: line.seq,
        t: line.t,
        principal,
        resource: session?.resource ?? '',
        denied: line.type === 'deny',
        text,
        policies: Array.isArray(line['policies']) ? line['policies'].map(String) : [],
        reason: typeof line['reason'] === 'string' ? line['reason'] : '',
        message: typeof line['message'] === 'string' ? line['message'] : '',
      };
    }
  }
}

function nameOf(by: unknown): string {
  return typeof by === 'object' && by !== null && 'name' in by && typeof by.name === 'string' ? by.name : '';
}

function textOf(line: RecordLine, statements: Map<string, Map<unknown, string>>): string {
  if (line['kind'] === 'api') return actionOf(line);
  const own = line['text'];
  if (typeof own !== 'string') return statements.get(line.sid)?.get(line['stmt']) ?? '';
  let known = statements.get(line.sid);
  if (known === undefined) {
    known = new Map();
    statements.set(line.sid, known);
  }
  known.set(line.seq, own);
  return own;
}

/** What was asked of the API: `grant.request payments`. */
function actionOf(line: RecordLine): string {
  const [object] = Array.isArray(line['objects']) ? line['objects'] : [];
  return String(object ?? line['action'] ?? '');
}

function paramsOf(line: RecordLine): string {
  return Array.isArray(line['params']) ? line['params'].map(String).join(' ') : '';
}

/**
 * Objects are written as `select public.cards`: what is done, and what to, as the statement wrote it. Which schema a bare name
 * meant was the server's to say, so it counts as any: `public.cards` finds `cards`, and `cards` finds `public.cards`.
 */
function touches(objects: unknown, wanted: readonly string[]): boolean {
  return (
    Array.isArray(objects) &&
    objects.some((object) => {
      const text = String(object);
      const path = partsOf(text.slice(text.indexOf(' ') + 1));
      const common = Math.min(path.length, wanted.length);
      return common > 0 && path.slice(-common).every((part, i) => part === wanted[wanted.length - common + i]);
    })
  );
}

/** The parts of a dotted name; one in double quotes may hold dots itself. */
function partsOf(name: string): string[] {
  return (name.match(/(?:"(?:[^"]|"")*"|[^.])+/g) ?? []).map((part) => part.replace(/^"((?:[^"]|"")*)"$/, '$1'));
}
