import type { Place } from './reader.ts';
import type { SecretSource } from './secrets.ts';

/** Collects what is allowed but unwise. */
export type Warn = (place: Place, message: string) => void;

/** What the configuration has to know of a protocol; the table itself comes from whoever composes. */
export interface KnownProtocol {
  /** Port of an upstream address that states none. */
  readonly defaultPort: number;
}

export type KnownProtocols = ReadonlyMap<string, KnownProtocol>;

/** What reading a configuration needs from around it. */
export interface ReadingContext {
  readonly protocols: KnownProtocols;
  readonly warn: Warn;
  /** Path relative to the configuration file -> absolute path. */
  absolute(path: string): string;
  /** Set: every secret and file must be there now. */
  readonly secrets: SecretSource | null;
}
