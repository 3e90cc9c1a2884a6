import { type FSWatcher, watch } from 'node:fs';

import { GatewayError } from '../errors.ts';
import { CedarEngine, type EngineOptions } from './engine.ts';
import { type PolicyFile, readPolicies } from './files.ts';
import type { ProtocolVocabulary } from './vocabulary.ts';

/** What came of looking at the directory. */
export type ReloadOutcome =
  | { readonly kind: 'unchanged'; readonly snapshot: string }
  | { readonly kind: 'reloaded'; readonly snapshot: string; readonly before: string }
  /** The policies before stay in force. One line per problem, `file:line:column: message; hint`. */
  | { readonly kind: 'refused'; readonly snapshot: string; readonly problems: readonly string[] };

export interface ReloadOptions {
  readonly dir: string;
  readonly vocabularies: readonly ProtocolVocabulary[];
  /** The directory as problems should name it. */
  readonly label?: string;
  readonly engine?: EngineOptions;
  /** Told what came of every change that was noticed; not of looks that found none. */
  readonly onOutcome: (outcome: ReloadOutcome) => void;
  /** Quiet after a change before the directory is read, ms: editors and copies touch files more than once. */
  readonly settleMs?: number;
  /** The directory is looked at this often even if nothing was noticed, ms: not every file system tells. */
  readonly pollMs?: number;
}

/**
 * The policies in force: a new set replaces the old one as a whole, when all of its files are valid. Whoever decides asks for
 * `current` each time. Decisions are not interrupted by a change, so the old set is freed at once; what still holds it denies.
 */
export class PolicyReloader {
  readonly #options: ReloadOptions;
  #current: CedarEngine;
  #files: readonly PolicyFile[];
  #refused = '';
  #watcher: FSWatcher | null = null;
  #settling: NodeJS.Timeout | null = null;
  #poll: NodeJS.Timeout | null = null;
  #closed = false;

  /** Throws GatewayError `policy_invalid`: the first set must be valid. */
  constructor(options: ReloadOptions) {
    this.#options = options;
    this.#files = this.#read();
    this.#current = new CedarEngine(this.#files, options.vocabularies, options.engine);
  }

  get current(): CedarEngine {
    return this.#current;
  }

  /** Reads the directory now and puts in force what is there, if it is valid. The outcome is returned, and told to nobody else. */
  reload(): ReloadOutcome {
    const { snapshot } = this.#current;
    try {
      const files = this.#read();
      if (sameFiles(files, this.#files)) {
        this.#refused = '';
        return { kind: 'unchanged', snapshot };
      }
      const engine = new CedarEngine(files, this.#options.vocabularies, this.#options.engine);
      const old = this.#current;
      this.#current = engine;
      this.#files = files;
      this.#refused = '';
      old.close();
      return { kind: 'reloaded', snapshot: engine.snapshot, before: old.snapshot };
    } catch (error) {
      const message = error instanceof GatewayError ? error.publicMessage : String(error);
      return { kind: 'refused', snapshot, problems: message.split('\n') };
    }
  }

  /** Begins to follow the directory. It does not keep the process alive. */
  watch(): void {
    if (this.#closed || this.#poll !== null) return;
    this.#follow();
    this.#poll = setInterval(() => {
      if (this.#watcher === null) this.#follow();
      this.#look();
    }, this.#options.pollMs ?? 30_000);
    this.#poll.unref();
  }

  /** Stops following, and frees the policies: decisions after this are denials. */
  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    this.#watcher = null;
    if (this.#settling !== null) clearTimeout(this.#settling);
    if (this.#poll !== null) clearInterval(this.#poll);
    this.#current.close();
  }

  #read(): PolicyFile[] {
    return readPolicies(this.#options.dir, this.#options.label);
  }

  #follow(): void {
    try {
      this.#watcher = watch(this.#options.dir, { persistent: false }, () => this.#changed());
      // The directory was moved or removed: the next look tries again.
      this.#watcher.on('error', () => {
        this.#watcher?.close();
        this.#watcher = null;
      });
    } catch {
      this.#watcher = null;
    }
  }

  #changed(): void {
    if (this.#closed) return;
    if (this.#settling !== null) clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#look(), this.#options.settleMs ?? 250);
    this.#settling.unref();
  }

  #look(): void {
    if (this.#closed) return;
    const outcome = this.reload();
    if (outcome.kind === 'unchanged') return;
    if (outcome.kind === 'refused') {
      // The same problems are told once, not at every look.
      const problems = outcome.problems.join('\n');
      if (problems === this.#refused) return;
      this.#refused = problems;
    }
    this.#options.onOutcome(outcome);
  }
}

function sameFiles(a: readonly PolicyFile[], b: readonly PolicyFile[]): boolean {
  return a.length === b.length && a.every((file, i) => file.name === b[i]?.name && file.text === b[i]?.text);
}
