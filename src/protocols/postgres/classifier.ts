import { analyzeSql, lineage as nativeLineage, statementShape } from '../../../native/binding/index.js';
import type { Decision, ObjectRef, PolicyEngine, Principal, Target } from '../../policy/model.ts';
import { jsonString } from '../../recording/json.ts';
import type { MaskPool } from '../../workers/pool.ts';
import { type Analysis, analysisOf, type Lineage, type LineageOfStatement, type StatementInfo } from './analysis.ts';
import { CacheBudget, type Forgetful } from './cache-budget.ts';
import { carrierOf } from './carriers.ts';
import type { CatalogSnapshot } from './catalog.ts';
import { copyOutOf, mayCopyOut } from './copy-out.ts';
import { decideOperations, decideStatements } from './decide-statements.ts';
import { maskLiterals } from './literals.ts';
import { operationOf } from './policy-operation.ts';
import type { ReplyPlan } from './reply-plan.ts';
import { keepsPinned, settingFromView } from './settings.ts';

/** Everything that is known of a statement text before it is forwarded. Shared by all sessions of a scope. */
export interface Classified {
  /** Who decided: another classifier may decide otherwise. */
  readonly by: Classifier;
  /** The catalog that it was decided under: under another one protected data may be elsewhere. */
  readonly version: number;
  readonly decision: Decision;
  readonly statements: readonly StatementInfo[];
  readonly action: string;
  /** JSON members `"action":..,"objects":[..],"policies":[..],"snapshot":..` of its intent line. */
  readonly members: string;
  /** Works on the name table of prepared statements by SQL: must run alone. */
  readonly barrier: boolean;
  /** Names or fills protected columns: its literals and bind values are covered in the record. */
  readonly sensitive: boolean;
  /** May change settings, the search_path among them. */
  settings: boolean;
  /** May change the catalog. */
  readonly ddl: boolean;
  /** The text, where the lineage still has to be read from it; released texts cannot be analysed again. */
  readonly text: Buffer;
  /** The catalog that `lineage` was read under, where it was. */
  lineageVersion: number;
  lineage: Lineage | null;
  /** Plans for the row descriptions seen so far. */
  plans: readonly KnownPlan[];
}

/** A plan, the description it was made for, byte by byte, and the catalog it was made under. */
export interface KnownPlan {
  readonly description: Buffer;
  readonly version: number;
  readonly plan: ReplyPlan;
}

const DDL: ReadonlySet<string> = new Set(['create', 'alter', 'drop', 'comment', 'refresh', 'do', 'call', 'load', 'other', 'truncate']);
/** Statements that can change settings without naming one; what EXECUTE runs may. */
const SETTINGS: ReadonlySet<string> = new Set(['set', 'reset', 'discard', 'execute', 'do', 'call', 'commit', 'rollback', 'savepoint']);
const NAME_TABLE: ReadonlySet<string> = new Set(['prepare', 'execute', 'deallocate', 'discard']);
/** Shapes and texts are remembered up to this many bytes of text per scope, and per process. */
const CACHE_BYTES = 32 * 1024 * 1024;
const budget = new CacheBudget(256 * 1024 * 1024);
/** Statements and objects of one text, each of which policy decides on: a tenth of a second or so on the event loop. */
const MAX_PARTS = 10_000;
/**
 * Texts from this length on are analyzed on the pool. One of this length can hold hundreds of statements or operators, which take
 * milliseconds; a round trip to the pool takes a tenth of one.
 */
export const POOL_BYTES = 4 * 1024;

/** Classifies and decides statements for one principal on one target account, and remembers what it found. */
export class Classifier implements Forgetful {
  readonly #engine: PolicyEngine;
  readonly #principal: Principal;
  readonly #target: Target;
  readonly #pool: MaskPool | null;
  readonly #mask: (text: string) => string;
  readonly #denyComputed: boolean;
  readonly #byShape = new Map<number, Classified>();
  readonly #byText = new Map<string, Classified>();
  #catalogVersion = 0;
  #bytes = 0;
  /** Counts for metrics and benches. */
  readonly counters = { shapeHits: 0, textHits: 0, misses: 0 };

