/** Card numbers that look issued: valid check digit, real ranges and lengths, made from a seed so that every run has the same. */

export interface Brand {
  readonly name: string;
  /** First digits, as closed ranges of equal length. */
  readonly prefixes: readonly (readonly [number, number])[];
  readonly lengths: readonly number[];
  /** Digits of the card verification value. */
  readonly cvv: 3 | 4;
  /** Share of the generated cards, relative to the others. */
  readonly weight: number;
}

export const brands: readonly Brand[] = [
  { name: 'visa', prefixes: [[400000, 499999]], lengths: [16, 16, 16, 16, 13, 19], cvv: 3, weight: 40 },
  {
    name: 'mastercard',
    prefixes: [
      [510000, 559999],
      [222100, 272099],
    ],
    lengths: [16],
    cvv: 3,
    weight: 30,
  },
  {
    name: 'amex',
    prefixes: [
      [340000, 349999],
      [370000, 379999],
    ],
    lengths: [15],
    cvv: 4,
    weight: 8,
  },
  {
    name: 'discover',
    prefixes: [
      [601100, 601199],
      [644000, 649999],
      [650000, 652149],
    ],
    lengths: [16],
    cvv: 3,
    weight: 5,
  },
  { name: 'jcb', prefixes: [[352800, 358999]], lengths: [16], cvv: 3, weight: 4 },
  {
    name: 'diners',
    prefixes: [
      [300000, 305999],
      [360000, 369999],
      [380000, 399999],
    ],
    lengths: [14],
    cvv: 3,
    weight: 3,
  },
  { name: 'unionpay', prefixes: [[620000, 629999]], lengths: [16, 17, 18, 19], cvv: 3, weight: 4 },
  {
    name: 'maestro',
    prefixes: [
      [500000, 506698],
      [560000, 589999],
    ],
    lengths: [16, 18, 19],
    cvv: 3,
    weight: 3,
  },
  { name: 'mir', prefixes: [[220000, 220499]], lengths: [16], cvv: 3, weight: 2 },
  {
    name: 'rupay',
    prefixes: [
      [508500, 508999],
      [606985, 607984],
    ],
    lengths: [16],
    cvv: 3,
    weight: 1,
  },
];

/** A generator of numbers in [0, 1) that always gives the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** The digit that makes `digits` followed by it pass the Luhn check (ISO/IEC 7812-1 annex B). */
export function checkDigit(digits: string): number {
  let sum = 0;
  for (let place = 0; place < digits.length; place++) {
    const digit = digits.charCodeAt(digits.length - 1 - place) - 48;
    const weighed = place % 2 === 0 ? digit * 2 : digit;
    sum += weighed > 9 ? weighed - 9 : weighed;
  }
  return (10 - (sum % 10)) % 10;
}

/** Whether the last digit of `pan` is its check digit. */
export function luhnValid(pan: string): boolean {
  return /^\d{12,19}$/.test(pan) && checkDigit(pan.slice(0, -1)) === Number(pan.at(-1));
}

/** A brand, chosen by weight. */
export function pickBrand(random: () => number): Brand {
  let left = random() * brands.reduce((sum, brand) => sum + brand.weight, 0);
  for (const brand of brands) {
    left -= brand.weight;
    if (left < 0) return brand;
  }
  throw new Error('weights of brands do not add up');
}

/** A card number of the brand. */
export function makePan(brand: Brand, random: () => number): string {
  const range = pick(brand.prefixes, random);
  const length = pick(brand.lengths, random);
  let digits = String(range[0] + Math.floor(random() * (range[1] - range[0] + 1)));
  while (digits.length < length - 1) digits += Math.floor(random() * 10);
  return digits + checkDigit(digits);
}

/** `count` distinct card numbers of all brands. */
export function makePans(count: number, seed: number): string[] {
  const random = seeded(seed);
  const pans = new Set<string>();
  while (pans.size < count) pans.add(makePan(pickBrand(random), random));
  return [...pans];
}

export function pick<T>(list: readonly T[], random: () => number): T {
  const chosen = list[Math.floor(random() * list.length)];
  if (chosen === undefined) throw new Error('nothing to choose from');
  return chosen;
}
