import { GatewayError } from '../../errors.ts';
import type { Outbox } from '../../io/outbox.ts';
import type { Refusal } from '../../policy/model.ts';
import type { ApprovalGate, HeldOperation, Ruling } from './approval-gate.ts';
import { neededMembers } from './approval-words.ts';
import { type BindMessage, parseBind } from './bind-record.ts';
import { deny } from './classifier.ts';
import type { ClientDecisions } from './client-decisions.ts';
import type { ClientRecord } from './client-record.ts';
import type { ClientTurn } from './client-turn.ts';
import { copiedQuery, untypedCopy } from './copied-query.ts';
import { budgetOfFetched, countsRows } from './countable.ts';
import { denialResponse, deniedBind, deniedExecute, deniedParse, newNonce, refusalIn } from './denial.ts';
import { heldBind, withExecuted } from './held-operation.ts';
import { cstringEnd, describePortal, errorResponse, namedBy } from './messages.ts';
import type { SessionState } from './session-state.ts';
import { type Portal, type Statement, undescribed, weightOf } from './statements.ts';

/** The extended query protocol: statements are prepared, bound to values and executed by messages of their own. */
export class ExtendedQuery {
  readonly #state: SessionState;
  readonly #approvals: ApprovalGate;
  readonly #turn: ClientTurn;
  readonly #record: ClientRecord;
  readonly #decisions: ClientDecisions;

  constructor(state: SessionState, approvals: ApprovalGate, turn: ClientTurn) {
    this.#state = state;
    this.#approvals = approvals;
    this.#turn = turn;
    this.#record = turn.record;
    this.#decisions = turn.decisions;
  }

