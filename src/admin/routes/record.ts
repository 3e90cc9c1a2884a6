import { join } from 'node:path';

import { jsonString } from '../../recording/json.ts';
import type { SearchQuery } from '../../recording/search.ts';
import { byMembers, recorded } from '../authorization.ts';
import { refuse } from '../errors.ts';
import { json } from '../http.ts';
import { RecordReader } from '../record-query.ts';
import type { Call, Route } from '../route.ts';
import { boolean, integer, list, object, oneOf, type Schema, string, strings, text } from '../schema.ts';

const counts: Schema = { type: 'object', additionalProperties: integer };
const limit: Schema = { type: 'integer', minimum: 1, maximum: 1000, default: 200 };
const when: Schema = {
  type: 'string',
  pattern: '^\\d{4}(-\\d\\d(-\\d\\d(T[\\d:.]*Z?)?)?)?$',
  description: 'UTC, e.g. 2026-02-28 or 2026-02-28T13:00',
};

const summarySchema: Schema = {
  ...object({
    sid: string,
    protocol: string,
    principal: string,
    source: string,
    resource: string,
    account: string,
    start: string,
    end: string,
    reason: string,
    state: oneOf('ended', 'open', 'incomplete'),
    ops: integer,
    denied: integer,
    masked: counts,
  }),
  additionalProperties: true,
};

const operationSchema: Schema = {
  ...object({
    seq: integer,
    t: string,
    kind: string,
    action: string,
    text: string,
    params: { type: 'array' },
    objects: strings,
    policies: strings,
    status: string,
    code: string,
    tag: string,
    rows: integer,
    bytes: integer,
    us: integer,
    masked: counts,
    reason: string,
    message: string,
  }),
  additionalProperties: true,
};

const matchSchema: Schema = {
  ...object({ sid: string, seq: integer, t: string, principal: string, resource: string, denied: boolean, text: string }),
  additionalProperties: true,
};

/** The record as it is on disk. Each reading is itself recorded before anything is shown. */
export function recordRoutes(): readonly Route[] {
  const reader = new RecordReader();
  return [
    {
      method: 'GET',
      path: '/api/v1/record/sessions',
      id: 'listRecordedSessions',
      summary: 'Recorded sessions of this gateway, newest first',
      access: 'record.read',
      query: { limit },
      replies: { 200: { description: 'the sessions', schema: object({ sessions: list(summarySchema) }) } },
      async handle(call) {
        await note(call, 'sessions ls', []);
        const sessions = await reader.ask({ kind: 'sessions', path: pathOf(call), limit: Number(call.query['limit'] ?? 200) });
        return json(200, { sessions: sessions.map(withoutPath) });
      },
    },
    {
      method: 'GET',
      path: '/api/v1/record/sessions/{sid}',
      id: 'showRecordedSession',
      summary: 'One recorded session with its operations and their outcomes',
      access: 'record.read',
      replies: { 200: { description: 'the session', schema: object({ session: summarySchema, operations: list(operationSchema) }) } },
      async handle(call) {
        const sid = call.params['sid'] ?? '';
        await note(call, 'sessions show', [sid]);
        const detail = await reader.ask({ kind: 'session', path: pathOf(call), sid });
        if (detail === null) throw refuse('not_found', 'the record holds no such session');
        return json(200, { session: withoutPath(detail.session), operations: detail.operations });
      },
    },
    {
      method: 'GET',
      path: '/api/v1/record/search',
      id: 'searchRecord',
      summary: 'Operations by their text, who ran them, what they touched and when',
      access: 'record.read',
      query: { text: text(500), user: text(128), object: text(500), since: when, until: when, limit },
      replies: {
        200: {
          description: 'the operations; `more` when there are further ones',
          schema: object({ matches: list(matchSchema), more: boolean }),
        },
      },
      async handle(call) {
        const { text: wanted, user, object: touched, since, until } = call.query;
        const query: SearchQuery = {
          ...(wanted === undefined ? {} : { text: wanted }),
          ...(user === undefined ? {} : { principal: user }),
          ...(touched === undefined ? {} : { object: touched }),
          ...(since === undefined ? {} : { since }),
          ...(until === undefined ? {} : { until }),
        };
        await note(
          call,
          'sessions search',
          Object.entries(query).map(([name, value]) => `${name}=${value}`),
        );
        return json(200, await reader.ask({ kind: 'search', path: pathOf(call), query, limit: Number(call.query['limit'] ?? 200) }));
      },
    },
  ];
}

function pathOf(call: Call): string {
  return join(call.services.config.gateway.dataDir, 'record');
}

async function note(call: Call, command: string, args: readonly string[]): Promise<void> {
  const { recorder, mask } = call.services;
  const by = byMembers(call.principal, call.request.source);
  recorder.append(
    'read',
    '',
    `"command":${jsonString(command)},"args":${JSON.stringify(args.map(mask))},"user":${jsonString(call.principal.name)},"via":"api",${by}`,
  );
  await recorded(call.services);
}

/** Where the files are is no business of a reader. */
function withoutPath<T extends { readonly chain: string }>(session: T): Omit<T, 'chain'> {
  const { chain: _, ...rest } = session;
  return rest;
}
