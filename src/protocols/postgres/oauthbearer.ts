import type { IdentityConfig } from '../../config/model.ts';
import { GatewayError } from '../../errors.ts';
import type { Authenticator } from '../../identity/model.ts';
import type { Principal } from '../../policy/model.ts';
import type { ClientLogin } from './login.ts';
import { Back, cstringEnd, int32, message } from './messages.ts';

/**
 * SASL OAUTHBEARER (RFC 7628) as PostgreSQL 18 speaks it: the client presents a token of an identity provider. One that has none
 * yet sends an empty one, learns where to get it, and comes back.
 */
const MECHANISM = 'OAUTHBEARER';
/** Separates key/value pairs (RFC 7628, section 3.1); alone it is the client's answer to a refusal. */
const SEPARATOR = '\u0001';

/** `wanted` is the name that the client logs in with; it must be the token's own. Errors have the code of the authenticator behind `oauth_`. */
export async function authenticateByOauth(
  login: ClientLogin,
  authenticator: Authenticator,
  identity: IdentityConfig,
  wanted: string,
): Promise<Principal> {
  if (!login.secure) throw failure('oauth_plaintext', 'a token is taken only over TLS', 'connect with sslmode=require or better');
  // Where a client without a token is sent: what it gets there must be taken here.
  const provider = identity.oidc.find((one) => one.login && one.tokens !== null);
  if (provider === undefined)
    throw failure('oauth_unavailable', 'tokens of identity providers are not taken', 'log in with a token of the gateway as password');
  const first = await login.ask(message(Back.Authentication, int32(10), `${MECHANISM}\0\0`));
  const token = bearerOf(first);
  try {
    // Not a failed log-in but the first half of one: there was nothing to check.
    if (token === '') throw failure('oauth_discovery', 'a token of the identity provider is needed', `get one from ${provider.issuer}`);
    const principal = await authenticator.authenticateBearer(token);
    if (principal.name !== wanted) throw failure('oauth_token_user_mismatch', 'the token is not for that user');
    return principal;
  } catch (error) {
    const refusal = {
      status: 'invalid_token',
      'openid-configuration': `${provider.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`,
      scope: provider.scopes.join(' '),
    };
    // The client has to answer before it may be told in the protocol's own words (RFC 7628, section 3.2.3).
    await login.ask(message(Back.Authentication, int32(11), JSON.stringify(refusal)));
    throw renamed(error);
  }
}

/** The token in the initial response (mechanism, length, data); '' when the client only asks where to get one. */
function bearerOf(body: Buffer): string {
  const nameEnd = cstringEnd(body, 0, body.length);
  if (nameEnd === -1 || nameEnd + 5 > body.length || body.readInt32BE(nameEnd + 1) !== body.length - nameEnd - 5)
    throw malformed('invalid SASL response');
  if (body.toString('latin1', 0, nameEnd) !== MECHANISM) throw malformed('the client chose a SASL mechanism that was not offered');
  const text = body.toString('utf8', nameEnd + 5);
  // gs2-header: no channel binding, no other identity than that of the token.
  const header = /^([ny]),,/.exec(text);
  if (header === null) throw malformed('OAUTHBEARER takes neither channel binding nor an authorization identity');
  const pairs = text.slice(header[0].length).split(SEPARATOR);
  // Begins with a separator, and ends with that of the last pair and one more.
  if (pairs.length < 4 || pairs[0] !== '' || pairs.at(-1) !== '' || pairs.at(-2) !== '') throw malformed('malformed OAUTHBEARER message');
  const auth = pairs.slice(1, -2).filter((pair) => pair.startsWith('auth='));
  if (auth.length !== 1) throw malformed('malformed OAUTHBEARER message: it takes one auth');
  const value = (auth[0] ?? '').slice('auth='.length);
  if (value === '') return '';
  const token = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(value)?.[1];
  if (token === undefined) throw malformed('malformed OAUTHBEARER message: not a bearer token');
  return token;
}

const malformed = (publicMessage: string): GatewayError =>
  new GatewayError({ code: 'frame_invalid', source: 'client', phase: 'login', publicMessage });

const failure = (code: string, publicMessage: string, hint?: string): GatewayError =>
  new GatewayError({ code, source: 'client', phase: 'login', publicMessage, ...(hint === undefined ? {} : { hint }) });

/** The same error under a code of its own, by which it gets the SQLSTATE that the server gives for this method. */
function renamed(error: unknown): unknown {
  if (!(error instanceof GatewayError) || error.code.startsWith('oauth_')) return error;
  const { code, source, phase, publicMessage, hint } = error;
  return new GatewayError({ code: `oauth_${code}`, source, phase, cause: error, publicMessage, ...(hint === undefined ? {} : { hint }) });
}
