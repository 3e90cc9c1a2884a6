/**
 * The native addon, as TypeScript sees it. Everything native is named by a process-wide integer id (`rules`, `plan`,
 * `catalog`, `policies`): worker threads share them, they are immutable once made, and `drop*` frees one.
 * Buffers are borrowed for the duration of the call only. No function returns data of the buffer: spans, counts and
 * lengths only. Every function throws an Error with a clear message on a bad argument; none panics.
 */

// ---------------------------------------------------------------- scanner (native/core)

/**
 * Compiles a rule set. `spec` is JSON:
 * `{ "keepLast": 0..4, "keepFirst": 0|6|8, "optIn": ["uatp"], "patterns": [{ "id": "iban", "regex": "...", "keepLast": 0 }] }`.
 * Built-in rules come first in the counts: see `ruleNames`. Throws naming the offending pattern.
 */
export function compileRules(spec: string): number;
export function dropRules(rules: number): void;
/** Names of the rules, in the order in which `counts` arrays count them (`pan`, `track`, `cvv`, ..., then patterns). */
export function ruleNames(rules: number): string[];
/** Masks free text in place, same length. Adds to `counts[rule]`; returns the number of spans masked. */
export function maskText(rules: number, buf: Uint8Array, off: number, len: number, counts: Uint32Array): number;

/**
 * Compiles a row plan. `spec` is JSON `{ "columns": [{ "mask": "scan"|"pan"|"sad"|"whole"|"none", "type": <oid>, "binary": bool }] }`.
 * `scan` looks for patterns, `pan` keeps the last digits whatever the content, `sad` and `whole` cover everything.
 * For `maskCopy` and kinds 1 and 2 of `StreamMasker` it may also hold how the rows are written, as far as that is not the
 * default of COPY: `"copy": { "header": bool, "delimiter": ";", "quote": "'", "escape": "\\", "null": "-" }`, each one optional
 * and all but `header` and `null` one byte, which cannot be `*`. With `header` the first line that `maskCopy` gets with
 * `first` holds names: it is scanned, not masked by column. With `"columns": []` every field is covered whole.
 */
export function compileRowPlan(spec: string): number;
export function dropRowPlan(plan: number): void;
/**
 * Masks a run of complete DataRow messages (type byte 'D' and length included) in place. Values that cannot carry a mask
 * become NULL, which shortens the run. Returns the new length, or -1 when a message is malformed or does not fit the plan
 * (nothing of the run may then be sent). `counts[rule]` as in maskText; `counts[ruleNames.length]` counts values masked by column.
 */
export function maskRows(rules: number, plan: number, buf: Uint8Array, off: number, len: number, counts: Uint32Array): number;

/**
 * Masks one value or one row too large to hold whole. `kind` 0: the body of one DataRow (after its length field);
 * 1: the payloads of a COPY stream in text format; 2: CSV; 3: binary.
 */
export class StreamMasker {
  /** @param first the row begins its COPY: with `header`, its first line holds names. Absent: it does not. */
  constructor(rules: number, plan: number, kind: number, first?: boolean);
  /**
   * Masks in place what it can of `[off, off+len)`, which follows what the last call made final. Returns how many bytes
   * from `off` are final and may be sent; the rest (at most `hold` bytes) must come again, first, in the next call.
   * `last`: nothing follows, so everything becomes final. Throws when the stream breaks its format or a value cannot carry a mask.
   */
  feed(buf: Uint8Array, off: number, len: number, last: boolean, counts: Uint32Array): number;
  /** The most bytes a call can leave unconsumed. */
  readonly hold: number;
}
/**
 * Masks a run of complete CopyData messages in place, where rows may span messages of the run but the run must end at
 * the end of a row. `format` 1 text, 2 CSV, 3 binary. Returns the new length, -1 when malformed, or -2 when the run does
 * not end at the end of a row (nothing was changed: come again with more).
 */
export function maskCopy(
  rules: number,
  plan: number,
  format: number,
  first: boolean,
  buf: Uint8Array,
  off: number,
  len: number,
  counts: Uint32Array,
): number;

// ---------------------------------------------------------------- record hashing (native/core)

/**
 * The chain and Merkle state of one record directory. A line is hashed as its raw bytes without the '\n' that ends it;
 * it begins with `{"v":1,"prev":"` (15 bytes), then 64 hexadecimal digits: the hash of the line before.
 */
export class RecordChain {
  /** `state`: JSON as `state()` returned it, or "" for a new chain, whose first `prev` is 64 zeros. */
  constructor(state: string);
  /**
   * Completes a batch of lines in place: each of the `count` lines in `[off, off+len)` ends in '\n' and holds a 64-byte
   * hole after the fixed first member (what it contains does not matter); fills in the previous line's SHA-256 and adds
   * each leaf. Throws before it has changed anything when the batch is not exactly such lines.
   */
  seal(buf: Uint8Array, off: number, len: number, count: number): void;
  /** Follows lines that are sealed already, up to the first that does not continue the chain; returns how many did. */
  follow(buf: Uint8Array, off: number, len: number): number;
  /** Takes the leaf hashes (RFC 9162, 32 bytes each) added since the last call. */
  takeLeaves(): Buffer;
  /** RFC 9162 tree root over all lines so far, hex. */
  root(): string;
  size(): number;
  /** SHA-256 of the last line, hex. */
  head(): string;
  /** JSON `{ size, head, frontier: [hex] }`. */
  state(): string;
}

