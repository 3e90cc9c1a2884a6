import { GatewayError } from '../errors.ts';
import { SERVICE_KEY_ISSUER } from '../identity/service-keys.ts';
import type { Store } from '../store/model.ts';
import type { LiveSessions } from './model.ts';

/** Who vouches for a user of that name, so that whoever revokes need not know it: everybody who ever did, as far as the gateway knows. */

/**
 * The issuer of the one user of that name. Throws GatewayError `user_unknown`, and `user_ambiguous` where several issuers have one: which
 * of them is meant is not the gateway's to guess.
 */
export async function issuerOf(store: Store, live: Pick<LiveSessions, 'list'>, name: string, gateway: string): Promise<string> {
  const { db } = store;
  const found = [
    await db.selectFrom('users').select('issuer').where('name', '=', name).execute(),
    await db.selectFrom('issued_tokens').select('issuer').distinct().where('name', '=', name).execute(),
    await db.selectFrom('grants').select('user_issuer as issuer').distinct().where('user_name', '=', name).execute(),
    live
      .list()
      .filter(({ principal }) => principal.name === name)
      .map(({ principal }) => ({ issuer: principal.issuer })),
  ];
  const key = await db.selectFrom('service_keys').select('id').where('service', '=', name).limit(1).executeTakeFirst();
  if (key !== undefined) found.push([{ issuer: SERVICE_KEY_ISSUER }]);
  return only(
    found.flat().map(({ issuer }) => issuer),
    name,
    `nobody of the name ${name} has been here`,
    `for tokens of its command line that is the name of the gateway, ${gateway}`,
  );
}

/** As issuerOf, among the users that are revoked. */
export async function issuerOfRevoked(store: Store, name: string): Promise<string> {
  const rows = await store.db.selectFrom('revocations').select('id').where('kind', '=', 'user').execute();
  const issuers = rows.flatMap(({ id }) => (id.endsWith(` ${name}`) ? [id.slice(0, -name.length - 1)] : []));
  return only(issuers, name, `no user of the name ${name} is revoked`, 'see GET /api/v1/revocations');
}

function only(issuers: readonly string[], name: string, none: string, hint: string): string {
  const [first, ...others] = new Set(issuers);
  if (first === undefined) throw refusal('user_unknown', none, `name the issuer (--issuer) if you are sure; ${hint}`);
  if (others.length === 0) return first;
  const all = [first, ...others].sort().join(', ');
  throw refusal('user_ambiguous', `several users have the name ${name}`, `name the issuer (--issuer), one of ${all}`);
}

function refusal(code: string, publicMessage: string, hint: string): GatewayError {
  return new GatewayError({ code, source: 'client', phase: 'decide', publicMessage, hint });
}
