import type { Principal } from './model.ts';

/** What an identity provider said of how somebody logged in, as policies see it. */
export interface Evidence {
  /** Two kinds of factor at least (PCI DSS 8.5.1), as far as the provider says so. */
  readonly mfa: boolean;
  /** Authentication context class (OpenID Connect Core 2); '' when unknown. */
  readonly acr: string;
  /** Authentication methods (RFC 8176). */
  readonly amr: readonly string[];
  /** When it was, s since the epoch; null when unknown. */
  readonly authTime: number | null;
}

/** Kinds of factor by the names of RFC 8176, and `sms` and `tel`, which prove possession of a number. */
const FACTORS: Readonly<Record<string, 'knowledge' | 'possession' | 'inherence'>> = {
  pwd: 'knowledge',
  pin: 'knowledge',
  kba: 'knowledge',
  otp: 'possession',
  hwk: 'possession',
  swk: 'possession',
  sc: 'possession',
  sms: 'possession',
  tel: 'possession',
  fpt: 'inherence',
  face: 'inherence',
  iris: 'inherence',
  retina: 'inherence',
  vbm: 'inherence',
};

/** @param mfaClasses values of `acr` that stand for several factors with this installation's providers. */
export function evidenceOf({ claims }: Principal, mfaClasses: readonly string[]): Evidence {
  const acr = typeof claims['acr'] === 'string' ? claims['acr'] : '';
  const said = claims['amr'];
  const amr = typeof said === 'string' ? [said] : Array.isArray(said) ? said.filter((one): one is string => typeof one === 'string') : [];
  const kinds = new Set(amr.map((one) => FACTORS[one]).filter((kind) => kind !== undefined));
  const time = claims['auth_time'];
  return {
    mfa: amr.includes('mfa') || kinds.size > 1 || (acr !== '' && mfaClasses.includes(acr)),
    acr,
    amr,
    authTime: typeof time === 'number' && Number.isFinite(time) && time > 0 ? time : null,
  };
}

/** The age of a log-in of which no time is known, s: older than any that a policy takes for fresh. */
export const UNKNOWN_AGE = Number.MAX_SAFE_INTEGER;

/** Seconds since then, up to the next whole minute, so that a decision holds for a minute; UNKNOWN_AGE when unknown. */
export function authAge({ authTime }: Evidence, nowMs: number): number {
  return authTime === null ? UNKNOWN_AGE : Math.max(0, Math.ceil((nowMs / 1000 - authTime) / 60) * 60);
}
