import { GatewayError } from '../../errors.ts';
import type { Outbox } from '../../io/outbox.ts';
import { jsonString } from '../../recording/json.ts';
import { relayNotification, relayParameterStatus } from './asynchronous-messages.ts';
import { COPY_FORMAT, copyPlan } from './copy-plan.ts';
import { maskErrorMessage } from './error-mask.ts';
import { abortSteps, commitSteps } from './held-sync.ts';
import { Back } from './messages.ts';
import type { PgOperation } from './operation.ts';
import { type ExpectedReply, expected } from './replies.ts';
import { maskNames, parseRowDescription, type ReplyPlan } from './reply-plan.ts';
import { classifiedOf, ResultOrigins } from './result-origins.ts';
import { RowStream } from './row-stream.ts';
import { broken } from './server-pump.ts';
import type { SessionState } from './session-state.ts';

/** Statements that can change what a name stands for. */
const DEFINES: ReadonlySet<string> = new Set(['create', 'alter', 'do', 'call', 'other']);
/** A reply up to this size is recorded in the result line of its operation. */
const MAX_INLINE_OUTPUT = 16 * 1024;

/** The backend messages, one by one: what each settles, what it gives the record, and how its values are masked. */
export class ServerMessages {
  readonly #state: SessionState;
  readonly #origins: ResultOrigins;
  #copyOut: { plan: ReplyPlan; format: 'text' | 'csv' | 'binary'; first: boolean } | null = null;
  /** Which statement of a simple query's text the reply has come to. */
  #statementIndex = 0;
  #lastSeq = 0;
  #passOp: PgOperation | null = null;
  #passSeq = 0;
  #fatal = false;
  /** Operations that ended in this pass: their lines follow those of the output that the pass sends. */
  #results: PgOperation[] = [];

  constructor(state: SessionState) {
    this.#state = state;
    this.#origins = new ResultOrigins(state);
  }

