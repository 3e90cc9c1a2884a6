/** The sessions in a record, and the operations of one. Read from the segments alone, so what is shown is what was verified. */
import { listChains } from './directory.ts';
import type { RecordLine } from './read.ts';
import { readLines } from './read.ts';

export interface SessionSummary {
  readonly sid: string;
  /** Directory of the chain that holds it. */
  readonly chain: string;
  readonly protocol: string;
  readonly principal: string;
  readonly source: string;
  readonly resource: string;
  readonly account: string;
  readonly start: string;
  /** '' while it is open, or when a crash closed it. */
  readonly end: string;
  readonly reason: string;
  /** `open`: nothing says that it ended. `incomplete`: the gateway stopped before it could say so. */
  readonly state: 'ended' | 'open' | 'incomplete';
  readonly ops: number;
  readonly denied: number;
  /** Values masked, by rule. */
  readonly masked: Readonly<Record<string, number>>;
}

export interface OperationView {
  readonly seq: number;
  readonly t: string;
  readonly kind: string;
  readonly action: string;
  /** Its own text, or that of the statement it executes. */
  readonly text: string;
  readonly params: readonly unknown[];
  readonly objects: readonly string[];
  readonly policies: readonly string[];
  /** As its result says. Without one: `denied`, `pending` while its session is open, `unknown` once that has ended without it. */
  readonly status: string;
  readonly code: string;
  readonly tag: string;
  readonly rows: number;
  readonly bytes: number;
  readonly us: number;
  readonly masked: Readonly<Record<string, number>>;
  /** Of a denial. */
  readonly reason: string;
  readonly message: string;
}

export interface SessionDetail {
  readonly session: SessionSummary;
  readonly operations: readonly OperationView[];
}

/** Every session of a record or data directory, in the order in which they started. */
export function listSessions(path: string): SessionSummary[] {
  return listChains(path)
    .flatMap(sessionsOfChain)
    .sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
}

/** One session with its operations, or null when the record does not hold it. */
export function showSession(path: string, sid: string): SessionDetail | null {
  const session = listSessions(path).find((candidate) => candidate.sid === sid);
  if (session === undefined) return null;
  const lines = [...readLines(session.chain, { sid, types: ['intent', 'deny', 'result'] })].map(({ line }) => line);
  const results = new Map<unknown, RecordLine>();
  for (const line of lines) if (line.type === 'result') results.set(line['intent'], line);
  const texts = new Map<unknown, string>();
  const operations: OperationView[] = [];
  for (const line of lines) {
    if (line.type === 'result') continue;
    if (typeof line['text'] === 'string') texts.set(line.seq, line['text']);
    const unanswered = line.type === 'deny' ? 'denied' : session.state === 'open' ? 'pending' : 'unknown';
    operations.push(operationView(line, results.get(line.seq), unanswered, texts.get(line['stmt']) ?? ''));
  }
  return { session, operations };
}

function operationView(line: RecordLine, result: RecordLine | undefined, unanswered: string, statement: string): OperationView {
  return {
    seq: line.seq,
    t: line.t,
    kind: text(line['kind']),
    action: text(line['action']),
    text: text(line['text']) || statement,
    params: Array.isArray(line['params']) ? line['params'] : [],
    objects: strings(line['objects']),
    policies: strings(line['policies']),
    status: result === undefined ? unanswered : text(result['status']),
    code: text(result?.['code']),
    tag: text(result?.['tag']),
    rows: count(result?.['rows']),
    bytes: count(result?.['bytes']),
    us: count(result?.['us']),
    masked: counts(result?.['masked']),
    reason: text(line['reason']),
    message: text(line['message']),
  };
}

function sessionsOfChain(chain: string): SessionSummary[] {
  const sessions = new Map<string, SessionSummary>();
  for (const { line } of readLines(chain, { types: ['session', 'recorder'] })) {
    if (line.type === 'recorder') {
      if (line['event'] === 'recover') for (const sid of strings(line['sessions'])) update(sessions, sid, { state: 'incomplete' });
    } else if (line['event'] === 'start') {
      sessions.set(line.sid, started(chain, line));
    } else {
      update(sessions, line.sid, {
        end: line.t,
        state: 'ended',
        reason: text(line['reason']),
        ops: count(line['ops']),
        denied: count(line['denied']),
        masked: counts(line['masked']),
      });
    }
  }
  countUnfinished(chain, sessions);
  return [...sessions.values()];
}

function started(chain: string, line: RecordLine): SessionSummary {
  const principal = members(line['principal']);
  const target = members(line['target']);
  return {
    sid: line.sid,
    chain,
    protocol: text(line['protocol']),
    principal: text(principal['name']),
    source: text(line['source']),
    resource: text(target['resource']),
    account: text(target['account']),
    start: line.t,
    end: '',
    reason: '',
    state: 'open',
    ops: 0,
    denied: 0,
    masked: {},
  };
}

/** A session that did not end has no line with its totals: they are counted from its operations. */
function countUnfinished(chain: string, sessions: Map<string, SessionSummary>): void {
  if ([...sessions.values()].every(({ state }) => state === 'ended')) return;
  for (const { line } of readLines(chain, { types: ['intent', 'deny', 'result'] })) {
    const session = sessions.get(line.sid);
    if (session === undefined || session.state === 'ended') continue;
    if (line.type === 'result') {
      const masked = { ...session.masked };
      for (const [rule, n] of Object.entries(counts(line['masked']))) masked[rule] = (masked[rule] ?? 0) + n;
      update(sessions, line.sid, { masked });
    } else {
      update(sessions, line.sid, { ops: session.ops + 1, denied: session.denied + (line.type === 'deny' ? 1 : 0) });
    }
  }
}

function update(sessions: Map<string, SessionSummary>, sid: string, change: Partial<SessionSummary>): void {
  const session = sessions.get(sid);
  if (session !== undefined) sessions.set(sid, { ...session, ...change });
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function count(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function members(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function counts(value: unknown): Record<string, number> {
  return Object.fromEntries(Object.entries(members(value)).filter((entry): entry is [string, number] => typeof entry[1] === 'number'));
}
