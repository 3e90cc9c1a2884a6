import type { ApprovalMode } from '../../access/model.ts';
import type { Config, Resource } from '../../config/model.ts';
import { GatewayError } from '../../errors.ts';
import type { Channel } from '../../io/channel.ts';
import type { PolicyEngine, Principal, Target } from '../../policy/model.ts';
import type { ProtocolServices } from '../protocol.ts';
import type { StatementInfo } from './analysis.ts';
import type { Catalog, CatalogSnapshot } from './catalog.ts';
import type { Classified, Classifier } from './classifier.ts';
import type { PgOperation } from './operation.ts';
import { ReplyQueue } from './replies.ts';
import { reasonSetBy, setsReasonAlone } from './settings.ts';
import { NameTable, type Portal, type Statement } from './statements.ts';

/** Decisions hold for whole minutes at least: to look this often is soon enough. */
const SCOPE_MS = 1000;

/** Statements and settings after which unqualified names may mean something else. */
const MOVES_PATH: ReadonlySet<string> = new Set(['reset', 'discard', 'do', 'call', 'execute']);
const PATH_SETTINGS: ReadonlySet<string> = new Set(['search_path', 'role', 'session_authorization']);

/** What the two directions of one session share. Neither keeps state of the protocol elsewhere. */
export class SessionState {
  readonly sid: string;
  readonly services: ProtocolServices;
  readonly limits: Config['limits'];
  readonly recordOutput: boolean;
  readonly principal: Principal;
  readonly target: Target;
  readonly resource: Resource;
  /** Where the client is: `1.2.3.4:5678`. */
  readonly source: string;
  /** What the server has reported of its settings. */
  readonly parameters: Map<string, string>;
  /** What the client asked for: a driver that cannot wait is told to send it again once approved. */
  readonly approvalMode: ApprovalMode;
  /** What the session is for, masked; '' when the client did not say. It may say so later. */
  reason: string;
  readonly #reasonAtStart: string;
  readonly #classifierNow: () => Classifier;
  #classifier: Classifier;
  #classifierOf: PolicyEngine;
  #scope: string;
  /** When policies may have come to look at the principal otherwise (how long ago it logged in): ms of the monotonic clock. */
  #askAgainAt = 0;
  readonly catalog: Catalog;
  readonly counts: Uint32Array;
  readonly replies = new ReplyQueue();
  readonly statements = new NameTable<Statement>((statement) => statement.weight);
  readonly portals = new NameTable<Portal>(() => 512);
  /** Sync groups are numbered: names changed in one are certain in another only when the server has answered. */
  group = 1;
  /** Something was executed in this sync group: the server has a transaction open, if only until Sync. */
  groupWork = false;
  /** Settings were changed in this sync group: the server reports them only at its end. */
  groupSettings = false;
  /** The search_path that the client asked for at its log-in; '' when it asked for none. */
  readonly pathAtStart: string;
  /** How often the search_path may have been changed since, where the server does not report it (before 18). */
  pathChanges = 0;
  /** Something was prepared in this sync group: the server has a transaction open, and tables locked. */
  groupParsed = false;
  /** A portal was made in this sync group, which would end with it. */
  groupBound = false;
  /** Transaction status as the last ReadyForQuery gave it: I, T or E. */
  transaction = 0x49;
  /** The server waits for CopyData: Sync and Flush are ignored by it until the copy ends. */
  copyIn: PgOperation | null = null;
  /** Statements prepared or cursors declared by SQL in this session: what FETCH and EXECUTE return is known only when all are clean. */
  readsClean = true;
  /** The catalog was changed in the transaction that is open, which nobody else sees yet. */
  changedCatalog = false;
  /** Objects were made or changed in the transaction that is open: names may stand for what the catalog does not show yet. */
  definedInTransaction = false;
  /** The reading of the catalog that shows what this session defined last. */
  definedMark = 0;
  /** Nothing more is taken from the client until the queue of replies is empty. */
  barrier = false;
  /** The server reads and ignores messages up to the next Sync: they need not be sent. */
  skipping = false;
  /** The session is over: nothing of either side is taken or forwarded any more. */
  ended = false;
  /** The client has said that it sends nothing more. */
  clientEnded = false;
  /** When the client last sent something, or something of it was under way: ms of the monotonic clock. */
  lastActive = 0;
  /** The client said goodbye: the target closing is what should happen now. */
  terminated = false;
  ops = 0;
  denied = 0;
  readonly masked: Uint32Array;
  client!: Channel;
  upstream!: Channel;
  /** Ends the session: tells the client with FATAL, closes both sides, writes the end line. */
  readonly fail: (error: GatewayError) => void;

