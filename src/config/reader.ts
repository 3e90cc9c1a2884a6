import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument } from 'yaml';
import { formatSize, nearest, parseSize } from './values.ts';
import { yamlAdvice } from './yaml-advice.ts';

/** One problem, as `line`:`column` (from 1) of the file. */
export interface ConfigProblem {
  readonly line: number;
  readonly column: number;
  /** e.g. `resources[0].tls`; empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
}

/**
 * A place in the configuration file that knows where it stands. Reading never throws: a wrong value is reported and the
 * fallback returned, so that one run reports everything.
 */
export class Place {
  readonly path: string;
  readonly #reader: Reader;
  /** Undefined when the key is absent. */
  readonly #node: Node | null | undefined;
  /** Where to report that something is missing. */
  readonly #offset: number;

  constructor(reader: Reader, path: string, node: Node | null | undefined, offset: number) {
    this.#reader = reader;
    this.path = path;
    this.#node = node;
    this.#offset = offset;
  }

  get present(): boolean {
    return this.#node !== undefined;
  }

  /** True for an explicit `null`, `~` or nothing after the colon. */
  get isNull(): boolean {
    return this.#node === null || (isScalar(this.#node) && this.#node.value === null);
  }

  /** `line:column`, from 1. */
  get position(): string {
    const { line, column } = this.#reader.position(this.#offset);
    return `${line}:${column}`;
  }

  problem(message: string): void {
    this.#reader.report(this.#offset, this.path, message);
  }

