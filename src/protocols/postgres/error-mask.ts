import { buildErrorFields, parseErrorFields } from './messages.ts';
import type { SessionState } from './session-state.ts';

const WITHHELD = '(withheld by the gateway: it may hold protected data)';

/** Fields that can quote values of rows, and that nobody needs in order to understand the error. */
const VALUE_FIELDS: readonly string[] = ['D', 'W', 'q'];

/**
 * An ErrorResponse or NoticeResponse without card data. Patterns are masked everywhere; when the statement touched
 * protected columns, whatever may quote a value is withheld, since a CVV in a message has no pattern.
 */
export function maskErrorMessage(
  state: SessionState,
  type: number,
  bytes: Buffer,
  at: number,
  end: number,
  touchesProtected: boolean,
): { message: Buffer; fields: Map<string, string> } {
  const fields = parseErrorFields(bytes, at + 5, end);
  if (touchesProtected) {
    const sqlstate = fields.get('C') ?? '';
    const key = sqlstate.startsWith('23') ? keyDetail(state, fields) : null;
    for (const code of VALUE_FIELDS) if (fields.has(code)) fields.set(code, code === 'D' && key !== null ? key : WITHHELD);
    const text = fields.get('M') ?? '';
    // Data exceptions quote what they choke on, raised ones say anything; integrity violations quote names only.
    if (sqlstate.startsWith('P') || sqlstate === '00000' || sqlstate === '01000' || sqlstate === 'XX000') fields.set('M', WITHHELD);
    else if (quotesValues(sqlstate, fields)) fields.set('M', coverQuoted(text));
    if (sqlstate.startsWith('P') || quotesValues(sqlstate, fields)) fields.delete('H');
  }
  for (const [code, text] of fields) {
    if (code === 'S' || code === 'V' || code === 'C') continue;
    fields.set(code, maskString(state, text));
  }
  return { message: buildErrorFields(type, fields), fields };
}

/** Masks patterns in a string of the server's. */
export function maskString(state: SessionState, text: string): string {
  const bytes = Buffer.from(text, 'utf8');
  return state.services.masker.text(bytes, 0, bytes.length, state.counts) > 0 ? bytes.toString('utf8') : text;
}

/**
 * `Key (pan)=(4111...) already exists.` with the value masked as its column would be: that the same card is there already
 * is what the user has to know. Null when the detail has another form, or names something else than columns.
 */
function keyDetail(state: SessionState, fields: ReadonlyMap<string, string>): string | null {
  const found =
    /^Key \(([a-z_][a-z0-9_]*(?:, [a-z_][a-z0-9_]*)*)\)=\((.*)\) (already exists|is not present in table "[^"]*"|is duplicated)\.$/s.exec(
      fields.get('D') ?? '',
    );
  const [, names = '', value = '', outcome = ''] = found ?? [];
  const known = state.catalog.current?.columnsOf(fields.get('s') ?? '', fields.get('t') ?? '');
  if (found === null || known === null || known === undefined) return null;
  const classes = names.split(', ').map((name) => {
    const column = known.find((one) => one.name === name);
    return column === undefined ? 'unknown' : column.protect;
  });
  const keep = state.services.config.masking.keepLast;
  let shown = value;
  if (classes.length === 1 && classes[0] === 'pan' && /^\d{12,19}$/.test(value))
    shown = '*'.repeat(value.length - keep) + value.slice(value.length - keep);
  else if (classes.some((protect) => protect !== null)) shown = '***';
  return `Key (${names})=(${shown}) ${outcome}.`;
}

/** SQLSTATE classes of errors that quote a value when it was meant to name something: `cvv::regclass`, `to_tsquery(pan)`. */
const NAMING_CLASSES: ReadonlySet<string> = new Set(['0A', '0L', '0P', '28', '2B', '3D', '3F', '42', '55', '58', 'F0', 'HV']);

/** Whether the message can quote a value of a row. What the parser finds has a position in the text, and quotes only that. */
function quotesValues(sqlstate: string, fields: ReadonlyMap<string, string>): boolean {
  return sqlstate.startsWith('22') || (NAMING_CLASSES.has(sqlstate.slice(0, 2)) && !fields.has('P'));
}

/** What stands in double quotes, up to the last one: a value can hold quotes of its own. */
function coverQuoted(text: string): string {
  const first = text.indexOf('"');
  const last = text.lastIndexOf('"');
  return first === -1 || last <= first ? text : `${text.slice(0, first + 1)}***${text.slice(last)}`;
}
