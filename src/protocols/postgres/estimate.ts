import { compileCatalog, dropCatalog, lineage } from '../../../native/binding/index.js';
import type { ApprovalQuestion } from '../../access/model.ts';
import { GatewayError } from '../../errors.ts';
import { jsonString } from '../../recording/json.ts';
import type { ProtocolServices } from '../protocol.ts';
import type { CatalogSpec, Lineage, StatementInfo } from './analysis.ts';
import type { HeldOperation } from './approval-gate.ts';
import { PgOperation } from './operation.ts';
import { FUNCTIONS_AND_TYPES, IMPLICIT_OPERATORS, INHERITS, OPERATORS, RELATIONS, SAFE_FUNCTIONS, USER_CASTS } from './plan-safety.ts';
import { TargetQueries } from './target-queries.ts';
import type { Turns } from './turns.ts';
import type { UpstreamLogin } from './upstream.ts';

type Estimate = ApprovalQuestion['estimate'];

const PLANNED: ReadonlySet<string> = new Set(['select', 'insert', 'update', 'delete', 'merge']);
/** Longest that the target may take over it: an approver waits for it. */
const PLAN_MS = 2_000;

const unavailable = (why: string): Estimate => ({ unavailable: why });

/**
 * How many rows the target expects a statement to touch, from a plain EXPLAIN. Planning runs immutable functions, so it is asked
 * only where everything that could run is PostgreSQL's own and known to be harmless: what nobody has approved yet must not run anything. On
 * a connection of its own that may only read. Never rejects.
 */
export class Estimator {
  readonly #services: Pick<ProtocolServices, 'recorder' | 'now' | 'log'>;
  readonly #login: UpstreamLogin;
  readonly #sid: string;
  readonly #turns: Turns;

  /** @param login as the session's own: the same account. @param turns of all sessions on the resource: each estimate is a connection. */
  constructor(services: Pick<ProtocolServices, 'recorder' | 'now' | 'log'>, login: UpstreamLogin, sid: string, turns: Turns) {
    this.#services = services;
    this.#login = login;
    this.#sid = sid;
    this.#turns = turns;
  }

  async estimate({ plan, statements, statement: shown }: HeldOperation, searchPath: string | undefined): Promise<Estimate> {
    const statement = statements[0];
    if (plan === null || statement === undefined || statements.length !== 1) return unavailable('it is more than one statement');
    if (!PLANNED.has(statement.kind)) return unavailable(`a plan of ${statement.kind} says nothing of rows`);
    const unsafe = statement.functions.find((name) => !SAFE_FUNCTIONS.has(name.replace(/^pg_catalog\./, '')));
    if (unsafe !== undefined) return unavailable('it calls a function that planning might run');
    const taken = await this.#turns.take(() => this.#plan(plan, statement, shown, searchPath));
    return taken ?? unavailable('too many others are being planned');
  }