  parse(bytes: Buffer, at: number, end: number, out: Outbox): boolean {
    const state = this.#state;
    const nameEnd = cstringEnd(bytes, at + 5, end);
    const textEnd = nameEnd === -1 ? -1 : cstringEnd(bytes, nameEnd + 1, end);
    if (textEnd === -1 || textEnd + 3 > end || textEnd + 3 + bytes.readUInt16BE(textEnd + 1) * 4 !== end) {
      throw new GatewayError({ code: 'frame_invalid', source: 'client', phase: 'frame', publicMessage: 'invalid Parse message' });
    }
    const name = bytes.toString('utf8', at + 5, nameEnd);
    const classified = this.#turn.classify(bytes, nameEnd + 1, textEnd);
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
      const weight = weightOf(classified, null);
      const tombstone: Statement = {
        name,
        classified,
        weight,
        line: 0,
        exact: null,
        parameterTypes: [],
        pending: state.group,
        closed: true,
      };
      // A refused Parse leaves a named statement as it was, and drops the unnamed one.
      if (name === '' && state.statements.set(tombstone) !== null) state.statements.settle(tombstone);
      this.#turn.expect({ kind: 'parse', op: this.#record.denied(decision, members), nonce, substitute: denialResponse(decision) });
      return true;
    }
    this.#turn.note(classified);
    const op = this.#record.intent(members);
    const types = Array.from({ length: bytes.readUInt16BE(textEnd + 1) }, (_, i) => bytes.readUInt32BE(textEnd + 3 + i * 4));
    const exact = decision.kind === 'approve' ? { text: Buffer.from(bytes.subarray(nameEnd + 1, textEnd)), types } : null;
    const statement: Statement = {
      name,
      classified,
      weight: weightOf(classified, exact),
      line: op.seq,
      exact,
      copied,
      parameterTypes: types,
      pending: state.group,
      closed: false,
    };
    this.#turn.expect({ kind: 'parse', op, statement, undo: this.#turn.set(state.statements.set(statement)) });
    state.groupParsed = true;
    out.pass(at, end);
    return true;
  }

  bind(bytes: Buffer, at: number, end: number, out: Outbox): boolean {
    const state = this.#state;
    const bind = parseBind(bytes, at + 5, end);
    if (bind === null)
      throw new GatewayError({ code: 'frame_invalid', source: 'client', phase: 'frame', publicMessage: 'invalid Bind message' });
    const statement = state.statements.get(bind.statement);
    if (statement === undefined) {
      // The server may know the name from where the gateway did not see it: such a statement is not run.
      const nonce = newNonce();
      out.insert(deniedBind(nonce));
      this.#turn.expect({ kind: 'bind', nonce, substitute: missing('26000', `prepared statement "${bind.statement}" does not exist`) });
      return false;
    }
    const decidedBy = state.classifier;
    const decidedUnder = state.snapshot().version;
    const classified = this.#decisions.current(statement);
    let decision = this.#decisions.onText(classified);
    const { exact } = statement;
    if (decision.kind === 'approve' && exact === null) decision = this.#decisions.prepareAnew();
    const params = decision.kind === 'deny' ? '' : this.#record.params(this.#decisions.isSensitive(classified), bind, bytes, statement);
    let members = `"kind":"bind","stmt":${statement.line}${params}`;
    let ruling: Ruling | null = null;
    if (decision.kind === 'approve' && exact !== null) {
      ruling = this.#turn.rule(decision, () => this.#heldBind(statement, exact, bind, bytes, params, members));
      if (ruling === null) return false;
      members += ruling.members;
      if (ruling.kind === 'allow' && ruling.budget !== null && !countsRows(classified, this.#decisions.executed(classified)))
        ruling = this.#approvals.rowsUnknown(decision);
    } else this.#approvals.withdraw();
    const refusal = refusalIn(decision, ruling, false);
    if (refusal !== null) {
      const nonce = newNonce();
      out.insert(deniedBind(nonce));
      this.#turn.expect({ kind: 'bind', op: this.#record.denied(refusal.decision, members), nonce, substitute: refusal.substitute });
      return true;
    }
    const op = this.#record.intent(members);
    if (ruling?.kind === 'allow') op.budget = ruling.budget;
    const portal: Portal = {
      name: bind.portal,
      statement,
      classified,
      op,
      decidedBy,
      decidedUnder,
      approvedBy: ruling?.kind === 'allow' ? ruling.approvedBy : [],
      executed: false,
      described: false,
      plan: null,
      started: false,
      pending: state.group,
      closed: false,
    };
    this.#turn.expect({ kind: 'bind', op, portal, undo: this.#turn.set(state.portals.set(portal)) });
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

  execute(bytes: Buffer, at: number, end: number, out: Outbox): boolean {
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
      this.#turn.expect({ kind: 'execute', nonce, substitute: missing('34000', `portal "${name}" does not exist`) });
      return false;
    }
    if (!this.#decisions.stands(portal)) {
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
      this.#turn.expect({ kind: 'describe-portal', ours: true, portal, op, undo: undescribed(portal) });
    }
    const copied = portal.statement?.copied ?? null;
    if (copied !== null) this.#turn.describeCopied(op, copied, out);
    this.#turn.expect({ kind: 'execute', op, portal });
    out.pass(at, end);
    return recorded;
  }

  #denyExecute(portal: Portal, refusal: Refusal, out: Outbox): true {
    const members = `"kind":"execute","stmt":${portal.statement?.line ?? 0},"again":${portal.op?.seq ?? 0}`;
    const nonce = newNonce();
    out.insert(deniedExecute(nonce));
    this.#turn.expect({ kind: 'execute', op: this.#record.denied(refusal, members), nonce, substitute: denialResponse(refusal) });
    return true;
  }

  describe(bytes: Buffer, at: number, end: number): void {
    const name = namedBy(bytes, at, end);
    if (bytes[at + 5] === 0x53) {
      this.#turn.expect({ kind: 'describe-statement', statement: this.#state.statements.get(name) ?? null });
      return;
    }
    const portal = this.#state.portals.get(name) ?? null;
    if (portal !== null) portal.described = true;
    this.#turn.expect({ kind: 'describe-portal', portal, undo: portal === null ? null : undescribed(portal) });
  }

  close(bytes: Buffer, at: number, end: number): void {
    const state = this.#state;
    const name = namedBy(bytes, at, end);
    if (bytes[at + 5] === 0x53) {
      const known = state.statements.get(name);
      const tombstone = known === undefined ? null : { ...known, pending: state.group, closed: true };
      this.#turn.expect({ kind: 'close', statement: tombstone, undo: tombstone === null ? null : state.statements.set(tombstone) });
      return;
    }
    const known = state.portals.get(name);
    const tombstone = known === undefined ? null : { ...known, pending: state.group, closed: true };
    this.#turn.expect({ kind: 'close', portal: tombstone, undo: tombstone === null ? null : state.portals.set(tombstone) });
  }
}

const missing = (code: string, text: string): Buffer => errorResponse({ severity: 'ERROR', code, message: text });
