import { randomBytes } from 'node:crypto';
import type { Decision, Refusal } from '../../policy/model.ts';
import type { Ruling } from './approval-gate.ts';
import { errorResponse, Front, message } from './messages.ts';

/**
 * Denying by substitution: in place of what is denied the server gets something that it rejects by itself and that carries a
 * nonce. So skipping until Sync, the state of the transaction and the order of replies stay the server's own. The error that
 * comes back with the nonce is replaced by ours.
 */
export function newNonce(): string {
  return `sluice_denied_${randomBytes(9).toString('hex')}`;
}

/** In place of Query (and FunctionCall): a syntax error. */
export const deniedQuery = (nonce: string): Buffer => message(Front.Query, `${nonce}\0`);
/** In place of Parse: a syntax error. Under the same name, so that the server's unnamed statement is dropped only where it would be. */
export const deniedParse = (name: string, nonce: string): Buffer => message(Front.Parse, `${name}\0${nonce}\0\0\0`);
/** In place of Bind: a prepared statement that does not exist (26000). */
export const deniedBind = (nonce: string): Buffer => message(Front.Bind, `\0${nonce}\0\0\0\0\0\0\0`);
/** In place of Execute: a portal that does not exist (34000). */
export const deniedExecute = (nonce: string): Buffer => message(Front.Execute, `${nonce}\0\0\0\0\0`);

/** The client's answer. */
export function denialResponse(decision: Refusal): Buffer {
  // The engine's own messages name the policies already.
  const named = decision.policies.every((id) => decision.message.includes(id));
  const by = !named ? ` by policy ${decision.policies.map((id) => `"${id}"`).join(', ')}` : '';
  return errorResponse({
    severity: 'ERROR',
    code:
      decision.kind === 'approve'
        ? '42501'
        : decision.reason === 'unparsed'
          ? '42601'
          : decision.reason === 'unsupported'
            ? '0A000'
            : '42501',
    message: `denied${by}: ${decision.message}`,
    hint: decision.hint,
    position: decision.kind === 'deny' ? decision.position : undefined,
  });
}

/** What is refused, and what its client gets; null when it may pass. @param runsNothing what needs approval may pass without it. */
export function refusalIn(
  decision: Decision,
  ruling: Ruling | null,
  runsNothing: boolean,
): { decision: Refusal; substitute: Buffer } | null {
  if (ruling !== null) return ruling.kind === 'deny' ? ruling : null;
  if (decision.kind === 'allow' || (decision.kind === 'approve' && runsNothing)) return null;
  return { decision, substitute: denialResponse(decision) };
}
