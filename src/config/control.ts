import { isIP } from 'node:net';
import type { ReadingContext } from './context.ts';

import { readCertificates } from './files.ts';
import type { AccessConfig, AddressRange, Config, IdentityConfig, OidcProviderConfig, SamlProviderConfig, WebhookConfig } from './model.ts';
import type { Place } from './reader.ts';
import { isReference, secret } from './secrets.ts';
import { parseDuration } from './values.ts';

/** The settings of identity, access and the control store: everything beside the data path. */

type Context = Pick<ReadingContext, 'absolute' | 'secrets' | 'warn'>;

const namePattern = /^[a-z0-9][a-z0-9-]{0,39}$/;
/** What a provider may sign with. `none` and shared keys (HS256 ...) are never accepted: with them who verifies could sign. */
const signatureAlgorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const;
const MAX_SECONDS = 366 * 86_400;

export function readStore(place: Place, context: Context): string {
  const text = place.text('embedded');
  if (!place.present || text === 'embedded') return text;
  if (isReference(text)) checkReference(place, text, context);
  else if (!/^[a-z]+:\/\//.test(text)) place.problem('is not a store; write embedded, a connection URL, or env:NAME that holds one');
  else if (/^[a-z]+:\/\/[^/@]*:[^/@]+@/.test(text))
    context.warn(place, 'the password stands in the file itself; write env:NAME or file:PATH');
  return text;
}

export function readIdentity(place: Place, context: Context): IdentityConfig {
  const f = place.fields(['oidc', 'saml', 'mfa_classes', 'token_ttl', 'idle']);
  const oidc = f.oidc.items().map((item) => readOidc(item, context));
  const saml = f.saml.items().map((item) => readSaml(item, context));
  const names = new Set<string>();
  for (const [i, { name }] of [...oidc, ...saml].entries()) {
    if (names.has(name)) (i < oidc.length ? f.oidc : f.saml).problem(`the name ${name} is taken by an earlier provider`);
    names.add(name);
  }
  return {
    oidc,
    saml,
    mfaClasses: f.mfa_classes.items().map((item) => item.text()),
    tokenSeconds: seconds(f.token_ttl, 8 * 3600) ?? 8 * 3600,
    idleSeconds: seconds(f.idle, 15 * 60, 'never') ?? 0,
  };
}

function readOidc(place: Place, context: Context): OidcProviderConfig {
  const f = place.fields(
    [
      'name',
      'issuer',
      'client_id',
      'client_secret',
      'audiences',
      'login',
      'tokens',
      'name_claim',
      'groups_claim',
      'scopes',
      'algorithms',
      'ca',
    ],
    ['name', 'issuer', 'client_id'],
  );
  const algorithms = f.algorithms.items().map((item) => item.oneOf(signatureAlgorithms, 'RS256'));
  const scopes = f.scopes.items().map((item) => item.text());
  const tokens = f.tokens.oneOf(['none', 'user', 'service'], 'none');
  return {
    name: readName(f.name),
    issuer: f.issuer.parsed(secureUrl, 'an https URL (http only on loopback)', ''),
    clientId: f.client_id.text(),
    clientSecret: f.client_secret.present && !f.client_secret.isNull ? readReference(f.client_secret, context) : null,
    audiences: f.audiences.items().map((item) => item.text()),
    login: f.login.boolean(true),
    tokens: tokens === 'none' ? null : tokens,
    nameClaim: f.name_claim.text('preferred_username'),
    groupsClaim: f.groups_claim.text('groups'),
    scopes: scopes.length > 0 ? scopes : ['openid', 'profile', 'email'],
    algorithms: algorithms.length > 0 ? algorithms : ['RS256', 'PS256', 'ES256', 'EdDSA'],
    ca: readCertificates(f.ca, context),
  };
}

function readSaml(place: Place, context: Context): SamlProviderConfig {
  const f = place.fields(
    ['name', 'entry_point', 'idp_issuer', 'issuer', 'cert', 'name_attribute', 'groups_attribute'],
    ['name', 'entry_point', 'idp_issuer', 'cert'],
  );
  return {
    name: readName(f.name),
    entryPoint: f.entry_point.parsed(secureUrl, 'an https URL (http only on loopback)', ''),
    idpIssuer: f.idp_issuer.text(),
    issuer: f.issuer.text('sluice'),
    cert: readCertificates(f.cert, context) ?? '',
    nameAttribute: f.name_attribute.present && !f.name_attribute.isNull ? f.name_attribute.text() : '',
    groupsAttribute: f.groups_attribute.text('groups'),
  };
}

export function readAccess(place: Place, context: Context): AccessConfig {
  const f = place.fields(['approvals', 'grants', 'alerts']);
  const approvals = f.approvals.fields(['timeout', 'in_transaction', 'retry_window', 'webhook']);
  const grants = f.grants.fields(['max', 'break_glass_groups']);
  const alerts = f.alerts.fields(['webhook', 'cards', 'denials', 'failed_logins', 'window', 'hours']);
  const range = { min: 0, max: 1_000_000_000 };
  return {
    approvals: {
      timeoutSeconds: seconds(approvals.timeout, 15 * 60, 'none'),
      inTransaction: approvals.in_transaction.oneOf(['retry', 'wait'], 'retry'),
      retrySeconds: seconds(approvals.retry_window, 15 * 60) ?? 0,
      webhook: readWebhook(approvals.webhook, context),
    },
    grants: {
      maxSeconds: seconds(grants.max, 12 * 3600) ?? 0,
      breakGlassGroups: grants.break_glass_groups.items().map((item) => item.text()),
    },
    alerts: {
      webhook: readWebhook(alerts.webhook, context),
      cards: alerts.cards.integer(range, 1000),
      denials: alerts.denials.integer(range, 20),
      failedLogins: alerts.failed_logins.integer(range, 10),
      windowSeconds: seconds(alerts.window, 5 * 60) ?? 300,
      hours: readHours(alerts.hours),
    },
  };
}

/** `listeners.https` and `api`. */
export function readApi(place: Place, address: Config['listeners'][string] | undefined): Config['api'] {
  const f = place.fields(['url', 'trusted_proxies']);
  if (address === undefined) {
    for (const given of [f.url, f.trusted_proxies])
      if (given.present) given.problem('there is no API to reach; add https: host:port to listeners');
    return null;
  }
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  const url = f.url.parsed(secureUrl, 'an https URL', `https://${host}:${address.port}`);
  const trustedProxies = f.trusted_proxies
    .items()
    .flatMap((item) => item.parsed(addressRange, 'an address or a network of proxies; write e.g. 10.0.0.7 or 10.0.0.0/24', null) ?? []);
  return { address, url: url.replace(/\/+$/, ''), trustedProxies };
}

/** `address` or `address/prefix`. A prefix of no bits would believe everybody, and is none. */
function addressRange(text: string): AddressRange | null {
  const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const version = isIP(address);
  if (version === 0) return null;
  const most = version === 6 ? 128 : 32;
  const prefix = bits === undefined ? most : Number(bits);
  return prefix >= 1 && prefix <= most ? { address, prefix, family: version === 6 ? 'ipv6' : 'ipv4' } : null;
}

function readHours(place: Place): AccessConfig['alerts']['hours'] {
  if (!place.present || place.isNull) return null;
  const f = place.fields(['from', 'to', 'weekends'], ['from', 'to']);
  const hours = {
    from: f.from.integer({ min: 0, max: 23 }, 0),
    to: f.to.integer({ min: 1, max: 24 }, 24),
    weekends: f.weekends.boolean(false),
  };
  if (hours.from >= hours.to) f.to.problem('is not after from; write the hours of one day in UTC');
  return hours;
}

function readWebhook(place: Place, context: Context): WebhookConfig | null {
  if (!place.present || place.isNull) return null;
  const f = place.fields(['url', 'secret'], ['url', 'secret']);
  return { url: f.url.parsed(secureUrl, 'an https URL (http only on loopback)', ''), secret: readReference(f.secret, context) };
}

function readName(place: Place): string {
  return place.parsed((text) => (namePattern.test(text) ? text : null), 'a usable name; write lower-case letters, digits and -', '');
}

function readReference(place: Place, context: Context): string {
  const text = place.text();
  if (text === '') return text;
  if (!isReference(text)) context.warn(place, 'the secret stands in the file itself; write env:NAME or file:PATH');
  checkReference(place, text, context);
  return text;
}

/** Reports by reference, never by content. */
function checkReference(place: Place, reference: string, context: Context): void {
  if (context.secrets === null) return;
  try {
    secret(reference, context.secrets);
  } catch (error) {
    place.problem(error instanceof Error ? error.message.replace(/^secret_missing: /, '') : 'the secret cannot be read');
  }
}

/** Seconds of a duration such as 15m; null for the word that means without end. */
function seconds(place: Place, fallback: number, endless?: string): number | null {
  if (!place.present) return fallback;
  const text = place.text();
  if (text === '') return fallback;
  if (text === endless) return null;
  const ms = parseDuration(text);
  if (ms !== null && ms / 1000 <= MAX_SECONDS) return ms / 1000;
  place.problem(`"${text}" is not a duration up to 366d; write e.g. 15m or 8h${endless === undefined ? '' : `, or ${endless}`}`);
  return fallback;
}

function secureUrl(text: string): string | null {
  if (!URL.canParse(text)) return null;
  const { protocol, hostname, username } = new URL(text);
  const loopback = hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');
  return username === '' && (protocol === 'https:' || (protocol === 'http:' && loopback)) ? text : null;
}
