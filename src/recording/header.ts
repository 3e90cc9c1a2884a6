/** The first line of a segment: from it, and nothing before it, the segment can be read and verified. */
import type { OpenWorkLists } from './open-work.ts';
import type { RecordLine } from './read.ts';

/** `prev` of a chain's first line. */
export const NO_LINE = '0'.repeat(64);

export interface HeaderState {
  /** The chain before the header, as `RecordChain.state()`. */
  readonly chain: string;
  readonly segment: number;
  /** Number of the segment before, 0 when there was none. */
  readonly previous: number;
  readonly open: OpenWorkLists;
  readonly gateway: string;
  readonly process: string;
}

/** What a header line says, or null when the line is no header. */
export function headerState(line: RecordLine): HeaderState | null {
  const tree = line['tree'] as { size?: unknown; frontier?: unknown } | undefined;
  const previous = line['previous'] as { segment?: unknown; head?: unknown } | null | undefined;
  const open = line['open'] as { sessions?: unknown; intents?: unknown } | undefined;
  const { segment, gateway, process } = line as unknown as Record<string, unknown>;
  if (line.type !== 'recorder' || (line['event'] !== 'start' && line['event'] !== 'rotate')) return null;
  if (typeof segment !== 'number' || typeof gateway !== 'string' || typeof process !== 'string') return null;
  if (tree === undefined || tree === null || !isSize(tree.size) || !Array.isArray(tree.frontier)) return null;
  if (!tree.frontier.every(isHash) || bitsSet(tree.size) !== tree.frontier.length) return null;
  if (previous === undefined || (previous !== null && !(isSize(previous.segment) && isHash(previous.head)))) return null;
  if (!Array.isArray(open?.sessions) || !Array.isArray(open.intents)) return null;
  return {
    chain: JSON.stringify({ size: tree.size, head: previous === null ? NO_LINE : previous.head, frontier: tree.frontier }),
    segment,
    previous: previous === null ? 0 : (previous.segment as number),
    open: { sessions: open.sessions.map(String), intents: open.intents.map(Number) },
    gateway,
    process,
  };
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isHash(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
}

function bitsSet(value: number): number {
  let bits = 0;
  for (let rest = value; rest > 0; rest = Math.floor(rest / 2)) bits += rest % 2;
  return bits;
}
