import { analyzeSql, fingerprintSql } from '../../../native/binding/index.js';
import type { Resource } from '../../config/model.ts';
import { GatewayError } from '../../errors.ts';
import type { ExplainRequest, Explanation } from '../explain.ts';
import { analysisOf, type StatementInfo, type TableUse } from './analysis.ts';
import { Catalog, type CatalogSnapshot } from './catalog.ts';
import { CatalogClient } from './catalog-client.ts';
import { type Classified, Classifier } from './classifier.ts';
import { maskLiterals } from './literals.ts';
import { operationOf } from './policy-operation.ts';
import { type ColumnMask, maskFor } from './reply-plan.ts';
import { PINNED_SETTINGS } from './settings.ts';

const HOW: Readonly<Record<ColumnMask, string>> = {
  pan: 'all but the last digits',
  sad: 'whole, never revealed',
  whole: 'whole',
  scan: 'where patterns find something',
  none: 'not at all',
};

/** One name of each class, for the columns that a table may have and nobody named. */
const WELL_KNOWN = ['pan', 'cvv', 'expiry'] as const;

/** Decides on a statement as a session would, with the catalog of the target where it can be had. */
export async function explainStatement(request: ExplainRequest): Promise<Explanation> {
  const notes: string[] = [];
  const text = Buffer.from(request.text);
  const catalog = await catalogOf(request, text, notes);
  try {
    const snapshot = await catalog.fresh();
    const classifier = new Classifier(
      request.policy,
      request.principal,
      request.target,
      null,
      (words) => words,
      request.resource.computed === 'deny',
    );
    const classified = classifier.classify(text, 0, text.length, snapshot);
    const objects = classified.statements.flatMap((statement) => operationOf(statement).objects);
    if (classified.statements.some((statement) => ['execute', 'fetch'].includes(statement.kind)))
      notes.push('what EXECUTE and FETCH run is known only in the session that prepared it');
    return {
      decision: classified.decision,
      action: classified.action,
      fingerprint: fingerprintSql(text, 0, text.length),
      objects: [...new Set(objects.map((object) => `${object.action} ${object.path}`))],
      masked: classified.decision.kind === 'deny' ? [] : maskedColumns(classifier, classified, snapshot),
      notes,
    };
  } finally {
    catalog.close();
  }
}

function maskedColumns(classifier: Classifier, classified: Classified, snapshot: CatalogSnapshot): Explanation['masked'] {
  const masked = new Map<string, string>();
  const { statements } = classifier.lineage(classified, snapshot);
  statements.forEach(({ outputs }, i) => {
    for (const { name, protect, direct, star } of outputs) {
      if (star) for (const [column, how] of columnsBehindStar(classified.statements[i], snapshot)) masked.set(column, how);
      else if (protect !== null) masked.set(name, HOW[maskFor(protect === 'unknown' ? 'unknown' : (protect as 'pan'), !direct)]);
    }
  });
  return [...masked].map(([name, how]) => ({ name, how }));
}

function columnsBehindStar(statement: StatementInfo | undefined, snapshot: CatalogSnapshot): [string, string][] {
  return (statement?.tables ?? []).flatMap(({ schema, name }) => {
    const columns = snapshot.columnsOf(schema, name);
    if (columns === null) return [[`${name}.*`, 'every column whose origin is not certain: whole'] as [string, string]];
    return columns
      .filter((column) => column.protect !== null)
      .map((column): [string, string] => [column.name, HOW[maskFor(column.protect, false)]]);
  });
}

async function catalogOf(request: ExplainRequest, text: Buffer, notes: string[]): Promise<Catalog> {
  const { resource } = request;
  if (!request.offline) {
    const [account] = resource.accounts.values();
    try {
      const client = new CatalogClient({
        resource,
        user: account?.user ?? '',
        password: account === undefined ? '' : request.secret(account.password),
        settings: new Map([...PINNED_SETTINGS, ['application_name', 'sluice:explain'], ['search_path', '']]),
        timeoutMs: request.timeoutMs,
      });
      const catalog = new Catalog(client, resource.protect, () => performance.now());
      try {
        await catalog.fresh();
        return catalog;
      } catch (error) {
        catalog.close();
        throw error;
      }
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      notes.push(`the target was not asked: ${error.publicMessage}`);
    }
  }
  notes.push(
    'without the catalog of the target only configured columns and well-known names are known; views and functions are not, and an output whose origin is uncertain counts as masked',
  );
  if (hasStar(text))
    notes.push(
      `which columns * stands for cannot be told without the target: ${WELL_KNOWN.join(', ')} stand for all well-known names, which are masked where the tables have them; of columns that are not named here what patterns find`,
    );
  return new Catalog({ query: offlineRows(resource, text), close: () => {} }, resource.protect, () => 0);
}

/** Stands in for the target: the tables of the configuration and of the statement, with the columns that either names. */
function offlineRows(resource: Resource, text: Buffer): (query: string) => Promise<(string | null)[][]> {
  const tables = new Map<string, Set<string>>();
  const columnsOf = (table: string): Set<string> => {
    const known = tables.get(table) ?? new Set<string>();
    tables.set(table, known);
    return known;
  };
  for (const path of resource.protect.keys()) {
    const [schema = '', table = '', ...column] = path.split('.');
    columnsOf(`${schema}.${table}`).add(column.join('.'));
  }
  // Which table a word belongs to is not known, and whether it is a column at all: it may be one of each.
  const words = wordsOf(text);
  for (const { schema, name } of tablesOf(text)) {
    const columns = columnsOf(`${schema === '' ? 'public' : schema}.${name}`);
    for (const word of words) columns.add(word);
    if (hasStar(text)) for (const column of WELL_KNOWN) columns.add(column);
  }
  const rows = [...tables].flatMap(([path, columns], t) => {
    const dot = path.indexOf('.');
    return [...columns].map((column, c) => [String(t + 1), path.slice(0, dot), path.slice(dot + 1), 'r', String(c + 1), column, '25', '']);
  });
  return (query) => Promise.resolve(query.includes('a.attname') ? rows : []);
}

/** The identifiers and keywords of a text. */
function wordsOf(text: Buffer): string[] {
  return (
    withoutLiterals(text)
      .toLowerCase()
      .match(/[a-z_][a-z0-9_$]*/g) ?? []
  );
}

/** Whether all columns of a table are asked for by a star, and not something multiplied or counted. */
function hasStar(text: Buffer): boolean {
  return /(?:[\s,.]|^)\*\s*(?:,|;|from\b|$)/i.test(withoutLiterals(text));
}

function withoutLiterals(text: Buffer): string {
  const copy = Buffer.from(text);
  maskLiterals(copy);
  return copy.toString('utf8');
}

function tablesOf(text: Buffer): readonly TableUse[] {
  const analysis = analysisOf(analyzeSql(text, 0, text.length));
  return analysis.error === undefined ? analysis.statements.flatMap((statement) => statement.tables) : [];
}
