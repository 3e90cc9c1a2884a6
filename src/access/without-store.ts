import { GatewayError } from '../errors.ts';
import { LocalAlertLog } from './alert-log.ts';
import type { Access, Events, LiveSessions } from './model.ts';

/** Access of a gateway that has neither API nor shared store: nobody could decide, so what needs a decision is refused. */
export function accessWithoutStore(live: LiveSessions, events: Events): Access {
  const refuse = (): Promise<never> =>
    Promise.reject(
      new GatewayError({
        code: 'store_unavailable',
        source: 'gateway',
        phase: 'decide',
        publicMessage: 'this gateway has no API listener, so nobody could decide',
        hint: 'whoever runs the gateway can add https: host:port to its listeners',
      }),
    );
  const none = (): Promise<readonly never[]> => Promise.resolve([]);
  return {
    approvals: { ask: refuse, claim: () => Promise.resolve(null), decide: refuse, get: () => Promise.resolve(null), list: none },
    grants: {
      request: refuse,
      decide: refuse,
      revoke: refuse,
      list: none,
      get: () => Promise.resolve(null),
      groupsOf: () => [],
      used: () => {},
    },
    revocations: { check: () => {}, revokeUser: refuse, revokeCredential: refuse, restoreUser: refuse, list: none },
    live,
    events,
    alerts: new LocalAlertLog(events),
  };
}