  async #plan(plan: Uint8Array, statement: StatementInfo, shown: string, searchPath: string | undefined): Promise<Estimate> {
    let target: TargetQueries | null = null;
    try {
      target = await TargetQueries.open({ ...this.#login, settings: settings(this.#login, this.#sid, searchPath), timeoutMs: PLAN_MS });
      const parameters = plan.includes(0x24);
      if (parameters && target.serverMajor < 16)
        return unavailable('the target cannot plan a statement with parameters before it is bound');
      const danger = await runsUserCode(target, plan, statement.functions);
      if (danger !== null) return unavailable(danger);
      return await this.#explain(target, plan, parameters, shown);
    } catch (error) {
      const why = error instanceof GatewayError ? error.publicMessage : 'the target could not be asked';
      this.#services.log.debug('no estimate', { sid: this.#sid, error: String(error) });
      return unavailable(why);
    } finally {
      target?.close();
    }
  }

  /** Recorded like everything else that the target is sent on somebody's behalf, and before. */
  async #explain(target: TargetQueries, plan: Uint8Array, parameters: boolean, shown: string): Promise<Estimate> {
    const { recorder, now } = this.#services;
    const seq = recorder.append('intent', this.#sid, `"kind":"explain","text":${jsonString(shown)}`);
    const op = new PgOperation(seq, now(), false);
    await new Promise<void>((resolve, reject) => {
      recorder.whenRecorded({ onRecorded: (error) => (error === null ? resolve() : reject(error)) });
    });
    try {
      const options = parameters ? 'GENERIC_PLAN, FORMAT JSON' : 'FORMAT JSON';
      const rows = await target.query(`EXPLAIN (${options}) ${Buffer.from(plan).toString('utf8')}`);
      op.settle('ok', now());
      const [explained] = JSON.parse(rows[0]?.[0] ?? '[]') as { readonly Plan?: PlanNode }[];
      const expected = explained?.Plan === undefined ? null : rowsOf(explained.Plan);
      return expected === null ? unavailable('the target gave a plan that cannot be read') : { rows: expected };
    } catch (error) {
      op.settle('error', now());
      throw error;
    } finally {
      if (recorder.failure === null) recorder.append('result', this.#sid, op.resultMembers([]));
    }
  }
}

interface PlanNode {
  readonly 'Node Type'?: string;
  readonly 'Plan Rows'?: number;
  readonly Plans?: readonly PlanNode[];
}

/** A node that changes rows says how many it returns: those that it changes are its children's. */
function rowsOf(node: PlanNode): number | null {
  if (node['Node Type'] !== 'ModifyTable') return node['Plan Rows'] ?? null;
  let rows = 0;
  for (const child of node.Plans ?? []) rows += child['Plan Rows'] ?? 0;
  return rows;
}

function settings(login: UpstreamLogin, sid: string, searchPath: string | undefined): ReadonlyMap<string, string> {
  return new Map([
    ...login.settings,
    ['application_name', `sluice:${sid} estimate`],
    ['default_transaction_read_only', 'on'],
    ['statement_timeout', String(PLAN_MS)],
    ['lock_timeout', String(PLAN_MS / 4)],
    ...(searchPath === undefined ? [] : ([['search_path', searchPath]] as const)),
  ]);
}

/** Why planning might run what somebody has made, or null. Whoever is unsure is told so. */
async function runsUserCode(target: TargetQueries, plan: Uint8Array, functions: readonly string[]): Promise<string | null> {
  const made = new Set((await target.query(FUNCTIONS_AND_TYPES)).map((row) => (row[0] ?? '').toLowerCase()));
  if (functions.some((name) => made.has(name.replace(/^pg_catalog\./, '')))) return 'a function of that name was made in the database';
  const operators = (await target.query(OPERATORS)).map((row) => row[0] ?? '');
  const written: ReadonlySet<string> = new Set(
    Buffer.from(plan)
      .toString('latin1')
      .match(/[-+*/<>=~!@#%^&|`?]+/g) ?? [],
  );
  // A run of operator characters may be several: `=-` is `=` and `-`.
  const hit = operators.some((name) => IMPLICIT_OPERATORS.has(name) || [...written].some((run) => run.includes(name)));
  if (hit) return 'an operator of that name was made in the database';
  if ((await target.query(USER_CASTS)).length > 0) return 'a cast between built-in types was made in the database';
  const relations = await target.query(RELATIONS);
  const safe = new Set(relations.filter((row) => row[3] === 't').map((row) => row[0]));
  const inherits = await target.query(INHERITS);
  for (let more = true; more; ) {
    more = false;
    // Planning a table plans its children.
    for (const [child, parent] of inherits) {
      if (!safe.has(child ?? null) && safe.delete(parent ?? null)) more = true;
    }
  }
  const known = relations.filter((row) => safe.has(row[0])).map(([, schema, name]) => ({ schema: schema ?? '', name: name ?? '' }));
  // A name that is both safe and unsafe somewhere may be either.
  const doubtful = new Set(relations.filter((row) => !safe.has(row[0])).map((row) => row[2]));
  const spec: CatalogSpec = {
    relations: [],
    userFunctions: [...made],
    userOperators: operators,
    knownRelations: known.filter(({ name }) => !doubtful.has(name)),
  };
  const catalog = compileCatalog(JSON.stringify(spec));
  try {
    const { statements } = JSON.parse(lineage(catalog, plan, 0, plan.length)) as Lineage;
    return statements[0]?.clean === true ? null : 'it names something whose planning might run code that was made in the database';
  } finally {
    dropCatalog(catalog);
  }
}
