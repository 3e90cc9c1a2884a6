/** How a person connects with the client of their choice: what each protocol tells, and what `sluice ls` and `sluice login` show and write. */

export interface ClientHelpRequest {
  readonly resource: string;
  /** Account of the resource; null: its default one. */
  readonly account: string | null;
  readonly user: string;
  /** As clients reach the listener. */
  readonly host: string;
  readonly port: number;
}

/**
 * In all texts `{token}` stands for the token, `{tokenFile}` for the file that holds it alone, and `{ca}` for the file of
 * authorities that the gateway's certificate is checked by: whoever shows or writes them knows.
 */
export interface ClientHelp {
  /** The line to type; it works by itself. */
  readonly line: string;
  /** The line to type once `files` are written. */
  readonly short: string;
  readonly files: readonly ClientFile[];
}

/** An entry in one of the client's own files. */
export interface ClientFile {
  /** `section`: from its heading `[key]` to the next one. `line`: the line that begins with `key`. */
  readonly form: 'section' | 'line';
  /** Below the home directory. */
  readonly path: string;
  /** Environment variable by which the client finds it elsewhere. */
  readonly variable: string;
  readonly key: string;
  /** The entry, its heading or key included, without a newline at its end. */
  readonly entry: string;
}