  /** @param pool for long texts; null keeps them on the event loop. @param mask covers card data in a text, same length. @param denyComputed outputs computed from protected columns are denied and not masked. */
  constructor(
    engine: PolicyEngine,
    principal: Principal,
    target: Target,
    pool: MaskPool | null,
    mask: (text: string) => string,
    denyComputed = false,
  ) {
    this.#engine = engine;
    this.#denyComputed = denyComputed;
    this.#pool = pool;
    this.#mask = mask;
    this.#principal = principal;
    this.#target = target;
  }

  /** Classifies the text in `[from, to)`, which is borrowed. */
  classify(bytes: Buffer, from: number, to: number, catalog: CatalogSnapshot): Classified {
    if (catalog.version !== this.#catalogVersion) this.#forget(catalog.version);
    const shape = statementShape(bytes, from, to - from);
    if (shape !== 0) {
      const known = this.#byShape.get(shape);
      if (known !== undefined) {
        this.counters.shapeHits++;
        return known;
      }
    }
    const key = bytes.toString('latin1', from, to);
    const byText = this.#byText.get(key);
    if (byText !== undefined) {
      this.counters.textHits++;
      return byText;
    }
    this.counters.misses++;
    const found = this.#analyze(Buffer.from(bytes.subarray(from, to)), catalog);
    this.#remember(shape, key, found, catalog.version);
    return found;
  }

  /**
   * Has a long text analyzed on the pool, so that it does not hold the event loop. Null when that is not needed: it is short,
   * or known, or there is no pool. Afterwards `classify` finds it, unless the catalog has changed meanwhile: then ask again.
   */
  prepare(bytes: Buffer, from: number, to: number, catalog: CatalogSnapshot): Promise<void> | null {
    if (this.#pool === null || to - from < POOL_BYTES) return null;
    if (catalog.version !== this.#catalogVersion) this.#forget(catalog.version);
    const shape = statementShape(bytes, from, to - from);
    if (shape !== 0 && this.#byShape.has(shape)) return null;
    const key = bytes.toString('latin1', from, to);
    if (this.#byText.has(key)) return null;
    const length = to - from;
    const memory = new SharedArrayBuffer(length);
    const text = Buffer.from(memory);
    bytes.copy(text, 0, from, to);
    return this.#pool.analyze({ memory, length, catalog: catalog.native }).then(({ analysis, lineage }) => {
      if (catalog.version !== this.#catalogVersion) return;
      const found = this.#decided(text, analysisOf(analysis), catalog, JSON.parse(lineage) as Lineage);
      this.#remember(shape, key, found, catalog.version);
    });
  }

  /** Which outputs of each statement derive from protected columns, under the given catalog. */
  lineage(classified: Classified, catalog: CatalogSnapshot): Lineage {
    if (classified.lineage === null || classified.lineageVersion !== catalog.version) {
      classified.lineage = JSON.parse(nativeLineage(catalog.native, classified.text, 0, classified.text.length)) as Lineage;
      classified.lineageVersion = catalog.version;
    }
    return classified.lineage;
  }

  /** By its shape where literals make no difference, else by its text. */
  #remember(shape: number, text: string, found: Classified, version: number): void {
    const bytes = 2 * found.text.length + 1024;
    if (this.#bytes + bytes > CACHE_BYTES) this.#forget(version);
    this.#bytes += bytes;
    budget.charge(this, bytes);
    const byShape = shape !== 0 && found.statements.length > 0 && !found.statements.some((statement) => statement.literalsMatter);
    if (byShape) this.#byShape.set(shape, found);
    else this.#byText.set(text, found);
  }

  /** Others need the memory, or nobody asks any more. */
  forget(): void {
    this.#forget(this.#catalogVersion);
  }

  #forget(version: number): void {
    budget.release(this);
    this.#catalogVersion = version;
    this.#byShape.clear();
    this.#byText.clear();
    this.#bytes = 0;
  }

  #analyze(text: Buffer, catalog: CatalogSnapshot): Classified {
    return this.#decided(text, analysisOf(analyzeSql(text, 0, text.length)), catalog);
  }

  /** @param known the lineage under this catalog, where it has been read already. */
  #decided(text: Buffer, analysis: Analysis, catalog: CatalogSnapshot, known: Lineage | null = null): Classified {
    if (analysis.error !== undefined) {
      return this.#classified(
        text,
        [],
        {
          ...deny(
            this.#engine,
            'sluice.unparsed',
            'unparsed',
            'the statement could not be parsed, so it was not forwarded',
            analysis.error,
          ),
          ...(analysis.position === undefined ? {} : { position: analysis.position }),
        },
        'unparsed',
        [],
        false,
        catalog,
      );
    }
    const parts = analysis.statements.reduce((sum, one) => sum + 1 + one.tables.length + one.objects.length, 0);
    if (parts > MAX_PARTS) {
      const decision = deny(
        this.#engine,
        'sluice.too-large',
        'unsupported',
        `the text holds more than ${MAX_PARTS} statements and objects`,
        'send it in parts',
      );
      return this.#classified(text, [], decision, 'too-large', [], true, catalog);
    }
    const statements = analysis.statements.map((statement) =>
      withProtection(withCalledFields(withNamedSetting(statement, text), catalog), catalog),
    );
    const pinned = pinnedViolation(statements);
    const action = statements.length === 1 ? (statements[0]?.kind ?? 'empty') : statements.length === 0 ? 'empty' : 'multiple';
    const operations = statements.map(operationOf);
    const objects = operations.flatMap((operation) => operation.objects);
    const sensitive = statements.some((statement) => isSensitive(statement, text, catalog));
    let decision: Decision;
    if (pinned !== null)
      decision = deny(
        this.#engine,
        'sluice.pinned-setting',
        'forbidden',
        pinned,
        'the gateway reads statements as the server does only while these settings keep their values',
      );
    else if (statements.some((statement) => statement.unknown)) {
      decision = deny(
        this.#engine,
        'sluice.unsupported',
        'unsupported',
        'the statement has parts that the gateway does not know',
        'this PostgreSQL syntax is newer than the gateway',
      );
    } else if (statements.length > 1 && statements.some((statement) => NAME_TABLE.has(statement.kind) && statement.kind !== 'discard')) {
      decision = deny(
        this.#engine,
        'sluice.unsupported',
        'unsupported',
        'PREPARE, EXECUTE and DEALLOCATE cannot share one query text with other statements',
        'send them one by one',
      );
    } else decision = decideOperations(this.#engine, this.#principal, this.#target, operations);
    let lineage = known;
    // Whoever names no protected column compares none.
    const flows = sensitive || statements.some((statement) => carrierOf(statement, catalog) !== null || mayCopyOut(statement, catalog));
    if (decision.kind !== 'deny' && flows) {
      lineage ??= JSON.parse(nativeLineage(catalog.native, text, 0, text.length)) as Lineage;
      decision =
        this.#decideCarriers(statements, lineage, catalog) ??
        this.#decideCopyOut(statements, lineage, catalog) ??
        this.#decideComparisons(lineage) ??
        this.#decideComputed(lineage) ??
        decision;
    }
    const classified = this.#classified(text, statements, decision, action, objects, sensitive, catalog);
    classified.lineage = lineage;
    // What somebody's function does cannot be told.
    classified.settings ||= statements.some((statement) => statement.functions.some((name) => catalog.isUserFunction(name)));
    return classified;
  }

  /** Denies a statement that reads protected data and calls what could carry it past every mask. */
  #decideCarriers(statements: readonly StatementInfo[], lineage: Lineage, catalog: CatalogSnapshot): Decision | null {
    const carrier = statements.find((statement, i) => carrierOf(statement, catalog) !== null && lineage.statements[i]?.clean !== true);
    if (carrier === undefined) return null;
    return deny(
      this.#engine,
      'sluice.carrier',
      'forbidden',
      `${carrierOf(carrier, catalog)} could carry protected data to where no mask follows it`,
      'call it in a statement of its own that reads no protected table',
    );
  }

