/** Samples of one route in one workload, in the order of the rounds. */
export interface Series {
  readonly route: string;
  readonly durability: string;
  readonly output: string;
  readonly tls: string;
  readonly samples: number[];
}

export interface Table {
  readonly title: string;
  readonly unit: string;
  /** Digits after the point. */
  readonly digits: number;
  readonly series: readonly Series[];
}

export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined) throw new Error('no samples');
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}

/**
 * The median over rounds of this route's sample divided by the other's in the same round: what the machine did in between
 * falls out of it.
 */
export function ratio(series: Series, other: Series): number {
  return median(series.samples.map((sample, round) => sample / (other.samples[round] ?? Number.NaN)));
}

/** Markdown. The first route is the reference; so is the second where there is one that is not ours. */
export function markdown(table: Table): string {
  const references = table.series.filter((series) => series.durability === '-');
  const heads = [
    'route',
    'durability',
    'output',
    'TLS',
    `median ${table.unit}`,
    'min - max',
    ...references.map((series) => `of ${series.route}`),
  ];
  const show = (value: number): string => value.toFixed(table.digits);
  const rows = table.series.map((series) => [
    series.route,
    series.durability,
    series.output,
    series.tls,
    show(median(series.samples)),
    `${show(Math.min(...series.samples))} - ${show(Math.max(...series.samples))}`,
    ...references.map((reference) => `${ratio(series, reference).toFixed(2)}x`),
  ]);
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [`### ${table.title}`, '', line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n');
}
