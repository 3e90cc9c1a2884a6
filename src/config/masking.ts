import type { Config, MaskPattern } from './model.ts';
import type { Place } from './reader.ts';

/** Compiles masking settings with the engine that will run them: null when they are good, else what is wrong. */
export type MaskingCheck = (masking: Config['masking']) => string | null;

/** With `check`, each name and pattern is compiled by itself, so that every problem is reported where it stands. */
export function readMasking(place: Place, check?: MaskingCheck): Config['masking'] {
  const f = place.fields(['keep_last', 'keep_first', 'opt_in', 'patterns']);
  const keepLast = f.keep_last.integer({ min: 0, max: 4 }, 4);
  const keepFirst = f.keep_first.parsed((text) => (({ 0: 0, 6: 6, 8: 8 }) as const)[text] ?? null, 'allowed; write 0, 6 or 8', 0 as const);
  const compile = (at: Place, change: Partial<Config['masking']>): void => {
    const why = check?.({ keepLast, keepFirst, optIn: [], patterns: [], ...change }) ?? null;
    // The engine names the setting as it knows it; the place says which one it is.
    if (why !== null) at.problem(why.replace(/^(optIn|pattern "[^"]*"): /, ''));
  };
  const optIn = f.opt_in.items().map((item) => {
    const name = item.text();
    if (name !== '') compile(item, { optIn: [name] });
    return name;
  });
  const ids = new Set<string>();
  const patterns = f.patterns.items().map((item): MaskPattern => {
    const p = item.fields(['id', 'regex', 'keep_last'], ['id', 'regex']);
    const id = p.id.parsed(
      (text) => (/^[a-z][a-z0-9_-]{0,39}$/.test(text) ? text : null),
      'a usable id; write lower-case letters, digits, - or _',
      '',
    );
    if (ids.has(id) && id !== '') p.id.problem(`the id ${id} is taken by an earlier pattern`);
    ids.add(id);
    const pattern = { id, regex: p.regex.text(), keepLast: p.keep_last.integer({ min: 0, max: 4 }, 0) };
    // Under a name of no built-in rule first, so that both a bad regex and a name that is taken are told.
    if (pattern.regex !== '') compile(p.regex, { patterns: [{ ...pattern, id: 'pattern-to-check' }] });
    if (id !== '') compile(p.id, { patterns: [{ id, regex: 'x', keepLast: 0 }] });
    return pattern;
  });
  return { keepLast, keepFirst, optIn, patterns };
}