  /** Denies a statement that writes protected data into a column that is not protected as well: nothing would mask it there. */
  #decideCopyOut(statements: readonly StatementInfo[], lineage: Lineage, catalog: CatalogSnapshot): Decision | null {
    for (const [i, statement] of statements.entries()) {
      const written = lineage.statements[i];
      // Not there although the text parses: then nothing is known of what it writes.
      const write = written === undefined ? { table: '', column: '', protect: 'unknown' } : copyOutOf(statement, written, catalog);
      if (write === null) continue;
      const source = write.protect === 'unknown' ? 'protected data' : `data protected as ${write.protect}`;
      const into = `${write.column === '' ? 'a column' : `column "${write.column}"`} of "${write.table}"`;
      return deny(
        this.#engine,
        'sluice.copy-out',
        'forbidden',
        this.#mask(`${source} would be copied into ${into}, which does not protect it as well`),
        'write it into a column that is protected at least as well, naming the columns, or protect that column in the configuration',
      );
    }
    return null;
  }

  /** Where it is so configured, denies what returns computed values: their length, or whether they are NULL, can say what they are made from. */
  #decideComputed(lineage: Lineage): Decision | null {
    const computed = (output: LineageOfStatement['outputs'][number]): boolean => output.protect !== null && !output.direct && !output.star;
    const found = this.#denyComputed ? lineage.statements.flatMap(({ outputs }) => outputs).find(computed) : undefined;
    if (found === undefined) return null;
    return deny(
      this.#engine,
      'sluice.computed',
      'forbidden',
      this.#mask(`column "${found.name}" is computed from protected data`),
      'select the column itself, or leave it out',
    );
  }

  /** Denies a statement that would tell protected values by the rows that it finds, where no mask can follow. */
  #decideComparisons(lineage: Lineage): Decision | null {
    if (!lineage.statements.some(({ compares }) => compares === true)) return null;
    return deny(
      this.#engine,
      'sluice.comparison',
      'forbidden',
      'protected data is compared with other columns or decides how many rows there are, which would tell what it is',
      'compare it with a constant, a parameter or a column that is protected as well',
    );
  }

  decide(statements: readonly StatementInfo[]): Decision {
    return decideStatements(this.#engine, this.#principal, this.#target, statements);
  }

  #classified(
    text: Buffer,
    statements: readonly StatementInfo[],
    decision: Decision,
    action: string,
    objects: readonly ObjectRef[],
    sensitive: boolean,
    { version }: CatalogSnapshot,
  ): Classified {
    const paths = objects.slice(0, 64).map((object) => `${jsonString(`${object.action} ${object.path}`)}`);
    let members = `"action":${jsonString(action)}`;
    // Names are the client's own words, and may be made of digits.
    if (paths.length > 0) members += this.#mask(`,"objects":[${paths.join(',')}]`);
    // Of what needs approval the line says which policies decided in the end.
    if (decision.policies.length > 0 && decision.kind !== 'approve')
      members += `,"policies":[${decision.policies.map(jsonString).join(',')}]`;
    return {
      by: this,
      version,
      decision,
      statements,
      action,
      members,
      barrier: statements.some((statement) => NAME_TABLE.has(statement.kind)),
      sensitive,
      settings: statements.some((statement) => SETTINGS.has(statement.kind) || statement.settings.length > 0 || statement.dynamicSettings),
      ddl: statements.some((statement) => DDL.has(statement.kind)),
      text,
      lineageVersion: version,
      lineage: null,
      plans: [],
    };
  }
}

