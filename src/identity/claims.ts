import type { Principal } from '../policy/model.ts';
import { notAccepted, refuse } from './failure.ts';
import { isUserName } from './local-token.ts';

/** What claims of OIDC and attributes of SAML say about who someone is. Everything here is checked already to be the provider's word. */

type Claims = Readonly<Record<string, unknown>>;

const MAX_GROUPS = 1000;
const MAX_GROUP_LENGTH = 256;
const MAX_SUBJECT_LENGTH = 255;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f]/;

/** The login name. Throws `name_missing`, `name_unusable`. */
export function nameOf(value: unknown, claim: string): string {
  const name = Array.isArray(value) ? (value as unknown[])[0] : value;
  if (typeof name !== 'string' || name === '') {
    throw refuse('name_missing', `the identity provider gives no ${claim}`, { hint: 'the operator may choose another claim for the name' });
  }
  if (!isUserName(name)) {
    throw refuse('name_unusable', 'the name that the identity provider gives cannot be a login name', {
      hint: 'letters, digits and _ . @ : -, up to 128, and not identity-provider; the operator may choose another claim',
    });
  }
  return name;
}

/** `sub`, with which the issuer names one person for ever. */
export function subjectOf(value: unknown): string {
  if (typeof value !== 'string' || value === '' || value.length > MAX_SUBJECT_LENGTH || CONTROL.test(value)) {
    throw notAccepted('token_malformed', new Error('no usable subject'));
  }
  return value;
}

/**
 * Groups: a list, or a text with spaces or commas between them. Names that only grants give (`reserved`) are left out: a group of
 * that name at the provider must not be worth a grant. What cannot be read is refused and not left out, since a policy may forbid
 * by group as well.
 */
export function groupsOf(claims: Claims, claim: string, reserved: ReadonlySet<string>): readonly string[] {
  const value = claims[claim];
  // Some providers send a reference in place of a long list (OpenID Connect Core 5.6.2, distributed claims).
  const elsewhere = claims['_claim_names'];
  if (value === undefined || value === null) {
    if (typeof elsewhere === 'object' && elsewhere !== null && claim in elsewhere) {
      throw refuse('groups_missing', 'the identity provider does not put the groups into the token', {
        hint: 'limit at the provider which groups the token names',
      });
    }
    return [];
  }
  const names: readonly unknown[] =
    typeof value === 'string' ? value.split(/[\s,]+/).filter((name) => name !== '') : Array.isArray(value) ? value : [value];
  if (names.length > MAX_GROUPS) throw refuse('groups_unusable', `the identity provider names more than ${MAX_GROUPS} groups`);
  const groups = new Set<string>();
  for (const name of names) {
    if (typeof name !== 'string' || name === '' || name.length > MAX_GROUP_LENGTH || CONTROL.test(name)) {
      throw refuse('groups_unusable', 'a group that the identity provider names cannot be used');
    }
    if (!reserved.has(name)) groups.add(name);
  }
  return [...groups];
}

/** How the person proved to be it (OpenID Connect Core 2, RFC 8176), as far as the provider says: evidence of MFA. */
export function evidenceOf(claims: Claims): Principal['claims'] {
  const evidence: Record<string, string | number | readonly string[]> = {};
  const { acr, amr, auth_time: authTime } = claims as { acr?: unknown; amr?: unknown; auth_time?: unknown };
  if (isShort(acr)) evidence['acr'] = acr;
  if (Array.isArray(amr) && amr.length <= 20 && amr.every(isShort)) evidence['amr'] = [...(amr as readonly string[])];
  // Some providers give the only one as a text.
  else if (isShort(amr)) evidence['amr'] = [amr];
  if (typeof authTime === 'number' && Number.isSafeInteger(authTime) && authTime > 0) evidence['auth_time'] = authTime;
  return evidence;
}

export function isShort(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= 255 && !CONTROL.test(value);
}