  /** The members of a mapping; unknown keys are reported. `required` ones that are absent are too. */
  fields<K extends string>(known: readonly K[], required: readonly K[] = []): Readonly<Record<K, Place>> {
    // Of a key that stands twice, which is a problem of its own, the first counts.
    const members = new Map(
      this.entries()
        .reverse()
        .map((entry) => [entry.key, entry]),
    );
    for (const { key, keyPlace } of members.values()) {
      if ((known as readonly string[]).includes(key)) continue;
      const close = nearest(key, known);
      keyPlace.problem(`unknown key; ${close === null ? `known keys are ${known.join(', ')}` : `write ${close}`}`);
    }
    const result = {} as Record<K, Place>;
    for (const key of known) {
      result[key] = members.get(key)?.value ?? new Place(this.#reader, this.#child(key), undefined, this.#offset);
      // Of what is missing as a whole, one problem is enough.
      if (this.present && required.includes(key) && !members.has(key)) this.problem(`${key} is missing`);
    }
    return result;
  }

  /** The members of a mapping with any keys, in file order. */
  entries(): { readonly key: string; readonly keyPlace: Place; readonly value: Place }[] {
    if (this.#node === undefined || this.isNull) return [];
    if (!isMap(this.#node)) {
      this.problem('is not a mapping; write key: value lines');
      return [];
    }
    return (this.#node.items as Pair<Node, Node | null>[]).flatMap(({ key, value }) => {
      const offset = key.range?.[0] ?? this.#offset;
      if (!isScalar(key) || (typeof key.value !== 'string' && typeof key.value !== 'number')) {
        this.#reader.report(offset, this.path, 'this key is not a word');
        return [];
      }
      const path = this.#child(String(key.value));
      const at = value?.range?.[0] ?? offset;
      return [
        { key: String(key.value), keyPlace: new Place(this.#reader, path, key, offset), value: new Place(this.#reader, path, value, at) },
      ];
    });
  }

  /** The items of a list. */
  items(): Place[] {
    if (this.#node === undefined || this.isNull) return [];
    if (!isSeq(this.#node)) {
      this.problem('is not a list; write lines that begin with "- ", or []');
      return [];
    }
    return (this.#node.items as Node[]).map(
      (item, i) => new Place(this.#reader, `${this.path}[${i}]`, item, item.range?.[0] ?? this.#offset),
    );
  }

  /** The text of a scalar, numbers included; `fallback` when absent or wrong. Takes no empty text. */
  text(fallback = ''): string {
    if (this.#node === undefined) return fallback;
    const value = isScalar(this.#node) ? this.#node.value : undefined;
    if (typeof value === 'string' && value !== '') return value;
    if (typeof value === 'number') return (isScalar(this.#node) ? this.#node.source : undefined) ?? String(value);
    this.problem(this.isNull || value === '' ? 'is empty; write a value' : 'is not text; write a word or a "quoted text"');
    return fallback;
  }

  oneOf<T extends string>(choices: readonly T[], fallback: T): T {
    if (this.#node === undefined) return fallback;
    const text = this.text(fallback);
    if ((choices as readonly string[]).includes(text)) return text as T;
    const key = this.path.slice(this.path.lastIndexOf('.') + 1);
    const close = nearest(text, choices);
    this.problem(`"${text}" is not one of ${choices.join(', ')}${close === null ? '' : `; write ${key}: ${close}`}`);
    return fallback;
  }

  boolean(fallback: boolean): boolean {
    if (this.#node === undefined) return fallback;
    if (isScalar(this.#node) && typeof this.#node.value === 'boolean') return this.#node.value;
    this.problem('is neither; write true or false');
    return fallback;
  }

  integer(range: { readonly min: number; readonly max: number }, fallback: number): number {
    if (this.#node === undefined) return fallback;
    const value = isScalar(this.#node) ? this.#node.value : undefined;
    return this.#inRange(typeof value === 'number' && Number.isInteger(value) ? value : null, 'a whole number', String, range, fallback);
  }

  /** A value read by `parse` from its text, e.g. a size; `wanted` says what it should have been. */
  parsed<T>(parse: (text: string) => T | null, wanted: string, fallback: T): T {
    if (this.#node === undefined) return fallback;
    const text = this.text();
    if (text === '') return fallback;
    const value = parse(text);
    if (value !== null) return value;
    this.problem(`"${text}" is not ${wanted}`);
    return fallback;
  }

  /** A size in bytes. */
  size(range: { readonly min: number; readonly max: number }, fallback: number): number {
    if (this.#node === undefined) return fallback;
    const text = this.text();
    return text === '' ? fallback : this.#inRange(parseSize(text), 'a size', formatSize, range, fallback);
  }

  #inRange(
    value: number | null,
    wanted: string,
    format: (value: number) => string,
    range: { readonly min: number; readonly max: number },
    fallback: number,
  ): number {
    const allowed = `write ${format(range.min)} to ${format(range.max)}`;
    if (value === null) this.problem(`${this.#shown}is not ${wanted}; ${allowed}, e.g. ${format(fallback)}`);
    else if (value < range.min || value > range.max) this.problem(`${format(value)} is out of range; ${allowed}`);
    else return value;
    return fallback;
  }

  /** What a scalar says, in front of what is wrong with it. */
  get #shown(): string {
    const text = isScalar(this.#node) ? (this.#node.source ?? '') : '';
    return text === '' ? '' : `"${text.slice(0, 60)}" `;
  }

  #child(key: string): string {
    return this.path === '' ? key : `${this.path}.${key}`;
  }
}

/** Collects the problems of one file. */
export class Reader {
  readonly root: Place;
  /** False when the text is not YAML, so that nothing can be said of what it means. */
  readonly readable: boolean;
  /** Where an alias was refused: nothing else is said of it. */
  readonly #aliases = new Set<number>();
  readonly #lines = new LineCounter();
  readonly #problems: ConfigProblem[] = [];

  constructor(text: string) {
    // Merge keys and aliases would let one value stand in two places: say what is meant where it applies.
    const document = parseDocument(text, { lineCounter: this.#lines, uniqueKeys: true, version: '1.2', merge: false, prettyErrors: false });
    for (const [i, error] of [...document.errors, ...document.warnings].entries()) {
      // After the first one it only says that the parser has lost its way.
      if (i > 0 && error.code === 'UNEXPECTED_TOKEN') continue;
      this.report(error.pos[0], '', `${error.message.replace(/; please use .*/, '')}; ${yamlAdvice(error.code)}`);
    }
    this.readable = document.errors.every((error) => error.code === 'DUPLICATE_KEY');
    this.#refuseAliases(document.contents);
    this.root = new Place(this, '', document.contents, 0);
  }

  /** Sorted by position. */
  get problems(): readonly ConfigProblem[] {
    return [...this.#problems].sort((a, b) => a.line - b.line || a.column - b.column);
  }

  report(offset: number, path: string, message: string): void {
    if (this.#aliases.has(offset)) return;
    this.#problems.push({ ...this.position(offset), path, message });
  }

  /** From 1. */
  position(offset: number): { readonly line: number; readonly column: number } {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  #refuseAliases(node: unknown): void {
    if (isAlias(node)) {
      const offset = node.range?.[0] ?? 0;
      this.report(offset, '', 'an alias cannot be used here; write the value itself');
      this.#aliases.add(offset);
    } else if (isMap(node)) for (const { key, value } of node.items) for (const part of [key, value]) this.#refuseAliases(part);
    else if (isSeq(node)) for (const item of node.items) this.#refuseAliases(item);
  }
}