/** Lineage of a statement that runs what another one prepared: nothing is known of its outputs but their origins. */
export const UNKNOWN_LINEAGE: LineageOfStatement = { outputs: [], writes: [], clean: false };

export function deny(
  engine: PolicyEngine,
  policy: string,
  reason: 'unparsed' | 'unsupported' | 'forbidden' | 'error',
  message: string,
  hint: string,
): Decision {
  return { kind: 'deny', policies: [policy], snapshot: engine.snapshot, reason, message, hint };
}

/** The statement with whether it touches tables that have protected columns. */
function withProtection(statement: StatementInfo, catalog: CatalogSnapshot): StatementInfo {
  const touchesProtected = statement.tables.some(({ schema, name }) => catalog.protectedColumns(schema, name).length > 0);
  return { ...statement, touchesProtected };
}

/** The statement with the fields among its functions that this server has functions for. */
function withCalledFields(statement: StatementInfo, catalog: CatalogSnapshot): StatementInfo {
  const called = statement.fields.filter((name) => catalog.isUserFunction(name) || catalog.isVolatile(name));
  return called.length === 0 ? statement : { ...statement, functions: [...new Set([...statement.functions, ...called])] };
}

/** The statement with its setting named, where the analysis alone takes the name for computed. */
function withNamedSetting(statement: StatementInfo, text: Buffer): StatementInfo {
  const setting = statement.dynamicSettings && text.length < 512 ? settingFromView(text.toString('utf8')) : null;
  return setting === null ? statement : { ...statement, dynamicSettings: false, settings: [setting] };
}

