import { compileRowPlan, dropRowPlan } from '../../../native/binding/index.js';
import type { Masker } from '../../workers/masker.ts';
import type { LineageOfStatement } from './analysis.ts';
import { type CatalogSnapshot, type Protection, strongest } from './catalog.ts';
import { wellKnownColumn } from './well-known.ts';

/** How to mask one column of a reply. */
export type ColumnMask = 'scan' | 'pan' | 'sad' | 'whole' | 'none';

export interface ReplyColumn {
  readonly name: string;
  readonly mask: ColumnMask;
  readonly type: number;
  readonly binary: boolean;
}

/** A compiled plan for the rows of one description. Freed when nothing refers to it any more. */
export class ReplyPlan {
  readonly id: number;
  readonly columns: readonly ReplyColumn[];
  readonly maskedColumns: readonly string[];
  /** Nothing in the names of the columns has to be masked. Else they are masked in each description. */
  readonly plainNames: boolean;

  /** @param plainNames see there. @param copy delimiters and header of a COPY, as the native side takes them. */
  constructor(columns: readonly ReplyColumn[], plainNames: boolean, copy?: object) {
    this.columns = columns;
    this.plainNames = plainNames;
    this.id = compileRowPlan(
      JSON.stringify({
        columns: columns.map(({ mask, type, binary }) => ({ mask, type, binary })),
        ...(copy === undefined ? {} : { copy }),
      }),
    );
    this.maskedColumns = columns.filter((column) => column.mask !== 'scan' && column.mask !== 'none').map((column) => column.name);
    freed.register(this, this.id);
  }

  /** The plan for rows whose columns the statement names. @param masker covers what the names may show. */
  static ofRows(columns: readonly ReplyColumn[], masker: Masker): ReplyPlan {
    const shown = columns.map((column) => ({ ...column, name: masker.string(column.name) }));
    return new ReplyPlan(
      shown,
      shown.every(({ name }, i) => name === columns[i]?.name),
    );
  }
}

// Plans live in native memory and are shared by caches, portals and queued replies: the collector knows best when the last is gone.
const freed = new FinalizationRegistry<number>((id) => dropRowPlan(id));

/** The mask of a column with that protection. A derived value keeps nothing: its last four digits need not be the card's. */
export function maskFor(protect: Protection | null, derived: boolean): ColumnMask {
  switch (protect) {
    case null:
      return 'scan';
    case 'pan':
      return derived ? 'whole' : 'pan';
    case 'sad':
      return 'sad';
    default:
      return 'whole';
  }
}

export interface DescribedColumn {
  readonly name: string;
  readonly tableOid: number;
  readonly attnum: number;
  readonly type: number;
  readonly binary: boolean;
}

/** Decodes the body of a RowDescription; null when it breaks the format. */
export function parseRowDescription(bytes: Buffer, from: number, to: number): DescribedColumn[] | null {
  if (to - from < 2) return null;
  const count = bytes.readUInt16BE(from);
  const columns: DescribedColumn[] = [];
  let at = from + 2;
  for (let i = 0; i < count; i++) {
    const zero = bytes.indexOf(0, at);
    if (zero === -1 || zero + 19 > to) return null;
    columns.push({
      name: bytes.toString('utf8', at, zero),
      tableOid: bytes.readUInt32BE(zero + 1),
      attnum: bytes.readInt16BE(zero + 5),
      type: bytes.readUInt32BE(zero + 7),
      binary: bytes.readInt16BE(zero + 17) !== 0,
    });
    at = zero + 19;
  }
  return at === to ? columns : null;
}

/** Masks the names in the body of a RowDescription in place: whoever writes the statement chooses them. */
export function maskNames(masker: Masker, bytes: Buffer, from: number, to: number, counts: Uint32Array): void {
  for (let at = from + 2; at < to; ) {
    const zero = bytes.indexOf(0, at);
    if (zero === -1 || zero >= to) break;
    masker.text(bytes, at, zero - at, counts);
    at = zero + 19;
  }
}

/**
 * The class of each column: by origin through the catalog, else by what the statement says of its outputs, and by its name
 * in any case. `unknown` origins make the second result true: the catalog should be read again.
 * @param writes the statement returns rows that it has just written: what a column holds need not be its own.
 */
export function planColumns(
  described: readonly DescribedColumn[],
  catalog: CatalogSnapshot,
  lineage: LineageOfStatement | null,
  writes = false,
): { columns: ReplyColumn[]; unseen: boolean } {
  let unseen = false;
  const outputs = lineage?.outputs ?? [];
  const columns = described.map((column, i): ReplyColumn => {
    let protect: Protection | null;
    let derived = false;
    if (column.tableOid !== 0 && column.attnum !== 0) {
      const known = catalog.protection(column.tableOid, column.attnum);
      if (known === undefined) unseen = true;
      protect = known === undefined ? 'unknown' : known;
      if (writes) {
        const written = derivedProtection(lineage, outputsAt(outputs, i, described.length));
        derived = written !== null && written !== protect;
        protect = strongest(protect, written);
      }
    } else {
      derived = true;
      protect = derivedProtection(lineage, outputsAt(outputs, i, described.length));
    }
    const byName = wellKnownColumn(column.name);
    return {
      name: column.name,
      mask: maskFor(strongest(protect, byName), derived && protect !== null),
      type: column.type,
      binary: column.binary,
    };
  });
  return { columns, unseen };
}

type Outputs = LineageOfStatement['outputs'];

/**
 * The outputs that column `i` of `count` may stand for: one before the first star and behind the last, where positions are
 * certain; between them, where a star hides how many columns it stands for, any. None when the counts do not fit.
 */
function outputsAt(outputs: Outputs, i: number, count: number): Outputs {
  const firstStar = outputs.findIndex((output) => output.star);
  if (firstStar === -1) return outputs.length === count ? outputs.slice(i, i + 1) : [];
  const behind = outputs.length - 1 - outputs.findLastIndex((output) => output.star);
  if (firstStar + behind > count) return [];
  if (i < firstStar) return outputs.slice(i, i + 1);
  const fromEnd = count - i;
  if (fromEnd <= behind) return outputs.slice(outputs.length - fromEnd, outputs.length - fromEnd + 1);
  return outputs.slice(firstStar, outputs.length - behind);
}

function derivedProtection(lineage: LineageOfStatement | null, sources: Outputs): Protection | null {
  if (lineage === null) return 'unknown';
  if (lineage.clean) return null;
  if (sources.length === 0) return 'unknown';
  let all: Protection | null = null;
  for (const { protect } of sources) all = strongest(all, protect as Protection | null);
  return all;
}
