import { GatewayError } from '../../errors.ts';
import type { Outbox } from '../../io/outbox.ts';
import type { Decision, Refusal } from '../../policy/model.ts';
import type { ApprovalGate, HeldOperation, Ruling } from './approval-gate.ts';
import { neededMembers } from './approval-words.ts';
import { type BindMessage, parseBind } from './bind-record.ts';
import { type Classified, deny } from './classifier.ts';
import { ClientDecisions } from './client-decisions.ts';
import { ClientRecord } from './client-record.ts';
import { copiedQuery, describeQuery, untypedCopy } from './copied-query.ts';
import { CopyInRecorder } from './copy-in.ts';
import { budgetOfFetched, countsRows } from './countable.ts';
import { denialResponse, deniedBind, deniedExecute, deniedParse, deniedQuery, newNonce, refusalIn } from './denial.ts';
import { heldBind, heldQuery, withExecuted } from './held-operation.ts';
import { budgetForm, inSteps } from './held-sync.ts';
import { cstringEnd, describePortal, errorResponse, Front, namedBy } from './messages.ts';
import type { PgOperation } from './operation.ts';
import { type ExpectedReply, expected } from './replies.ts';
import type { SessionState } from './session-state.ts';
import { type Portal, queryPortal, type Statement, type Undo, undescribed } from './statements.ts';

type Reply = Partial<ExpectedReply> & Pick<ExpectedReply, 'kind'>;

/** The frontend messages, one by one: what each does to the names, the record and the queue of replies. */
export class ClientMessages {
  readonly #state: SessionState;
  readonly #record: ClientRecord;
  readonly #approvals: ApprovalGate;
  readonly #decisions: ClientDecisions;
  #copyIn: CopyInRecorder | null = null;
  /** The message offered last was not taken: it waits for an approval, or for what has to be known before one is asked for. */
  held = false;

  constructor(state: SessionState, approvals: ApprovalGate) {
    this.#state = state;
    this.#record = new ClientRecord(state);
    this.#approvals = approvals;
    this.#decisions = new ClientDecisions(state);
  }

