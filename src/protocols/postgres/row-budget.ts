import { GatewayError } from '../../errors.ts';

/** How many rows an approval lets an operation return or change, over all Executes of its portal. */
export class RowBudget {
  readonly limit: number;
  #rows = 0;
  /** Rows of the statements that are complete. */
  #before = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Counts rows that came. Throws when they are more than were approved: the session ends, and the target is told to stop. */
  take(rows: number): void {
    this.#rows += rows;
    if (this.#rows <= this.limit) return;
    throw new GatewayError({
      code: 'row_budget',
      source: 'gateway',
      phase: 'decide',
      publicMessage: `it came to more than the ${this.limit} rows that were approved, so it was aborted`,
      hint: 'ask for an approval with a larger row budget, or narrow the statement',
    });
  }

  /** A statement is complete: those of its rows count that it changed without returning them. @param tag as in CommandComplete, e.g. `DELETE 3`. */
  complete(tag: string): void {
    const rows = Number(/ (\d+)$/.exec(tag)?.[1] ?? 0);
    this.take(Math.max(0, rows - (this.#rows - this.#before)));
    this.#before = this.#rows;
  }
}
