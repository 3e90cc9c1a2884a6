import type { SessionView } from '../../access/model.ts';
import type { Principal } from '../../policy/model.ts';
import { refuse } from '../errors.ts';
import { json } from '../http.ts';
import type { Route } from '../route.ts';
import { boolean, list, object, strings } from '../schema.ts';
import { liveSessionSchema } from '../shapes.ts';
import { reasonSchema } from './approvals.ts';

export const sessionRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/api/v1/sessions',
    id: 'listSessions',
    summary:
      'Open sessions of all gateways, oldest first: your own, and with session.list all. complete is false when a gateway was not heard',
    access: 'session.list',
    own: true,
    replies: {
      200: { description: 'the sessions', schema: object({ sessions: list(liveSessionSchema), complete: boolean, silent: strings }) },
    },
    async handle(call) {
      const all = await call.services.access.live.listAll();
      const seen = all.sessions.filter((session) => isOwn(call.principal, session) || call.may('session.list', session.resource));
      return json(200, { ...all, sessions: seen.sort((a, b) => a.startedAt - b.startedAt) });
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
      const session = await access.live.find(sid);
      // One that no gateway has shown is nobody's, and on no resource that policy could be asked of: it is not ended either.
      if (session === null) throw notFound();
      if (!isOwn(call.principal, session)) call.must('session.kill', session.resource);
      if (!(await access.live.kill(sid, call.principal, mask(reason), session.resource))) throw notFound();
      return json(200, { killed: true });
    },
  },
];

function notFound(): Error {
  return refuse('not_found', 'no gateway that answers has an open session of that id');
}

function isOwn(principal: Principal, session: SessionView): boolean {
  return session.issuer === principal.issuer && session.subject === principal.subject;
}