  fail(error: unknown): void {
    this.#state.fail(
      error instanceof GatewayError
        ? error
        : new GatewayError({
            code: 'internal',
            source: 'gateway',
            phase: 'mask',
            cause: error,
            publicMessage: 'the gateway failed on the reply, so it was withheld',
          }),
    );
  }

  /** The server said FATAL: the end of the connection is no surprise. */
  get ending(): boolean {
    return this.#fatal;
  }

  take(type: number, bytes: Buffer, at: number, end: number, out: Outbox): void {
    const { replies } = this.#state;
    const head = replies.peek();
    switch (type) {
      case Back.RowDescription:
        this.#rowDescription(head, bytes, at, end);
        if (head?.kind === 'describe-portal' || head?.kind === 'describe-statement') replies.shift();
        if (head?.ours === true && (head.kind === 'describe-statement' || head.op?.syncHeld !== true)) return;
        break;
      case Back.NoData:
        replies.shift();
        if (head?.ours === true) return;
        break;
      case Back.ParameterDescription:
        if (head?.ours === true) return;
        if (head?.statement) head.statement.parameterTypes = parameterTypes(bytes, at + 5, end);
        break;
      case Back.ParseComplete:
        if (head?.statement) this.#state.statements.settle(head.statement);
        replies.shift();
        if (head?.ours === true) return;
        this.#finish(head, 'ok');
        break;
      case Back.BindComplete:
        if (head?.portal) this.#state.portals.settle(head.portal);
        replies.shift();
        if (head?.ours === true) return;
        break;
      case Back.CloseComplete:
        if (head?.statement) this.#state.statements.settle(head.statement);
        if (head?.portal) this.#state.portals.settle(head.portal);
        replies.shift();
        if (head?.ours === true) return;
        break;
      case Back.CommandComplete:
        this.#commandComplete(head, bytes, at, end);
        break;
      case Back.EmptyQueryResponse:
        this.#finish(head, 'ok');
        if (head?.kind === 'execute') replies.shift();
        break;
      case Back.PortalSuspended:
        this.#finish(head, 'suspended');
        if (head?.portal) head.portal.started = true;
        replies.shift();
        break;
      case Back.ErrorResponse:
        this.#error(head, bytes, at, end, out);
        return;
      case Back.NoticeResponse: {
        const masked = maskErrorMessage(this.#state, type, bytes, at, end, this.#origins.touchesProtected(head));
        this.#state.takeCounts(head?.op ?? null);
        out.insert(masked.message);
        return;
      }
      case Back.ReadyForQuery:
        this.#readyForQuery(bytes[at + 5] ?? 0x49);
        if (head?.ours === true) return;
        break;
      case Back.ParameterStatus:
        relayParameterStatus(this.#state, bytes, at, end, out);
        return;
      case Back.NotificationResponse:
        relayNotification(this.#state, bytes, at, end, out);
        return;
      case Back.CopyInResponse:
        this.#copyInResponse(head);
        break;
      case Back.CopyOutResponse:
        this.#copyOut = {
          ...copyPlan(this.#state, this.#origins.copyStatement(head, this.#statementIndex), bytes.readUInt16BE(at + 6)),
          first: true,
        };
        break;
      case Back.CopyDone:
        this.#copyOut = null;
        break;
      case Back.CopyBothResponse:
        throw new GatewayError({
          code: 'unsupported',
          source: 'client',
          phase: 'forward',
          publicMessage: 'replication is not supported through the gateway',
        });
      default:
        throw broken(`a message of type ${type} that the gateway does not know`);
    }
    out.pass(at, end);
  }

  /**
   * Records what a pass sends to the client and the operations that ended in it. The reply of a single operation that came
   * in one piece goes into its result line: most operations then cost two lines.
   */
  recordPass(out: Outbox): void {
    const { services, sid, recordOutput } = this.#state;
    const { recorder, masker } = services;
    const results = this.#results;
    if (recorder.failure !== null) {
      results.length = 0;
      return;
    }
    const only = results.length === 1 ? results[0] : undefined;
    if (recordOutput && !out.empty) {
      const piece = only === undefined || only.hasOutput || only.seq !== this.#passSeq ? null : out.single(MAX_INLINE_OUTPUT);
      if (only !== undefined && piece !== null) {
        recorder.appendOutput(sid, only.resultMembers(masker.ruleNames), out.slab.bytes, piece.from, piece.to - piece.from, 'result');
        results.length = 0;
        return;
      }
      const members = `"intent":${this.#passSeq}`;
      out.eachPiece((bytes, from, to) => {
        recorder.appendOutput(sid, members, bytes, from, to - from);
      });
      if (this.#passOp !== null) this.#passOp.hasOutput = true;
    }
    for (const op of results) recorder.append('result', sid, op.resultMembers(masker.ruleNames));
    results.length = 0;
  }

  /** A pass over what the server sent begins: its output belongs to the operation that the server answers now, else to the last one. */
  beginPass(): void {
    this.#passOp = this.#state.replies.peek()?.op ?? null;
    this.#passSeq = this.#passOp?.seq ?? this.#lastSeq;
  }

  // ------------------------------------------------------------------ rows

  /** The plan for the rows that come now, and the operation they belong to. Throws when there is none: fail closed. */
  rowTarget(): { plan: ReplyPlan; op: PgOperation | null } {
    const head = this.#state.replies.peek();
    const plan = head?.portal?.plan ?? null;
    if (head === undefined || plan === null || (head.kind !== 'query' && head.kind !== 'execute')) {
      throw new GatewayError({
        code: 'mask_failed',
        source: 'upstream',
        phase: 'mask',
        publicMessage: 'rows came without a description, so they were withheld',
      });
    }
    return { plan, op: head.op };
  }

  /** Masks a run of whole DataRow or CopyData messages; returns the new length or -2 (see maskCopy). */
  maskRun(type: number, bytes: Buffer, from: number, to: number, count: number): number {
    const { masker } = this.#state.services;
    const { counts } = this.#state;
    if (type === Back.DataRow) {
      const { plan, op } = this.rowTarget();
      const length = masker.rows(plan.id, bytes, from, to - from, counts);
      this.countRows(op, plan, count, length, to - from);
      return length;
    }
    const copy = this.#copyOut;
    if (copy === null) throw broken('COPY data outside of a COPY');
    const length = masker.copy(copy.plan.id, COPY_FORMAT[copy.format], copy.first, bytes, from, to - from, counts);
    if (length === -2) return length;
    copy.first = false;
    this.countRows(this.#state.replies.peek()?.op ?? null, copy.plan, count, length, to - from);
    return length;
  }

  /** Books a masked run. Throws when the scanner refused it. */
  countRows(op: PgOperation | null, plan: ReplyPlan, count: number, length: number, bytes: number): void {
    if (length < 0)
      throw new GatewayError({
        code: 'mask_failed',
        source: 'upstream',
        phase: 'mask',
        publicMessage: 'the reply could not be masked, so it was withheld',
      });
    if (op !== null) {
      op.budget?.take(count);
      op.rows += count;
      op.bytes += bytes;
      if (plan.maskedColumns.length > 0) op.maskedColumns = plan.maskedColumns;
    }
    this.#state.takeCounts(op);
  }

  openStream(type: number, length: number): RowStream {
    if (type === Back.DataRow) {
      const { plan, op } = this.rowTarget();
      // Before any of it goes out.
      op?.budget?.take(1);
      return new RowStream(this.#state, plan, 0, false, length, op);
    }
    const copy = this.#copyOut;
    if (copy === null) throw broken('COPY data outside of a COPY');
    const first = copy.first;
    // What comes behind it is no header, however long that was.
    copy.first = false;
    const op = this.#state.replies.peek()?.op ?? null;
    op?.budget?.take(1);
    return new RowStream(this.#state, copy.plan, COPY_FORMAT[copy.format], first, length, op);
  }

  closeStream(stream: RowStream): void {
    if (stream.op === null) return;
    stream.op.rows++;
    stream.op.bytes += stream.bytes;
  }

  #rowDescription(head: ExpectedReply | undefined, bytes: Buffer, at: number, end: number): void {
    if (head === undefined) throw broken('a row description that nobody asked for');
    if (head.kind === 'describe-statement' && head.ours && head.op !== null) {
      head.op.copiedTypes = parseRowDescription(bytes, at + 5, end)?.map((column) => column.type) ?? null;
    }
    const { portal } = head;
    const described = head.kind === 'describe-statement' || portal === null || portal.started ? null : portal;
    if (described !== null) described.plan = this.#origins.planFor(described, this.#statementIndex, bytes, at + 5, end);
    if (described?.plan?.plainNames === true) return;
    maskNames(this.#state.services.masker, bytes, at + 5, end, this.#state.counts);
    this.#state.takeCounts(head.op);
  }

  // ------------------------------------------------------------------ outcomes

  #finish(head: ExpectedReply | undefined, status: 'ok' | 'error' | 'suspended' | 'not-reached'): void {
    const op = head?.op ?? null;
    if (op === null) return;
    this.#lastSeq = op.seq;
    // A simple query is over only when the server is ready again: its text may hold more statements.
    if (head?.kind === 'query' && status === 'ok') return;
    if (op.settle(status, this.#state.services.now())) this.#results.push(op);
  }

  #commandComplete(head: ExpectedReply | undefined, bytes: Buffer, at: number, end: number): void {
    const { op } = head ?? {};
    if (op) op.tag = bytes.toString('latin1', at + 5, end - 1);
    op?.budget?.complete(op.tag);
    const classified = classifiedOf(head);
    if (classified?.settings === true && op) {
      const statement = classified.statements[this.#statementIndex];
      if (statement !== undefined) this.#state.noteReason(statement, op.tag);
    }
    if (classified?.ddl === true) this.#state.changedCatalog = true;
    if (classified?.statements.some((statement) => DEFINES.has(statement.kind)) === true) {
      this.#state.definedInTransaction = true;
      this.#state.readsClean = false;
    }
    this.#statementIndex++;
    this.#copyOut = null;
    if (head?.kind === 'query') {
      if (head.statement !== null) this.#state.statements.settle(head.statement);
      if (head.portal !== null) head.portal.plan = null;
      return;
    }
    this.#statementIndex = 0;
    this.#finish(head, 'ok');
    if (head?.kind === 'execute') this.#state.replies.shift();
    if (op?.syncHeld === true) this.#endSteps(true);
  }

  /** Sends the Sync that was held back. */
  #endSteps(commit: boolean): void {
    const { replies, upstream } = this.#state;
    const [close, sync] = [expected({ kind: 'close', ours: true }), expected({ kind: 'sync' })];
    for (const reply of commit ? [close, sync] : [sync, close]) replies.push(reply);
    if (!upstream.closed) upstream.writeOwned(commit ? commitSteps() : abortSteps());
  }

  #readyForQuery(status: number): void {
    const state = this.#state;
    state.transaction = status;
    // Drivers name their cursors anew each time, and leave it to the end of the transaction to close them.
    if (status === 0x49) state.portals.endConfirmed();
    if (status === 0x49 && state.changedCatalog) {
      // Only now others can see it, the gateway's own connection among them; before, it would wait for the transaction's locks.
      const mark = state.catalog.markStale();
      if (state.definedInTransaction) state.definedMark = mark;
      state.changedCatalog = false;
      state.definedInTransaction = false;
    }
    state.copyIn = null;
    this.#copyOut = null;
    this.#statementIndex = 0;
    const head = state.replies.shift();
    if (head === undefined || head.kind === 'sync') return;
    if (head.kind !== 'query') throw broken('ready for query before it had answered');
    if (head.op?.settle('ok', state.services.now()) === true) this.#results.push(head.op);
  }

  #error(head: ExpectedReply | undefined, bytes: Buffer, at: number, end: number, out: Outbox): void {
    const state = this.#state;
    const { message: masked, fields } = maskErrorMessage(state, Back.ErrorResponse, bytes, at, end, this.#origins.touchesProtected(head));
    const op = head?.op ?? null;
    state.takeCounts(op);
    const severity = fields.get('V') ?? fields.get('S');
    if (severity === 'FATAL' || severity === 'PANIC') this.#fatal = true;
    const isDenial = head !== undefined && head.nonce !== '' && head.substitute !== null && bytes.subarray(at, end).includes(head.nonce);
    // Also our own words can quote the client's: a name, or the text that did not parse.
    out.insert(isDenial && head.substitute !== null ? this.#maskedSubstitute(head.substitute) : masked);
    if (op !== null && !op.denied) {
      op.code = fields.get('C') ?? '';
      this.#finish(head, 'error');
    } else if (op !== null && isDenial) op.done = true;
    this.#copyOut = null;
    state.copyIn = null;
    head?.undo?.undo();
    // The operations have their results by then, and this line says that none of it stayed.
    if (head?.kind === 'sync') this.#commitFailed(fields.get('C') ?? '');
    // A commit that failed at Sync (a deferred constraint) skips nothing: what comes next is its own ReadyForQuery.
    if (head === undefined || head.kind === 'query' || head.kind === 'sync') return;
    if (op?.syncHeld === true) this.#endSteps(false);
    this.#skipToSync();
  }

  #commitFailed(code: string): void {
    const { services, sid } = this.#state;
    services.recorder.append('session', sid, `"event":"commit-failed","code":${jsonString(services.masker.string(code.slice(0, 5)))}`);
  }

  #maskedSubstitute(substitute: Buffer): Buffer {
    const state = this.#state;
    const { message: masked } = maskErrorMessage(state, Back.ErrorResponse, substitute, 0, substitute.length, false);
    state.counts.fill(0);
    return masked;
  }

  /** The server reads and ignores everything up to the next Sync, and so nothing of it happened. */
  #skipToSync(): void {
    const { replies } = this.#state;
    const undone: ExpectedReply[] = [];
    replies.shift();
    for (;;) {
      const next = replies.peek();
      if (next === undefined || next.kind === 'sync') break;
      replies.shift();
      undone.push(next);
      this.#finish(next, 'not-reached');
    }
    for (const entry of undone.reverse()) entry.undo?.undo();
    if (replies.peek() === undefined) this.#state.skipping = true;
  }

  #copyInResponse(head: ExpectedReply | undefined): void {
    const state = this.#state;
    if (head?.op) head.op.copyOf = this.#origins.copyStatement(head, this.#statementIndex);
    state.replies.dropSyncsOfCopyIn();
    state.copyIn = head?.op ?? null;
  }
}

function parameterTypes(bytes: Buffer, from: number, to: number): number[] {
  const count = bytes.readUInt16BE(from);
  const types: number[] = [];
  for (let i = 0; i < count && from + 6 + i * 4 <= to; i++) types.push(bytes.readUInt32BE(from + 2 + i * 4));
  return types;
}
