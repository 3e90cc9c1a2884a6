import type { HeldOperation } from './approval-gate.ts';
import type { BindMessage } from './bind-record.ts';
import type { Classified } from './classifier.ts';
import type { ClientRecord } from './client-record.ts';
import type { SessionState } from './session-state.ts';
import type { Statement } from './statements.ts';

/**
 * What approvers are shown of an operation, and what their approval is bound to: the very text and the very values, and, where the
 * server reports it, the search_path that its names go by.
 */

/** PostgreSQL's own default. */
const USUAL_PATH = '"$user", public';

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value), 'utf8');

/** The search_path; where the server does not report it, which one it began with and how often it may have changed since in this session. */
function names(state: SessionState): Buffer {
  const { parameters, pathAtStart, pathChanges, sid } = state;
  return Buffer.from(parameters.get('search_path') ?? `${pathAtStart}${pathChanges === 0 ? '' : `\0${sid} ${pathChanges}`}`, 'utf8');
}

/** Where names lead elsewhere than usual, approvers have to know. */
function underPath(state: SessionState): string {
  const path = state.parameters.get('search_path') ?? (state.pathAtStart === '' ? USUAL_PATH : state.pathAtStart);
  if (state.pathChanges > 0) return '\n-- under a search_path that the session may have changed';
  return path === USUAL_PATH ? '' : `\n-- under search_path ${state.services.masker.string(path.slice(0, 1024))}`;
}

/** @param shown its text as the record has it, as a JSON string. @param prepared for EXECUTE: what it runs. */
export function heldQuery(
  state: SessionState,
  record: ClientRecord,
  classified: Classified,
  text: Buffer,
  shown: string,
  members: string,
  prepared: Statement | null,
): HeldOperation {
  const own = Buffer.from(text);
  const held = {
    action: classified.action,
    statements: classified.statements,
    statement: `${JSON.parse(shown) as string}${underPath(state)}`,
    params: [],
    exact: [Buffer.from('query'), names(state), own],
    members,
    plan: classified.statements.length === 1 ? own : null,
  };
  return prepared === null ? held : withExecuted(record, held, prepared);
}

/** An EXECUTE with what it runs: both are shown, decided again and approved. */
export function withExecuted(record: ClientRecord, held: HeldOperation, prepared: Statement): HeldOperation {
  const text = prepared.exact?.text ?? Buffer.alloc(0);
  return {
    ...held,
    action: prepared.classified.action === 'prepare' ? held.action : prepared.classified.action,
    statements: [...held.statements, ...prepared.classified.statements],
    statement: `${held.statement}\n${maskedText(record, prepared, text)}`,
    exact: [...held.exact, Buffer.from('executes'), text],
    plan: null,
  };
}

/** @param params the member with the masked values, as the record has it; '' when there are none. */
export function heldBind(
  state: SessionState,
  record: ClientRecord,
  statement: Statement,
  exact: NonNullable<Statement['exact']>,
  bind: BindMessage,
  bytes: Buffer,
  params: string,
  members: string,
): HeldOperation {
  const lengths = bind.values.map((value) => value.length);
  const values = bind.values.map(({ at, length }) => bytes.subarray(at, at + Math.max(0, length)));
  return {
    action: statement.classified.action,
    statements: statement.classified.statements,
    statement: `${maskedText(record, statement, exact.text)}${underPath(state)}`,
    params: shownParams(params),
    exact: [Buffer.from('bind'), names(state), exact.text, json([exact.types, bind.formats, lengths]), Buffer.concat(values)],
    members,
    plan: statement.classified.statements.length === 1 ? exact.text : null,
  };
}

function maskedText(record: ClientRecord, statement: Statement, text: Buffer): string {
  return JSON.parse(record.text(statement.classified.sensitive, text, 0, text.length)) as string;
}

function shownParams(member: string): string[] {
  if (member === '') return [];
  const { params } = JSON.parse(`{${member.slice(1)}}`) as { params: (string | null | { bytes: number })[] };
  return params.map((value) => (value === null ? 'NULL' : typeof value === 'string' ? value : `(${value.bytes} bytes)`));
}
