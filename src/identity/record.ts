/** Where identity leaves its lines: the recorder, as far as identity may know it. */
export interface IdentityRecord {
  append(type: 'auth' | 'config', sid: string, members: string): number;
}

type Value = string | number | boolean | null | readonly string[];

/** Writes `auth` and `config` lines. Texts that people or providers chose are masked on their way. */
export class IdentityLines {
  readonly #record: IdentityRecord;
  readonly #mask: (text: string) => string;

  constructor(record: IdentityRecord, mask: (text: string) => string) {
    this.#record = record;
    this.#mask = mask;
  }

  /** Throws GatewayError `record_failed` when the record has failed: then nothing may be given out either. */
  write(type: 'auth' | 'config', members: Readonly<Record<string, Value>>): void {
    const masked = Object.entries(members).map(([name, value]) => [name, this.#clear(value)] as const);
    this.#record.append(type, '', JSON.stringify(Object.fromEntries(masked)).slice(1, -1));
  }

  #clear(value: Value): Value {
    if (typeof value === 'string') return this.#mask(value);
    return Array.isArray(value) ? (value as readonly string[]).map((text) => this.#mask(text)) : value;
  }
}
