import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type CacheProvider, type Profile, SAML, ValidateInResponseTo } from '@node-saml/node-saml';

import type { SamlProviderConfig } from '../config/model.ts';
import type { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';
import { evidenceOf, groupsOf, nameOf, subjectOf } from './claims.ts';
import { refuse } from './failure.ts';

/** How far clocks may be apart, ms. */
const SKEW_MS = 60_000;
const TRANSIENT = 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient';
const BEARER = 'urn:oasis:names:tc:SAML:2.0:cm:bearer';

export interface SamlAttempt {
  readonly redirectUri: string;
  /** ID of the AuthnRequest, to which the answer must answer. */
  readonly requestId: string;
  /** ms since the epoch. */
  readonly requestedAt: number;
}

/** What a valid assertion said. */
export interface Asserted {
  readonly name: string;
  readonly subject: string;
  readonly groups: readonly string[];
  readonly evidence: Principal['claims'];
  /** With which it counts once. */
  readonly assertionId: string;
  /** Until when it could be presented again, ms since the epoch. */
  readonly presentableUntil: number;
  /** SessionNotOnOrAfter, ms since the epoch. */
  readonly sessionEnd: number | null;
}

/** The web browser SSO profile (SAML 2.0 profiles, 4.1) with one provider: redirect there, signed assertion by POST back. */
export class SamlLogin {
  readonly config: SamlProviderConfig;
  readonly #reserved: ReadonlySet<string>;

  constructor(config: SamlProviderConfig, reserved: ReadonlySet<string>) {
    this.config = config;
    this.#reserved = reserved;
  }

  /** A new request: its URL for a given RelayState, and what to remember. */
  newAttempt(redirectUri: string, now: number): SamlAttempt {
    // An xs:ID does not begin with a digit.
    return { redirectUri, requestId: `_${randomBytes(20).toString('hex')}`, requestedAt: now };
  }

  /** Where to send the browser: an AuthnRequest by the redirect binding. */
  requestUrl(attempt: SamlAttempt, relayState: string): Promise<string> {
    return this.#saml(attempt.redirectUri, noCache, () => attempt.requestId).getAuthorizeUrlAsync(relayState, undefined, {});
  }

  /** Checks an answer (base64, as posted) to `attempt`. Throws `saml_invalid`, `login_denied`, and the errors of names and groups. */
  async check(response: string, attempt: SamlAttempt): Promise<Asserted> {
    const text = Buffer.from(response, 'base64').toString('utf8');
    // A document type can only be there to have the parser do something else than read.
    if (/<!(?:doctype|entity)/i.test(text)) throw invalid('a document type');
    // Signatures on SHA-1 can be made to fit two documents; the library still takes them.
    if (/xmldsig#(?:rsa-|dsa-)?sha1/.test(withoutReferences(text))) throw invalid('a signature on SHA-1');
    const issued = new Date(attempt.requestedAt).toISOString();
    const saml = this.#saml(attempt.redirectUri, {
      saveAsync: async () => null,
      getAsync: async (id) => (id === attempt.requestId ? issued : null),
      removeAsync: async () => null,
    });
    let profile: Profile | null;
    try {
      ({ profile } = await saml.validatePostResponseAsync({ SAMLResponse: response }));
    } catch (error) {
      const { name, message } = error instanceof Error ? error : new Error('not an answer');
      if (name === 'SamlStatusError' || message.startsWith('SAML provider returned')) {
        throw refuse('login_denied', 'the identity provider did not let the log-in pass', { cause: new Error('SAML status') });
      }
      throw invalid(message);
    }
    if (profile === null) throw invalid('no assertion');
    return this.#asserted(profile, attempt);
  }

  /** The library checks signature, audience, times and InResponseTo where they are there; here, that they are there. */
  #asserted(profile: Profile, attempt: SamlAttempt): Asserted {
    const { config } = this;
    if (profile.issuer !== config.idpIssuer) throw invalid('another issuer');
    const assertion = child((profile.getAssertion?.() ?? {}) as Element, 'Assertion');
    const confirmation = all(child(assertion, 'Subject'), 'SubjectConfirmation')
      .filter((element) => attribute(element, 'Method') === BEARER)
      .map((element) => child(element, 'SubjectConfirmationData'))
      .find((data) => attribute(data, 'InResponseTo') === attempt.requestId && attribute(data, 'Recipient') === attempt.redirectUri);
    if (confirmation === undefined) throw invalid('no bearer confirmation for this request and address');
    const until = Date.parse(attribute(confirmation, 'NotOnOrAfter') ?? '');
    if (!Number.isFinite(until)) throw invalid('no end of validity');
    const assertionId = attribute(assertion, 'ID');
    if (assertionId === null) throw invalid('no assertion id');

    const attributes = (profile['attributes'] ?? {}) as Readonly<Record<string, unknown>>;
    const transient = profile.nameIDFormat === TRANSIENT;
    // A transient NameID is another one at each log-in: the name has to come from an attribute, and is all there is.
    if (transient && config.nameAttribute === '') throw refuse('name_missing', 'the identity provider gives only a transient name');
    const name = nameOf(config.nameAttribute === '' ? profile.nameID : attributes[config.nameAttribute], config.nameAttribute || 'NameID');
    const statement = child(assertion, 'AuthnStatement');
    const sessionEnd = Date.parse(attribute(statement, 'SessionNotOnOrAfter') ?? '');
    const instant = Date.parse(attribute(statement, 'AuthnInstant') ?? '');
    const evidence = evidenceOf({
      acr: textOf(child(child(statement, 'AuthnContext'), 'AuthnContextClassRef')),
      auth_time: Number.isFinite(instant) ? Math.floor(instant / 1000) : undefined,
    });
    return {
      name,
      subject: transient ? name : subjectOf(profile.nameID),
      groups: groupsOf(attributes, config.groupsAttribute, this.#reserved),
      evidence,
      assertionId,
      presentableUntil: until + SKEW_MS,
      sessionEnd: Number.isFinite(sessionEnd) ? sessionEnd : null,
    };
  }

  #saml(callbackUrl: string, cacheProvider: CacheProvider, generateUniqueId?: () => string): SAML {
    const { config } = this;
    return new SAML({
      entryPoint: config.entryPoint,
      issuer: config.issuer,
      audience: config.issuer,
      // Read at each use, so that a renewed certificate counts at once.
      idpCert: readFileSync(config.cert, 'utf8'),
      callbackUrl,
      cacheProvider,
      wantAssertionsSigned: true,
      // A signature on the response is checked where there is one; the assertion's own is what counts.
      wantAuthnResponseSigned: false,
      validateInResponseTo: ValidateInResponseTo.always,
      requestIdExpirationPeriodMs: 3_600_000,
      acceptedClockSkewMs: SKEW_MS,
      disableRequestedAuthnContext: true,
      identifierFormat: null,
      ...(generateUniqueId === undefined ? {} : { generateUniqueId }),
    });
  }
}

