import type { KnownProtocols, ReadingContext } from './context.ts';
import { readCertificates } from './files.ts';
import type { Account, ListenAddress, ProtectClass, Resource } from './model.ts';
import type { Place } from './reader.ts';
import { isReference, secret } from './secrets.ts';
import { nearest, parseAddress } from './values.ts';

/** The one listener that is no protocol's: API and pages. */
const apiListener = 'https';

/** `+` splits an account from a user name, `/` a path from a resource: neither may be in a name. */
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;
const protectClasses: readonly ProtectClass[] = ['pan', 'sad', 'name', 'expiry', 'secret'];

export function readListeners(place: Place, protocols: KnownProtocols): Record<string, ListenAddress> {
  const listeners: Record<string, ListenAddress> = {};
  for (const { key, keyPlace, value } of place.entries()) {
    if (key !== apiListener && !protocols.has(key)) keyPlace.problem(unknownProtocol(key, protocols));
    else listeners[key] = value.parsed((text) => parseAddress(text), 'an address; write host:port', { host: '127.0.0.1', port: 0 });
  }
  return listeners;
}

export function readResources(place: Place, context: ReadingContext): Resource[] {
  const resources: Resource[] = [];
  for (const item of place.items()) {
    const resource = readResource(item, context);
    if (resources.some((other) => other.name !== '' && other.name === resource.name))
      item.problem(`the name ${resource.name} is taken by an earlier resource`);
    resources.push(resource);
  }
  return resources;
}

function readResource(place: Place, context: ReadingContext): Resource {
  const f = place.fields(
    ['name', 'kind', 'address', 'database', 'tls', 'ca', 'accounts', 'protect'],
    ['name', 'kind', 'address', 'accounts'],
  );
  const name = f.name.parsed(resourceName, 'a usable name; write letters, digits, - _ or .', '');
  const kind = f.kind.text();
  const protocol = context.protocols.get(kind);
  if (f.kind.present && protocol === undefined) f.kind.problem(unknownProtocol(kind, context.protocols));
  const { host, port } = f.address.parsed((text) => parseAddress(text, protocol?.defaultPort), 'an address; write host:port', {
    host: '',
    port: 0,
  });
  if (f.address.present && host !== '' && port === 0) f.address.problem('port 0 cannot be connected to');
  const tls = f.tls.oneOf(['verify-full', 'require', 'disable'], 'verify-full');
  if (tls === 'disable' && host !== '' && !isLoopback(host)) context.warn(f.tls, 'traffic to the resource is in the clear');
  if (tls === 'require') context.warn(f.tls, "the resource's certificate is not verified");
  const ca = readCertificates(f.ca, context);
  const protect = f.protect.fields(['columns', 'computed']);
  return {
    name,
    kind,
    host,
    port,
    database: f.database.text(name),
    tls,
    ca,
    accounts: readAccounts(f.accounts, context),
    protect: readColumns(protect.columns),
    computed: protect.computed.oneOf(['mask', 'deny'], 'mask'),
  };
}

function readAccounts(place: Place, context: ReadingContext): ReadonlyMap<string, Account> {
  const accounts = new Map<string, Account>();
  for (const { key, keyPlace, value } of place.entries()) {
    if (resourceName(key) === null) keyPlace.problem(`"${key}" is not a usable name; write letters, digits, - _ or .`);
    const f = value.fields(['user', 'password', 'groups'], ['user', 'password']);
    const password = f.password.text();
    if (f.password.present && password !== '') checkSecret(f.password, password, context);
    const groups = f.groups.present ? f.groups.items().map((item) => item.text()) : null;
    accounts.set(key, { user: f.user.text(), password, groups });
  }
  if (place.present && accounts.size === 0) place.problem('has no account; write name: { user: ..., password: env:NAME }');
  return accounts;
}

/** Reports by reference, never by content. */
function checkSecret(place: Place, reference: string, context: ReadingContext): void {
  if (!isReference(reference)) context.warn(place, 'the secret stands in the file itself; write env:NAME or file:PATH');
  if (context.secrets === null) return;
  try {
    secret(reference, context.secrets);
  } catch (error) {
    place.problem(error instanceof Error ? error.message.replace(/^secret_missing: /, '') : 'the secret cannot be read');
  }
}

function readColumns(place: Place): ReadonlyMap<string, ProtectClass> {
  const columns = new Map<string, ProtectClass>();
  for (const { key, keyPlace, value } of place.entries()) {
    if (!/^[^.]+\.[^.]+\.[^.]+$/.test(key)) keyPlace.problem(`"${key}" is not a column; write schema.table.column`);
    columns.set(key, value.oneOf(protectClasses, 'secret'));
  }
  return columns;
}

function resourceName(text: string): string | null {
  return namePattern.test(text) ? text : null;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

function unknownProtocol(name: string, protocols: KnownProtocols): string {
  const known = [...protocols.keys()];
  return `"${name}" is not a protocol of this gateway; write ${nearest(name, known) ?? known.join(' or ')}`;
}