/** An exclusive lock on a file, which the kernel lets go of when the process ends, however it ends. */
export class RecordLock {
  /** Tries to lock `path`, creating the file when it is missing; never waits. Throws when the file cannot be opened. */
  constructor(path: string);
  /** Whether this process has the lock. */
  readonly held: boolean;
  release(): void;
}

// ---------------------------------------------------------------- SQL analysis (native/sql)

/**
 * An id for the statement's shape: the token stream with plain integer and string literals taken out. Equal ids parse to
 * the same tree but for those literals. 0: not cacheable by shape (analyze it). Ids are process-wide, bounded (1M), small integers.
 */
export function statementShape(buf: Uint8Array, off: number, len: number): number;
/** Analysis as JSON (see src/protocols/postgres/analysis.ts). Never throws on bad SQL: `{ "error": ... }`. */
export function analyzeSql(buf: Uint8Array, off: number, len: number): string;
/** Fingerprint of libpg_query, 16 hexadecimal digits; '' for what does not parse. Parses the text again: for people, not for every statement. */
export function fingerprintSql(buf: Uint8Array, off: number, len: number): string;
/** Compiles a catalog snapshot (JSON, see src/protocols/postgres/analysis.ts) for `lineage`. */
export function compileCatalog(spec: string): number;
export function dropCatalog(catalog: number): void;
/** Which outputs of a statement derive from protected columns, as JSON (see src/protocols/postgres/analysis.ts). */
export function lineage(catalog: number, buf: Uint8Array, off: number, len: number): string;

// ---------------------------------------------------------------- policy (native/policy)

/**
 * Compiles Cedar policies. `spec` is JSON
 * `{ "schema": "<Cedar schema text>", "files": [{ "name": "x.cedar", "text": "..." }], "resources": ["payments"] }`. With `resources`
 * a policy that names an entity below another one is refused. The context of every action must have `approvedBy: Set<String>`.
 * Throws with one line per problem: `x.cedar:3:14: message; what to write instead`.
 */
export function compilePolicies(spec: string): number;
export function dropPolicies(policies: number): void;
/** The policies of a set in the order of the files, as JSON
 * `[{ "id", "effect": "permit"|"forbid", "file", "line", "hint", "approvers": [{ "group", "needed" }] }]`. */
export function listPolicies(policies: number): string;
/**
 * Decides one request: every part must be allowed. `request` is JSON
 * `{ "principal": {"type","id"}, "groups": [..], "context": {..}, "approvedBy": [group], "parts": [{ "action": "..", "resource":
 * {"type","id","parents":[{"type","id"}],"attrs":{..}} }] }`; `parents` are all ancestors; `attrs` and `approvedBy` may be left
 * out; values are strings, integers, booleans and arrays of strings.
 * Returns JSON `{ "kind": "allow"|"deny"|"approve", "policies": [id], "part": index, "approvers": [{ "group", "needed" }],
 * "errors": [message] }`: `approve` when approval by all approvers, and nothing less, would allow it; an evaluation error is a denial.
 */
export function decidePolicy(policies: number, request: string): string;

// ---------------------------------------------------------------- sockets by descriptor (Linux only: undefined elsewhere)

/**
 * Makes this thread's poll over sockets, once. `onReady` is called in each turn of the event loop in which at least one is
 * ready; it asks `pollWait` which.
 */
export const pollStart: ((onReady: () => void) => number) | undefined;
/** Whether the poll keeps the process alive. It does not at first. */
export function pollKeep(keep: boolean): number;
/** Watches `fd` under `token` for 1 (readable) and 2 (writable), added up; 0 takes it out. Level-triggered. */
export function pollSet(fd: number, token: number, interest: number): number;
/** Fills `events` with pairs of token and readiness (as in `pollSet`) and returns how many. A broken socket is ready for both. */
export function pollWait(events: Uint32Array): number;
/** A new descriptor of the same connection, or a negative errno. It has to be closed by `socketClose`. */
export function socketDuplicate(fd: number): number;
/** Reads into `[off, off+len)` without waiting: bytes read, 0 when the peer has ended, or a negative errno. */
export function socketRead(fd: number, buf: Uint8Array, off: number, len: number): number;
/** Writes `[off, off+len)` without waiting: bytes taken, maybe fewer, or a negative errno. */
export function socketWrite(fd: number, buf: Uint8Array, off: number, len: number): number;
/** Ends our side (FIN) behind what was written. 0 or a negative errno. */
export function socketFinish(fd: number): number;
/** Closes the descriptor. */
export function socketClose(fd: number): number;
