/**
 * A text as the store and JSON take it: no half of a surrogate pair, which a cut may leave behind, and no U+0000.
 * @param most UTF-16 units that are kept.
 */
export function storable(text: string, most = Number.POSITIVE_INFINITY): string {
  return text.slice(0, most).toWellFormed().replaceAll('\u0000', '\ufffd');
}
