import type { Decision, Refusal } from '../../policy/model.ts';
import { type Classified, deny } from './classifier.ts';
import { decideStatements, strictest } from './decide-statements.ts';
import type { SessionState } from './session-state.ts';
import type { Portal, Statement } from './statements.ts';

const BIND_AGAIN = 'bind it again: then approval is asked for';

/**
 * What is decided on a client's messages, by the policies and under the catalog that are in force when they come: what was decided
 * before, on a prepared statement or a portal, is decided anew where others are in force by then. A view that was redefined may lead to
 * protected data since, and a column may be protected.
 */
export class ClientDecisions {
  readonly #state: SessionState;

  constructor(state: SessionState) {
    this.#state = state;
  }

  /** The decision on a text, with what EXECUTE runs and what FETCH fetches from decided again. */
  onText(classified: Classified): Decision {
    const { decision } = this.#now(classified);
    if (decision.kind === 'deny') return decision;
    if (classified.action === 'fetch' || classified.action === 'multiple') return this.#fetched(classified) ?? decision;
    // CREATE TABLE AS EXECUTE is a statement of its own that runs one more.
    const runs =
      classified.action === 'execute'
        ? classified.statements[0]
        : classified.ddl
          ? classified.statements.find((one) => one.kind === 'create' && one.name !== '')
          : undefined;
    if (runs === undefined) return decision;
    const prepared = this.#state.statements.get(runs.name);
    const engine = this.#state.services.policy();
    if (prepared === undefined)
      return deny(
        engine,
        'sluice.unknown-statement',
        'unsupported',
        'the prepared statement does not exist',
        'PREPARE it through the gateway first',
      );
    const both = strictest(this.current(prepared).decision, decision);
    if (both.kind === 'approve' && (runs.kind !== 'execute' || prepared.exact === null)) return this.prepareAnew();
    return both;
  }

  /** A prepared statement as it is decided on now, which it is from now on. */
  current(statement: Statement): Classified {
    statement.classified = this.#now(statement.classified);
    return statement.classified;
  }

  /** Whether what let a portal be executed still does: nothing that it was decided by has changed. */
  stands(portal: Portal): boolean {
    return portal.decidedBy === this.#state.classifier && portal.decidedUnder === this.#state.snapshot().version;
  }

  /** Why a portal may not be executed any more; null: it may, and is as good as bound under what is in force. */
  refusalOfPortal(portal: Portal): Refusal | null {
    const { classifier, services, principal, target } = this.#state;
    portal.classified = this.#now(portal.classified);
    let decision = this.onText(portal.classified);
    if (decision.kind === 'approve' && portal.approvedBy.length > 0) {
      const executed = this.executed(portal.classified);
      const statements = [...portal.classified.statements, ...(executed?.classified.statements ?? [])];
      decision = decideStatements(services.policy(), principal, target, statements, portal.approvedBy);
    }
    if (decision.kind === 'allow') {
      portal.decidedBy = classifier;
      portal.decidedUnder = this.#state.snapshot().version;
      return null;
    }
    return decision.kind === 'approve' ? { ...decision, hint: BIND_AGAIN } : decision;
  }

  /** Approvers see the very text, which is kept only where executions needed approval when it was prepared. */
  prepareAnew(): Decision {
    const hint = 'prepare it again, and execute it by itself';
    return deny(this.#state.services.policy(), 'sluice.unsupported', 'unsupported', 'what it executes needs approval', hint);
  }

  /** The prepared statement that an EXECUTE by SQL runs. */
  executed(classified: Classified): Statement | null {
    return classified.action === 'execute' ? (this.#state.statements.get(classified.statements[0]?.name ?? '') ?? null) : null;
  }

  /** Whether literals are covered: the values of EXECUTE as those of what it runs, and all that was not understood. */
  isSensitive(classified: Classified): boolean {
    if (classified.action === 'unparsed') return true;
    if (classified.action !== 'execute') return this.#now(classified).sensitive;
    const prepared = this.executed(classified);
    return prepared === null || this.current(prepared).sensitive;
  }

  /** Itself; classified again, where it was by other policies or under another catalog. */
  #now(classified: Classified): Classified {
    const state = this.#state;
    const { classifier } = state;
    const snapshot = state.snapshot();
    if (classified.by === classifier && classified.version === snapshot.version) return classified;
    const found = classifier.classify(classified.text, 0, classified.text.length, snapshot);
    // What was prepared or declared before may return, and its errors may quote, what it did not when it was.
    this.noteReads(found);
    return found;
  }

  /** Keeps track of whether the session has run anything that reads protected data. */
  noteReads(classified: Classified): void {
    const state = this.#state;
    if (state.readsClean && !state.classifier.lineage(classified, state.snapshot()).statements.every((statement) => statement.clean))
      state.readsClean = false;
  }

  /** Why nothing may be fetched any more from a portal that a text names; null: it may, or there is no such portal. */
  #fetched({ statements }: Classified): Decision | null {
    const { portals, services } = this.#state;
    for (const { kind, name } of statements) {
      const portal = kind === 'fetch' ? portals.get(name) : undefined;
      if (portal === undefined || this.stands(portal)) continue;
      const refusal = this.refusalOfPortal(portal);
      if (refusal?.kind === 'approve')
        return deny(services.policy(), 'sluice.unsupported', 'unsupported', 'what it fetches from needs approval', BIND_AGAIN);
      if (refusal !== null) return refusal;
    }
    return null;
  }
}
