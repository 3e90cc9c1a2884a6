/** Reading single values of the configuration: sizes, addresses, names, secret references. */

const units: Readonly<Record<string, number>> = { '': 1, b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 };

/** Bytes of `8MB`, `64 kB`, `1024`; null when it is no size. Units are powers of 1024, as in most databases. */
export function parseSize(text: string | number): number | null {
  const match = /^(\d{1,15}) ?([kmg]?b)?$/i.exec(String(text));
  if (match === null) return null;
  const bytes = Number(match[1]) * (units[(match[2] ?? '').toLowerCase()] ?? Number.NaN);
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** Milliseconds of `8h`, `30m`, `90s`, `7d`; null when it is no duration or is zero. */
export function parseDuration(text: string): number | null {
  const match = /^(\d{1,6})([smhd])$/.exec(text);
  if (match === null) return null;
  const factor = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[match[2] ?? ''];
  const ms = Number(match[1]) * (factor ?? 0);
  return ms > 0 ? ms : null;
}

/** As a configuration writes it, in the largest unit that gives a whole number. */
export function formatDuration(seconds: number): string {
  for (const [unit, length] of [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
  ] as const)
    if (seconds >= length && seconds % length === 0) return `${seconds / length}${unit}`;
  return `${seconds}s`;
}

/** `host:port`, `[::1]:port`, and `host` alone when there is a default port; null when it is neither. */
export function parseAddress(text: string, defaultPort?: number): { host: string; port: number } | null {
  const match = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:[\]/]+))(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return null;
  const host = match[1] ?? match[2] ?? '';
  const port = match[3] === undefined ? defaultPort : Number(match[3]);
  return port === undefined || port > 65_535 ? null : { host, port };
}

/** The shortest exact way to write a size: `64KB`, `4GB`, `1073741823`. */
export function formatSize(bytes: number): string {
  const unit = bytes === 0 ? undefined : ['gb', 'mb', 'kb'].find((name) => bytes % (units[name] ?? 1) === 0);
  return unit === undefined ? String(bytes) : `${bytes / (units[unit] ?? 1)}${unit.toUpperCase()}`;
}

/** The candidate closest to `word`, when it is close enough to be a slip of the pen. */
export function nearest(word: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  let least = slips(word) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

/** As many slips as a word of this length may hold and still be meant: one in three letters. */
function slips(word: string): number {
  return Math.max(1, Math.floor(word.length / 3));
}

/** Letters to insert, delete, replace or swap with the next one (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  const at = (cells: readonly number[], j: number): number => cells[j] ?? Number.POSITIVE_INFINITY;
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      let least = Math.min(at(row, j) + 1, at(next, j - 1) + 1, at(row, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, at(before, j - 2) + 1);
      next.push(least);
    }
    before = row;
    row = next;
  }
  return at(row, b.length);
}
