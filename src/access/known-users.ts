import { GatewayError } from '../errors.ts';
import { SERVICE_KEY_ISSUER } from '../identity/service-keys.ts';
import type { Store } from '../store/model.ts';
import type { LiveSessions } from './model.ts';

/**
 * Who vouches for a user of that name, so that whoever revokes need not know it. Tokens of a command line are in no table, and every
 * gateway may have given one out: so it is always all gateways, and beside them the one identity provider that has a user of the name.
 */

/**
 * The issuers under which the one user of that name comes. Throws GatewayError `user_unknown`, and `user_ambiguous` where several identity
 * providers have one: which of them is meant is not the gateway's to guess.
 */
export async function issuersOf(store: Store, live: Pick<LiveSessions, 'listAll'>, name: string, gateway: string): Promise<string[]> {
  const { db } = store;
  const found = [
    await db.selectFrom('users').select('issuer').where('name', '=', name).execute(),
    await db.selectFrom('issued_tokens').select('issuer').distinct().where('name', '=', name).execute(),
    await db.selectFrom('grants').select('user_issuer as issuer').distinct().where('user_name', '=', name).execute(),
    (await live.listAll()).sessions.filter(({ user }) => user === name),
  ];
  const key = await db.selectFrom('service_keys').select('id').where('service', '=', name).limit(1).executeTakeFirst();
  if (key !== undefined) found.push([{ issuer: SERVICE_KEY_ISSUER }]);
  return withGateways(
    found.flat().map(({ issuer }) => issuer),
    await gatewaysOf(store, gateway),
    name,
    `nobody of the name ${name} has been here`,
  );
}

/** As issuersOf, among the users that are revoked. */
export async function issuersOfRevoked(store: Store, name: string, gateway: string): Promise<string[]> {
  const rows = await store.db.selectFrom('revocations').select('id').where('kind', '=', 'user').execute();
  const issuers = rows.flatMap(({ id }) => (id.endsWith(` ${name}`) ? [id.slice(0, -name.length - 1)] : []));
  return withGateways(issuers, await gatewaysOf(store, gateway), name, `no user of the name ${name} is revoked`);
}

/** In whose names tokens are issued. */
async function gatewaysOf({ db }: Store, own: string): Promise<readonly string[]> {
  const keys = await db.selectFrom('token_keys').select('issuer').orderBy('issuer').execute();
  return [...new Set([own, ...keys.map(({ issuer }) => issuer)])];
}

function withGateways(found: readonly string[], gateways: readonly string[], name: string, none: string): string[] {
  const providers = [...new Set(found)].filter((issuer) => !gateways.includes(issuer)).sort();
  if (found.length === 0)
    throw refusal(
      'user_unknown',
      none,
      `name the issuer (--issuer) if you are sure; for tokens of a command line that is the name of the gateway: ${gateways.join(', ')}`,
    );
  if (providers.length > 1)
    throw refusal(
      'user_ambiguous',
      `several users have the name ${name}`,
      `name the issuer (--issuer), one of ${[...providers, ...gateways].join(', ')}`,
    );
  return [...providers, ...gateways];
}

function refusal(code: string, publicMessage: string, hint: string): GatewayError {
  return new GatewayError({ code, source: 'client', phase: 'decide', publicMessage, hint });
}
