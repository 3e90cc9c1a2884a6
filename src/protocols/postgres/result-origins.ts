import type { LineageOfStatement, StatementInfo } from './analysis.ts';
import { type Classified, UNKNOWN_LINEAGE } from './classifier.ts';
import type { CopyStatement } from './operation.ts';
import type { ExpectedReply } from './replies.ts';
import { parseRowDescription, planColumns, ReplyPlan } from './reply-plan.ts';
import { broken } from './server-pump.ts';
import type { SessionState } from './session-state.ts';
import type { Portal } from './statements.ts';

/** Ways of using a table after which a statement can return what it wrote, also inside of PREPARE and WITH. */
const WRITES: ReadonlySet<string> = new Set(['insert', 'update', 'delete', 'merge']);
/** Statements whose errors can be those of an earlier one. */
const OF_EARLIER: ReadonlySet<string> = new Set(['fetch', 'execute', 'commit', 'set']);

/** The text that a reply answers. */
export function classifiedOf(head: ExpectedReply | undefined): Classified | null {
  return head?.portal?.classified ?? head?.statement?.classified ?? null;
}

/** What is known of where results come from, and so how they are masked. `index` is the statement of a text that the reply has come to. */
export class ResultOrigins {
  readonly #state: SessionState;

  constructor(state: SessionState) {
    this.#state = state;
  }

  /** The plan for the rows of a portal, from the server's description of them. */
  planFor(portal: Portal, index: number, bytes: Buffer, from: number, to: number): ReplyPlan {
    const catalog = this.#state.catalog.current;
    const { classified } = portal;
    // FETCH and EXECUTE return what something else defined: their plans are not remembered by text.
    const remember =
      classified.statements.length === 1 &&
      classified.action !== 'fetch' &&
      classified.action !== 'execute' &&
      !this.#state.definitionsOpen;
    if (remember) {
      for (const known of classified.plans) {
        if (known.version === catalog?.version && known.description.compare(bytes, from, to) === 0) return known.plan;
      }
    }
    const described = parseRowDescription(bytes, from, to);
    if (described === null || catalog === null) throw broken('a row description that cannot be read');
    const lineage = this.#lineageOf(classified, index);
    const { columns, unseen } = planColumns(
      described,
      catalog,
      lineage,
      this.#statementOf(classified, index)?.tables.some((table) => WRITES.has(table.mode)),
    );
    if (unseen && !this.#state.changedCatalog) this.#state.catalog.noteUnseen();
    const plan = ReplyPlan.ofRows(columns, this.#state.services.masker);
    if (remember && !unseen && lineage !== UNKNOWN_LINEAGE) {
      const kept = classified.plans.filter((known) => known.version === catalog.version).slice(-3);
      classified.plans = [...kept, { description: Buffer.from(bytes.subarray(from, to)), version: catalog.version, plan }];
    }
    return plan;
  }

  #lineageOf(classified: Classified, index: number): LineageOfStatement {
    const state = this.#state;
    const catalog = state.catalog.current;
    const statement = classified.statements[index] ?? classified.statements[0];
    if (catalog === null || statement === undefined) return UNKNOWN_LINEAGE;
    if (state.mayBeRedefined(statement)) return UNKNOWN_LINEAGE;
    if (statement.kind === 'fetch') return state.readsClean ? { outputs: [], writes: [], clean: true } : UNKNOWN_LINEAGE;
    if (statement.kind === 'execute') {
      const prepared = state.statements.get(statement.name)?.classified;
      return prepared === undefined ? UNKNOWN_LINEAGE : (state.classifier.lineage(prepared, catalog).statements[0] ?? UNKNOWN_LINEAGE);
    }
    return state.classifier.lineage(classified, catalog).statements[index] ?? UNKNOWN_LINEAGE;
  }

  /** The statement that a description answers: for EXECUTE, the one it runs. */
  #statementOf(classified: Classified, index: number): StatementInfo | undefined {
    const statement = classified.statements[index];
    return statement?.kind === 'execute' ? this.#state.statements.get(statement.name)?.classified.statements[0] : statement;
  }

  copyStatement(head: ExpectedReply | undefined, index: number): CopyStatement | null {
    const classified = classifiedOf(head);
    return classified === null ? null : { classified, index, types: head?.op?.copiedTypes ?? null };
  }

  /** Whether what an error or a notice quotes may be protected. */
  touchesProtected(head: ExpectedReply | undefined): boolean {
    const state = this.#state;
    const classified = classifiedOf(head);
    const catalog = state.catalog.current;
    if (classified?.action === 'unparsed') return false;
    // Of an earlier statement: what it prepared or declared, and constraints deferred to the end of the transaction.
    if (classified === null || catalog === null || OF_EARLIER.has(classified.action)) return !state.readsClean;
    if (classified.statements.some((statement) => state.mayBeRedefined(statement))) return true;
    return classified.sensitive || !state.classifier.lineage(classified, catalog).statements.every((statement) => statement.clean);
  }
}
