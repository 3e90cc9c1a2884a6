import assert from 'node:assert/strict';
import { leaks } from '../../demo/evidence.ts';
import type { Seeded } from '../../demo/seed.ts';

/** Fails when a card number of the seed is in the text, in clear or inside base64. */
export function assertNoCard(text: string | Buffer, seeded: Seeded, where: string): void {
  const pans = new Set(seeded.cards.map((card) => card.pan));
  assert.deepEqual(leaks(Buffer.from(text), pans), [], `card numbers in ${where}`);
}
