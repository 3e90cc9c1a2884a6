/** Messages that a server sends, as benches need them. */

export const CARD = '4111111111111111';
export const MASKED_CARD = '************1111';

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const int16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
};

export function message(type: string, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type, 'latin1'), int32(body.length + 4), body]);
}

/** A DataRow of text values. */
export function row(values: readonly string[]): Buffer {
  return message('D', int16(values.length), ...values.flatMap((value) => [int32(Buffer.byteLength(value)), Buffer.from(value)]));
}

/** A DataRow of `size` bytes: seven columns, the third a card number, the sixth prose of whatever length is left. */
export function cardRow(size: number, card: string, filler: string): Buffer {
  const values = (note: string): string[] => ['12345', 'Jane Roe', card, '2024-01-15', 'visa', note, 'ok'];
  const room = size - row(values('')).length;
  if (room < 0) throw new Error(`a row of seven columns takes more than ${size} bytes`);
  return row(values(filler.repeat(Math.ceil(room / filler.length)).slice(0, room)));
}

export interface Column {
  readonly name: string;
  readonly type: number;
}

/** The columns of `cardRow`, as a table. */
export const COLUMNS: readonly Column[] = [
  { name: 'id', type: 23 },
  { name: 'customer', type: 25 },
  { name: 'reference', type: 25 },
  { name: 'day', type: 1082 },
  { name: 'brand', type: 25 },
  { name: 'note', type: 25 },
  { name: 'state', type: 25 },
];
export const TABLE_OID = 16_384;

/** RowDescription of the table's columns in text format. */
export function rowDescription(): Buffer {
  const fields = COLUMNS.flatMap(({ name, type }, i) => [
    Buffer.from(`${name}\0`),
    int32(TABLE_OID),
    int16(i + 1),
    int32(type),
    int16(-1),
    int32(-1),
    int16(0),
  ]);
  return message('T', int16(COLUMNS.length), ...fields);
}

export const commandComplete = (tag: string): Buffer => message('C', Buffer.from(`${tag}\0`));
export const readyForQuery = (): Buffer => message('Z', Buffer.from('I'));

/** The reply to a simple query: description, rows, completion, ready. */
export function reply(rows: readonly Buffer[]): Buffer {
  return Buffer.concat([rowDescription(), ...rows, commandComplete(`SELECT ${rows.length}`), readyForQuery()]);
}