  constructor(options: {
    sid: string;
    services: ProtocolServices;
    principal: Principal;
    target: Target;
    resource: Resource;
    source: string;
    parameters: ReadonlyMap<string, string>;
    approvalMode: ApprovalMode;
    reason: string;
    pathAtStart?: string;
    /** The classifier for the policies in force, and for all that they look at now. */
    classifier: () => Classifier;
    catalog: Catalog;
    fail: (error: GatewayError) => void;
  }) {
    this.sid = options.sid;
    this.services = options.services;
    this.limits = options.services.config.limits;
    this.recordOutput = options.services.config.recording.output === 'full';
    this.principal = options.principal;
    this.target = options.target;
    this.resource = options.resource;
    this.source = options.source;
    this.parameters = new Map(options.parameters);
    this.approvalMode = options.approvalMode;
    this.reason = options.reason;
    this.#reasonAtStart = options.reason;
    this.pathAtStart = options.pathAtStart ?? '';
    this.#classifierNow = options.classifier;
    this.#classifier = options.classifier();
    this.#classifierOf = options.services.policy();
    this.#scope = this.#classifierOf.scope(options.principal);
    this.catalog = options.catalog;
    this.fail = options.fail;
    this.counts = options.services.masker.newCounts();
    this.masked = options.services.masker.newCounts();
  }

  /** A simple query is about to run: it ends the sync group as well. */
  noteQuery(classified: Classified): void {
    this.endGroup();
    this.#notePath(classified);
  }

  /** A portal is about to be executed. */
  noteExecute(classified: Classified): void {
    this.groupWork = true;
    // What it is for says nothing of where names lead.
    if (classified.settings && !classified.statements.every(setsReasonAlone)) this.groupSettings = true;
    this.#notePath(classified);
  }

  /** Names may lead elsewhere after it. */
  #notePath({ statements }: Classified): void {
    if (this.parameters.has('search_path')) return;
    const catalog = this.snapshot();
    const changes = (one: StatementInfo): boolean =>
      (MOVES_PATH.has(one.kind) && !setsReasonAlone(one)) ||
      one.dynamicSettings ||
      one.settings.some(({ name }) => PATH_SETTINGS.has(name)) ||
      one.functions.some((name) => catalog.isUserFunction(name));
    if (statements.some(changes)) this.pathChanges++;
  }

  /** A statement that can change settings has completed: what the session is for may be one of them. */
  noteReason(statement: StatementInfo, tag: string): void {
    const reason = reasonSetBy(statement, tag, this.#reasonAtStart);
    if (reason !== null) this.reason = reason === this.#reasonAtStart ? reason : this.services.masker.string(reason);
  }

  /** The client ends its sync group, and with it what the server holds for it. */
  endGroup(): void {
    this.groupWork = false;
    this.groupSettings = false;
    this.groupParsed = false;
    this.groupBound = false;
  }

  /** Another one after a reload of the policies: what was decided before is decided anew. */
  get classifier(): Classifier {
    const engine = this.services.policy();
    const now = this.services.now();
    if (engine === this.#classifierOf && now < this.#askAgainAt) return this.#classifier;
    const scope = engine.scope(this.principal);
    if (engine !== this.#classifierOf || scope !== this.#scope) this.#classifier = this.#classifierNow();
    this.#classifierOf = engine;
    this.#scope = scope;
    this.#askAgainAt = now + SCOPE_MS;
    return this.#classifier;
  }

  /** The catalog snapshot in force. Throws when there is none: then nothing can be classified. */
  snapshot(): CatalogSnapshot {
    const snapshot = this.catalog.current;
    if (snapshot === null) {
      throw new GatewayError({
        code: 'upstream_lost',
        source: 'gateway',
        phase: 'classify',
        publicMessage: 'the catalog of the target is not known',
      });
    }
    return snapshot;
  }

  /** This session defined something that the catalog as it was read last does not show. */
  get definitionsOpen(): boolean {
    return this.definedInTransaction || !this.catalog.hasRead(this.definedMark);
  }

  /** Whether what the statement reads may be something else than the catalog says: nothing is known of its results then. */
  mayBeRedefined(statement: StatementInfo): boolean {
    if (!this.definitionsOpen) return false;
    // What these run is not in their text.
    if (statement.kind === 'fetch' || statement.kind === 'execute') return true;
    // The server looks in pg_catalog first, and nothing can be defined there.
    return !statement.tables.every(
      ({ schema, name }) => schema === 'pg_catalog' || schema === 'information_schema' || (schema === '' && name.startsWith('pg_')),
    );
  }

  /** Moves what a masking call counted to the operation and to the session. */
  takeCounts(op: PgOperation | null): void {
    for (let i = 0; i < this.counts.length; i++) this.masked[i] = (this.masked[i] ?? 0) + (this.counts[i] ?? 0);
    if (op !== null) op.count(this.counts);
    else this.counts.fill(0);
  }
}