  fail(error: unknown): void {
    this.#state.fail(
      error instanceof GatewayError
        ? error
        : new GatewayError({
            code: 'internal',
            source: 'gateway',
            phase: 'classify',
            cause: error,
            publicMessage: 'the gateway failed on this message, so it was not forwarded',
          }),
    );
  }

  /** Takes one whole message into `out`. True when a line was added to the record. */
  take(type: number, bytes: Buffer, at: number, total: number, out: Outbox): boolean {
    const state = this.#state;
    const end = at + total;
    this.held = false;
    if (state.skipping) {
      if (type !== Front.Sync && type !== Front.Terminate) return false;
      state.skipping = false;
    }
    switch (type) {
      case Front.Query:
        return this.#query(bytes, at, end, out);
      case Front.Parse:
        return this.#parse(bytes, at, end, out);
      case Front.Bind:
        return this.#bind(bytes, at, end, out);
      case Front.Execute:
        return this.#execute(bytes, at, end, out);
      case Front.Describe:
        this.#describe(bytes, at, end);
        break;
      case Front.Close:
        this.#close(bytes, at, end);
        break;
      case Front.Sync:
        if (state.copyIn === null) {
          this.#expect({ kind: 'sync' });
          state.group++;
          state.endGroup();
        }
        break;
      case Front.CopyData:
        if (state.copyIn !== null) {
          if (this.#copyIn?.op !== state.copyIn) this.#copyIn = new CopyInRecorder(state, state.copyIn);
          this.#copyIn.add(bytes, at, end);
          out.pass(at, end);
          return state.recordOutput;
        }
        return false;
      case Front.CopyDone:
      case Front.CopyFail:
        if (state.copyIn !== null) this.#copyIn?.flush();
        this.#copyIn = null;
        // Outside of a copy the server ignores it: the left-over of a copy that failed.
        if (state.copyIn === null) return false;
        state.copyIn = null;
        break;
      case Front.Terminate:
        state.terminated = true;
        break;
      case Front.Flush:
        break;
      case Front.FunctionCall:
        return this.#functionCall(out);
      default:
        throw new GatewayError({
          code: 'frame_invalid',
          source: 'client',
          phase: 'frame',
          publicMessage: `invalid frontend message type ${type}`,
        });
    }
    out.pass(at, end);
    return false;
  }

  #expect(reply: Reply): void {
    this.#state.replies.push(expected(reply));
  }

  #classify(bytes: Buffer, from: number, to: number): Classified {
    return this.#state.classifier.classify(bytes, from, to, this.#state.snapshot());
  }

  /** Keeps track of what FETCH and EXECUTE may return, and of when names change by SQL. */
  #note(classified: Classified): void {
    const state = this.#state;
    if (state.readsClean && !state.classifier.lineage(classified, this.#state.snapshot()).statements.every((statement) => statement.clean))
      state.readsClean = false;
    if (classified.barrier) state.barrier = true;
  }

  #query(bytes: Buffer, at: number, end: number, out: Outbox): boolean {
    if (bytes.indexOf(0, at + 5) !== end - 1)
      throw new GatewayError({ code: 'frame_invalid', source: 'client', phase: 'frame', publicMessage: 'invalid string in message' });
    const classified = this.#classify(bytes, at + 5, end - 1);
    const copied = copiedQuery(classified, bytes.subarray(at + 5, end - 1));
    const decision = untypedCopy(this.#state.services.policy(), classified, copied) ?? this.#decisions.onText(classified);
    const shown = this.#record.text(this.#decisions.isSensitive(classified), bytes, at + 5, end - 1);
    let members = `"kind":"query",${classified.members},"text":${shown}`;
    let ruling: Ruling | null = null;
    // PREPARE runs nothing: what it prepares is asked for whenever it is executed.
    const asks = decision.kind === 'approve' && classified.action !== 'prepare';
    const executed = asks ? this.#decisions.executed(classified) : null;
    const form = asks ? budgetForm(classified, this.#state.transaction === 0x54, executed) : 'whole';
    if (asks) {
      ruling = this.#rule(decision, () =>
        heldQuery(this.#state, this.#record, classified, bytes.subarray(at + 5, end - 1), shown, members, executed),
      );
      if (ruling === null) return false;
      members += ruling.members;
      if (ruling.kind === 'allow' && ruling.budget !== null && form === 'never') ruling = this.#approvals.rowsUnknown(decision);
    } else {
      this.#approvals.withdraw();
      if (decision.kind === 'approve') members += neededMembers(decision);
    }
    const refusal = refusalIn(decision, ruling, !asks);
    if (refusal !== null) {
      const nonce = newNonce();
      out.insert(deniedQuery(nonce));
      this.#expect({ kind: 'query', op: this.#record.denied(refusal.decision, members), nonce, substitute: refusal.substitute });
      return true;
    }
    this.#note(classified);
    const named = this.#sqlNames(classified, decision, bytes.subarray(at + 5, end - 1));
    const op = this.#record.intent(members);
    this.#state.noteQuery(classified);
    const granted = ruling?.kind === 'allow' ? ruling.budget : null;
    op.budget = granted ?? budgetOfFetched(classified, this.#state.portals);
    if (copied !== null || (granted !== null && form === 'steps')) {
      this.#inSteps(op, classified, bytes.subarray(at + 5, end), copied, out);
      return true;
    }
    this.#expect({ kind: 'query', op, statement: named.statement, undo: named.undo, portal: queryPortal(classified) });
    out.pass(at, end);
    return true;
  }

  /** Has the types of what a COPY copies described, for the operation to know them. */
  #describeCopied(op: PgOperation, copied: Buffer, out: Outbox): void {
    for (const kind of ['parse', 'describe-statement', 'close'] as const) this.#expect({ kind, op, ours: true });
    out.insert(describeQuery(copied));
  }

  /** Sends a query in steps, so that it is committed only when its rows are known. @param copied what is to be described before. */
  #inSteps(op: PgOperation, classified: Classified, text: Buffer, copied: Buffer | null, out: Outbox): void {
    const portal = queryPortal(classified);
    op.syncHeld = true;
    this.#state.barrier = true;
    if (copied !== null) this.#describeCopied(op, copied, out);
    for (const kind of ['parse', 'bind', 'describe-portal'] as const)
      this.#expect({ kind, op, portal: kind === 'bind' ? null : portal, ours: true });
    this.#expect({ kind: 'execute', op, portal });
    out.insert(inSteps(text));
  }

  /** Asks for the approval of a message, or gets what came of it; null: the message is held. */
  #rule(decision: Decision & { kind: 'approve' }, describe: () => HeldOperation): Ruling | null {
    const ruling = this.#approvals.rule(decision, describe);
    this.held = ruling === null;
    return ruling;
  }

  /** PREPARE, DEALLOCATE and DISCARD by SQL share the name table with Parse and Close, as in the server. */
  #sqlNames(classified: Classified, decision: Decision, text: Buffer): { statement: Statement | null; undo: Undo | null } {
    const { statements, group } = this.#state;
    const only = classified.statements[0];
    if (only === undefined || !classified.barrier) return { statement: null, undo: null };
    if (only.kind === 'prepare') {
      const exact = decision.kind === 'approve' ? { text: Buffer.from(text), types: [] } : null;
      const statement = { name: only.name, classified, line: 0, exact, parameterTypes: [], pending: group, closed: false };
      return { statement, undo: this.#set(statements.set(statement)) };
    }
    if (only.kind === 'deallocate' && only.name !== '') {
      const tombstone = { name: only.name, classified, line: 0, exact: null, parameterTypes: [], pending: group, closed: true };
      return { statement: tombstone, undo: statements.set(tombstone) };
    }
    // DEALLOCATE ALL and DISCARD ALL: stale names only lead to the server's own error.
    return { statement: null, undo: null };
  }

  #set(undo: Undo | null): Undo {
    if (undo === null)
      throw new GatewayError({
        code: 'frame_too_large',
        source: 'client',
        phase: 'classify',
        publicMessage: 'too many prepared statements or portals in one session',
      });
    return undo;
  }

  #parse(bytes: Buffer, at: number, end: number, out: Outbox): boolean {
    const state = this.#state;
    const nameEnd = cstringEnd(bytes, at + 5, end);
    const textEnd = nameEnd === -1 ? -1 : cstringEnd(bytes, nameEnd + 1, end);
    if (textEnd === -1 || textEnd + 3 > end || textEnd + 3 + bytes.readUInt16BE(textEnd + 1) * 4 !== end) {
      throw new GatewayError({ code: 'frame_invalid', source: 'client', phase: 'frame', publicMessage: 'invalid Parse message' });
    }
    const name = bytes.toString('utf8', at + 5, nameEnd);
    const classified = this.#classify(bytes, nameEnd + 1, textEnd);
    let members = `"kind":"parse",${name === '' ? '' : `"name":${this.#record.name(name)},`}${classified.members},"text":${this.#record.text(this.#decisions.isSensitive(classified), bytes, nameEnd + 1, textEnd)}`;
    // Names by SQL inside the extended protocol would escape the table: PREPARE there is as rare as it is pointless.
    const copied = copiedQuery(classified, bytes.subarray(nameEnd + 1, textEnd));
    const decision =
      untypedCopy(state.services.policy(), classified, copied) ??
      (classified.barrier && classified.action !== 'execute' && classified.action !== 'discard' && classified.action !== 'deallocate'
        ? deny(
            state.services.policy(),
            'sluice.unsupported',
            'unsupported',
            'PREPARE cannot be sent by the extended protocol',
            'send it as a simple query, or use Parse',
          )
        : this.#decisions.onText(classified));
    // The server only analyses it: whatever needs approval is held when values are bound to it.
    if (decision.kind === 'approve') members += neededMembers(decision);
    if (decision.kind === 'deny') {
      const nonce = newNonce();
      out.insert(deniedParse(name, nonce));
      const tombstone: Statement = { name, classified, line: 0, exact: null, parameterTypes: [], pending: state.group, closed: true };
      // A refused Parse leaves a named statement as it was, and drops the unnamed one.
      if (name === '' && state.statements.set(tombstone) !== null) state.statements.settle(tombstone);
      this.#expect({ kind: 'parse', op: this.#record.denied(decision, members), nonce, substitute: denialResponse(decision) });
      return true;
    }
    this.#note(classified);
    const op = this.#record.intent(members);
    const types = Array.from({ length: bytes.readUInt16BE(textEnd + 1) }, (_, i) => bytes.readUInt32BE(textEnd + 3 + i * 4));
    const exact = decision.kind === 'approve' ? { text: Buffer.from(bytes.subarray(nameEnd + 1, textEnd)), types } : null;
    const statement: Statement = {
      name,
      classified,
      line: op.seq,
      exact,
      copied,
      parameterTypes: types,
      pending: state.group,
      closed: false,
    };
    this.#expect({ kind: 'parse', op, statement, undo: this.#set(state.statements.set(statement)) });
    state.groupParsed = true;
    out.pass(at, end);
    return true;
  }

  #bind(bytes: Buffer, at: number, end: number, out: Outbox): boolean {
    const state = this.#state;
    const bind = parseBind(bytes, at + 5, end);
    if (bind === null)
      throw new GatewayError({ code: 'frame_invalid', source: 'client', phase: 'frame', publicMessage: 'invalid Bind message' });
    const statement = state.statements.get(bind.statement);
    if (statement === undefined) {
      // The server may know the name from where the gateway did not see it: such a statement is not run.
      const nonce = newNonce();
      out.insert(deniedBind(nonce));
      this.#expect({ kind: 'bind', nonce, substitute: missing('26000', `prepared statement "${bind.statement}" does not exist`) });
      return false;
    }
    const decidedBy = state.classifier;
    let decision = this.#decisions.onText(statement.classified);
    const { exact } = statement;
    if (decision.kind === 'approve' && exact === null) decision = this.#decisions.prepareAnew();
    const params = decision.kind === 'deny' ? '' : this.#record.params(bind, bytes, statement);
    let members = `"kind":"bind","stmt":${statement.line}${params}`;
    let ruling: Ruling | null = null;
    if (decision.kind === 'approve' && exact !== null) {
      ruling = this.#rule(decision, () => this.#heldBind(statement, exact, bind, bytes, params, members));
      if (ruling === null) return false;
      members += ruling.members;
      if (
        ruling.kind === 'allow' &&
        ruling.budget !== null &&
        !countsRows(statement.classified, this.#decisions.executed(statement.classified))
      )
        ruling = this.#approvals.rowsUnknown(decision);
    } else this.#approvals.withdraw();
    const refusal = refusalIn(decision, ruling, false);
    if (refusal !== null) {
      const nonce = newNonce();
      out.insert(deniedBind(nonce));
      this.#expect({ kind: 'bind', op: this.#record.denied(refusal.decision, members), nonce, substitute: refusal.substitute });
      return true;
    }
    const op = this.#record.intent(members);
    if (ruling?.kind === 'allow') op.budget = ruling.budget;
    const portal: Portal = {
      name: bind.portal,
      statement,
      classified: statement.classified,
      op,
      decidedBy,
      approvedBy: ruling?.kind === 'allow' ? ruling.approvedBy : [],
      executed: false,
      described: false,
      plan: null,
      started: false,
      pending: state.group,
      closed: false,
    };
    this.#expect({ kind: 'bind', op, portal, undo: this.#set(state.portals.set(portal)) });
    state.groupBound = true;
    out.pass(at, end);
    return true;
  }

  #heldBind(
    statement: Statement,
    exact: NonNullable<Statement['exact']>,
    bind: BindMessage,
    bytes: Buffer,
    params: string,
    members: string,
  ): HeldOperation {
    const held = heldBind(this.#state, this.#record, statement, exact, bind, bytes, params, members);
    const executed = this.#decisions.executed(statement.classified);
    // EXECUTE by the extended protocol: what it runs was prepared by SQL.
    return executed === null ? held : withExecuted(this.#record, held, executed);
  }

  #execute(bytes: Buffer, at: number, end: number, out: Outbox): boolean {
    const state = this.#state;
    const nameEnd = cstringEnd(bytes, at + 5, end);
    if (nameEnd === -1 || nameEnd + 5 !== end)
      throw new GatewayError({ code: 'frame_invalid', source: 'client', phase: 'frame', publicMessage: 'invalid Execute message' });
    const name = bytes.toString('utf8', at + 5, nameEnd);
    const portal = state.portals.get(name);
    if (portal === undefined) {
      // A portal that the gateway did not see made (a cursor of SQL) would run without a plan for its rows.
      const nonce = newNonce();
      out.insert(deniedExecute(nonce));
      this.#expect({ kind: 'execute', nonce, substitute: missing('34000', `portal "${name}" does not exist`) });
      return false;
    }
    if (portal.decidedBy !== state.classifier) {
      const refusal = this.#decisions.refusalOfPortal(portal);
      if (refusal !== null) return this.#denyExecute(portal, refusal, out);
    }
    // What FETCH and EXECUTE run is looked up by name when they run: it is described right before, with nothing in between.
    const named = portal.classified.action === 'fetch' || portal.classified.action === 'execute';
    if (portal.classified.barrier || named) state.barrier = true;
    let recorded = false;
    let op = portal.op;
    const budget = op?.budget ?? budgetOfFetched(portal.classified, state.portals);
    // How many rows a write came to is known when it is done: its Sync waits, so that too many are rolled back.
    if (budget !== null) state.barrier = true;
    state.noteExecute(portal.classified);
    if (portal.executed || op === null) {
      op = this.#record.intent(`"kind":"execute","stmt":${portal.statement?.line ?? 0},"again":${portal.op?.seq ?? 0}`);
      recorded = true;
    }
    op.budget = budget;
    portal.executed = true;
    if (!portal.described || (named && !portal.started)) {
      // Masks follow the server's description of this very execution: it may have replanned since Parse.
      portal.described = true;
      out.insert(describePortal(name));
      this.#expect({ kind: 'describe-portal', ours: true, portal, op, undo: undescribed(portal) });
    }
    const copied = portal.statement?.copied ?? null;
    if (copied !== null) this.#describeCopied(op, copied, out);
    this.#expect({ kind: 'execute', op, portal });
    out.pass(at, end);
    return recorded;
  }

  #denyExecute(portal: Portal, refusal: Refusal, out: Outbox): true {
    const members = `"kind":"execute","stmt":${portal.statement?.line ?? 0},"again":${portal.op?.seq ?? 0}`;
    const nonce = newNonce();
    out.insert(deniedExecute(nonce));
    this.#expect({ kind: 'execute', op: this.#record.denied(refusal, members), nonce, substitute: denialResponse(refusal) });
    return true;
  }

  #describe(bytes: Buffer, at: number, end: number): void {
    const name = namedBy(bytes, at, end);
    if (bytes[at + 5] === 0x53) {
      this.#expect({ kind: 'describe-statement', statement: this.#state.statements.get(name) ?? null });
      return;
    }
    const portal = this.#state.portals.get(name) ?? null;
    if (portal !== null) portal.described = true;
    this.#expect({ kind: 'describe-portal', portal, undo: portal === null ? null : undescribed(portal) });
  }

  #close(bytes: Buffer, at: number, end: number): void {
    const state = this.#state;
    const name = namedBy(bytes, at, end);
    if (bytes[at + 5] === 0x53) {
      const known = state.statements.get(name);
      const tombstone = known === undefined ? null : { ...known, pending: state.group, closed: true };
      this.#expect({ kind: 'close', statement: tombstone, undo: tombstone === null ? null : state.statements.set(tombstone) });
      return;
    }
    const known = state.portals.get(name);
    const tombstone = known === undefined ? null : { ...known, pending: state.group, closed: true };
    this.#expect({ kind: 'close', portal: tombstone, undo: tombstone === null ? null : state.portals.set(tombstone) });
  }

  #functionCall(out: Outbox): boolean {
    const decision = deny(
      this.#state.services.policy(),
      'sluice.unsupported',
      'unsupported',
      'FunctionCall is not supported: it names a function by OID only',
      'call the function with SELECT',
    ) as Decision & { kind: 'deny' };
    const nonce = newNonce();
    out.insert(deniedQuery(nonce));
    this.#expect({
      kind: 'query',
      op: this.#record.denied(decision, '"kind":"function-call"'),
      nonce,
      substitute: denialResponse(decision),
    });
    return true;
  }
}

const missing = (code: string, text: string): Buffer => errorResponse({ severity: 'ERROR', code, message: text });