/** The text with its character references resolved: a parser reads an attribute so, whichever way it is written. */
function withoutReferences(text: string): string {
  return text.replace(/&#(?:x([0-9a-f]{1,6})|(\d{1,7}));/gi, (_, hex: string | undefined, decimal: string | undefined) => {
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : '';
  });
}

const noCache: CacheProvider = { saveAsync: async () => null, getAsync: async () => null, removeAsync: async () => null };

function invalid(why: string): GatewayError {
  return refuse('saml_invalid', 'the answer of the identity provider is not accepted', { cause: new Error(why) });
}

/** An element as the library parses the signed assertion: children by local name in lists, attributes under `$`, text under `_`. */
type Element = Readonly<Record<string, unknown>>;

function all(element: Element, name: string): readonly Element[] {
  const found = element[name];
  const list: readonly unknown[] = Array.isArray(found) ? found : found === undefined ? [] : [found];
  return list.filter((item): item is Element => typeof item === 'object' && item !== null);
}

function child(element: Element, name: string): Element {
  return all(element, name)[0] ?? {};
}

function attribute(element: Element, name: string): string | null {
  const value = child(element, '$')[name];
  return typeof value === 'string' ? value : null;
}

function textOf(element: Element): string | undefined {
  const text = element['_'];
  return typeof text === 'string' ? text : undefined;
}
