/** What one way costs more than another at a size; negative where it costs less. */
export interface Point {
  readonly size: number;
  readonly difference: number;
}

/**
 * The size at which the difference turns positive for good, between the measured sizes on a straight line through the logarithms
 * of the sizes. A word when that is outside of what was measured. `points` in order of size.
 */
export function crossover(points: readonly Point[]): number | string {
  const last = points.at(-1);
  const first = points[0];
  if (first === undefined || last === undefined) return 'nothing measured';
  if (last.difference <= 0) return `above ${last.size} bytes`;
  for (let i = points.length - 1; i > 0; i--) {
    const above = points[i];
    const below = points[i - 1];
    if (above === undefined || below === undefined || below.difference > 0) continue;
    const share = -below.difference / (above.difference - below.difference);
    return below.size * (above.size / below.size) ** share;
  }
  return `below ${first.size} bytes`;
}
