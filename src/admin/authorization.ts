import { type AdminAction, adminQuestion, type GrantFacts } from '../policy/admin-vocabulary.ts';
import type { Decision, Principal } from '../policy/model.ts';
import { jsonString } from '../recording/json.ts';
import { Forbidden } from './errors.ts';
import type { Call, Route } from './route.ts';
import type { ApiServices } from './services.ts';

/** The questions that a call may put to policy. Anything but an allow is a refusal. */
export function questions(
  services: ApiServices,
  principal: Principal,
  source: string,
): Pick<Call, 'may' | 'must' | 'mustRequest' | 'mustManageKey'> {
  const decide = (action: Exclude<AdminAction, 'grant.request'>, resource: string): Decision => {
    const { target, operation } = adminQuestion(action, resource);
    return services.policy().decide(principal, target, operation);
  };
  const refuse = (action: AdminAction, resource: string, decision: Exclude<Decision, { kind: 'allow' }>): never => {
    const members = [
      '"kind":"api"',
      `"action":${jsonString(action)}`,
      `"objects":[${resource === '' ? '' : jsonString(`${action} ${resource}`)}]`,
      `"policies":${JSON.stringify(decision.policies)}`,
      `"snapshot":${jsonString(decision.snapshot)}`,
      byMembers(principal, source),
      `"reason":${jsonString(decision.kind === 'deny' ? decision.reason : 'approve')}`,
      `"message":${jsonString(decision.message)}`,
    ];
    services.recorder.append('deny', '', members.join(','));
    throw new Forbidden(decision);
  };
  return {
    may: (action, resource = '') => decide(action, resource).kind === 'allow',
    must(action, resource = '') {
      const decision = decide(action, resource);
      if (decision.kind !== 'allow') refuse(action, resource, decision);
    },
    mustManageKey(groups: readonly string[]) {
      const { target, operation } = adminQuestion('key.manage', '', { groups });
      const decision = services.policy().decide(principal, target, operation);
      if (decision.kind !== 'allow') refuse('key.manage', '', decision);
    },
    mustRequest(resource: string, facts: GrantFacts) {
      const { target, operation } = adminQuestion('grant.request', resource, facts);
      const decision = services.policy().decide(principal, target, operation);
      // One that people have to decide on may be made: it waits for them.
      if (decision.kind === 'deny') refuse('grant.request', resource, decision);
    },
  };
}

/** Who did it, as members of a record line. */
export function byMembers(principal: Principal, source: string): string {
  const { name, issuer, subject } = principal;
  return `"by":${JSON.stringify({ name, issuer, subject, credential: principal.credential.id })},"source":${jsonString(source)}`;
}

/**
 * Notes who asks for a change, by which credential and from where (PCI DSS 10.2.2); the lines after it say what came of that. Whether
 * the record takes it is for the change to decide: a session may be ended even then.
 */
export function noteRequest(services: ApiServices, route: Route, call: Call): void {
  const of = Object.fromEntries(Object.entries(call.params).map(([name, value]) => [name, services.mask(value)]));
  const members = `"event":"api.request","operation":${jsonString(route.id)},"of":${JSON.stringify(of)}`;
  try {
    services.recorder.append('config', '', `${members},${byMembers(call.principal, call.request.source)}`);
  } catch (error) {
    services.log.error('a request to the API could not be recorded', { operation: route.id, error: String(error) });
  }
}

/** Resolves once everything recorded so far is on disk: what a change is answered with only then. */
export function recorded(services: ApiServices): Promise<void> {
  return new Promise((resolve, reject) => {
    services.recorder.whenRecorded({ onRecorded: (error) => (error === null ? resolve() : reject(error)) });
  });
}