function pinnedViolation(statements: readonly StatementInfo[]): string | null {
  for (const statement of statements) {
    const encoding = statement.copy?.encoding ?? '';
    if (encoding !== '' && !keepsPinned('client_encoding', encoding))
      return 'COPY in another encoding than UTF8 cannot be read by the gateway';
    if (statement.dynamicSettings) return 'a setting whose name is not a constant cannot be checked';
    for (const setting of statement.settings) {
      if (statement.kind === 'reset' || setting.value === '') continue;
      // current_setting() would give it back as if it came from nowhere.
      if (setting.value === null && statement.tables.length > 0) return `"${setting.name}" cannot be set to a value read from a table`;
      if (!keepsPinned(setting.name, setting.value ?? '')) return `"${setting.name}" is pinned by the gateway and cannot be changed`;
    }
  }
  return null;
}

/**
 * Whether the literals of the statement may be protected data: it writes to a protected table, names a protected column or
 * reads whole rows of its table, or gives them to a function that is not PostgreSQL's own.
 */
function isSensitive(statement: StatementInfo, text: Buffer, catalog: CatalogSnapshot): boolean {
  let lower: string | null = null;
  // What such a function does with its arguments cannot be told.
  if (statement.functions.some((name) => catalog.isUserFunction(name))) return true;
  for (const table of statement.tables) {
    const columns = catalog.protectedColumns(table.schema, table.name);
    if (columns.length === 0) continue;
    if (table.mode === 'insert' || table.mode === 'merge' || table.mode === 'copy_from') return true;
    if (statement.wholeRows) return true;
    lower ??= identifiersOf(text);
    // An identifier with escapes may spell anything.
    if (lower.includes('u&"') || columns.some((column) => lower?.includes(column.toLowerCase()))) return true;
  }
  return false;
}

/** The text in lower case without its literals: texts of one shape give the same. */
function identifiersOf(text: Buffer): string {
  const copy = Buffer.from(text);
  maskLiterals(copy);
  return copy.toString('utf8').toLowerCase();
}
