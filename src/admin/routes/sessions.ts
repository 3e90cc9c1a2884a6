import type { LiveSession } from '../../access/model.ts';
import type { Principal } from '../../policy/model.ts';
import { refuse } from '../errors.ts';
import { json } from '../http.ts';
import type { Route } from '../route.ts';
import { boolean, list, object } from '../schema.ts';
import { liveSessionSchema } from '../shapes.ts';
import { reasonSchema } from './approvals.ts';

export const sessionRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/api/v1/sessions',
    id: 'listSessions',
    summary: 'Open sessions of this gateway, oldest first: your own, and with session.list all',
    access: 'session.list',
    own: true,
    replies: { 200: { description: 'the sessions', schema: object({ sessions: list(liveSessionSchema) }) } },
    handle(call) {
      const seen = call.services.access.live
        .list()
        .filter((session) => isOwn(call.principal, session) || call.may('session.list', session.target.resource));
      return json(200, { sessions: seen.map(view).sort((a, b) => a.startedAt - b.startedAt) });
    },
  },
  {
    method: 'POST',
    path: '/api/v1/sessions/{sid}/kill',
    id: 'killSession',
    summary: 'Ends a session, on whichever gateway it is, with an error in its own protocol; your own at any time',
    access: 'session.kill',
    own: true,
    body: object({ reason: reasonSchema }, ['reason']),
    replies: { 200: { description: 'it was told to end', schema: object({ killed: boolean }) } },
    async handle(call) {
      const { reason = '' } = call.body as { readonly reason?: string };
      const { access, mask } = call.services;
      const sid = call.params['sid'] ?? '';
      const session = access.live.list().find((one) => one.sid === sid);
      // One of another gateway: whose it is cannot be told here.
      if (session === undefined || !isOwn(call.principal, session)) call.must('session.kill', session?.target.resource ?? '');
      if (!(await access.live.kill(sid, call.principal, mask(reason))))
        throw refuse('not_found', 'no gateway has an open session of that id');
      return json(200, { killed: true });
    },
  },
];

function isOwn(principal: Principal, session: LiveSession): boolean {
  return session.principal.issuer === principal.issuer && session.principal.subject === principal.subject;
}

function view(session: LiveSession) {
  const { principal, target } = session;
  return {
    sid: session.sid,
    protocol: session.protocol,
    user: principal.name,
    issuer: principal.issuer,
    kind: principal.kind,
    groups: principal.groups,
    resource: target.resource,
    account: target.account,
    source: session.source,
    startedAt: Math.round(session.startedAt),
    busy: session.busy,
    operations: session.operations,
    denied: session.denied,
    masked: session.masked,
    grants: session.grants,
  };
}
