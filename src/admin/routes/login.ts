import type { Login, LoginProvider } from '../../identity/model.ts';
import type { Authentication } from '../authentication.ts';
import { recorded } from '../authorization.ts';
import { refuse } from '../errors.ts';
import { type ApiReply, json, redirect } from '../http.ts';
import type { Call, OpenCall, Route } from '../route.ts';
import { boolean, integer, list, object, oneOf, string, text, time } from '../schema.ts';
import { loggedInSchema } from '../shapes.ts';
import { sessionCookie } from '../web-sessions.ts';

/** Ties a log-in to the browser that began it. */
const bindingCookie = '__Host-sluice-login';
const bindingSeconds = 600;

/** What goes around by the provider and back: where the browser goes on, or the command line that waits for a code. */
type Purpose =
  | { readonly for: 'page'; readonly back: string }
  | { readonly for: 'command'; readonly redirect: string; readonly challenge: string; readonly state: string };

const provider = text(64, undefined, 1);

/** Log-ins. `url` is the gateway's own address as browsers reach it. */
export function loginRoutes(authentication: Authentication, url: string): readonly Route[] {
  const counted = <T extends OpenCall>(handle: (call: T) => Promise<ApiReply>): ((call: T) => Promise<ApiReply>) => {
    return (call) => {
      authentication.countLogin(call.request.source);
      return handle(call);
    };
  };
  const begin = async (call: OpenCall, name: string, purpose: Purpose): Promise<{ url: string; cookie: string }> => {
    const known = findProvider(call, name);
    const redirectUri = `${url}/api/v1/login/${known.kind === 'saml' ? 'saml' : 'callback'}`;
    const started = await call.services.logins.begin(name, { redirectUri, purpose: JSON.stringify(purpose) });
    return { url: started.url, cookie: setCookie(bindingCookie, started.binding, bindingSeconds, known.kind === 'saml' ? 'None' : 'Lax') };
  };
  const goOn = async (call: OpenCall, login: Login): Promise<ApiReply> => {
    const clear: [string, string] = ['Set-Cookie', setCookie(bindingCookie, '', 0, 'Lax')];
    const purpose = parsePurpose(login.purpose);
    if (purpose.for === 'command') {
      const code = await call.services.logins.grantCode(login.principal, purpose.challenge);
      return redirect(`${purpose.redirect}?${new URLSearchParams({ code, state: purpose.state })}`, [clear]);
    }
    const cookie = await authentication.sessions.begin(login.principal);
    const seconds = Math.max(1, Math.floor((login.principal.credential.expiresAt - call.services.now()) / 1000));
    return redirect(localPath(purpose.back), [clear, ['Set-Cookie', setCookie(sessionCookie, cookie, seconds, 'Lax')]]);
  };
  return [
    {
      method: 'GET',
      path: '/api/v1/login/providers',
      id: 'listProviders',
      summary: 'The identity providers that people log in with',
      access: 'open',
      replies: {
        200: { description: 'the providers', schema: object({ providers: list(object({ name: string, kind: oneOf('oidc', 'saml') })) }) },
      },
      handle: (call) => json(200, { providers: call.services.logins.providers().map(({ name, kind }) => ({ name, kind })) }),
    },
    {
      method: 'GET',
      path: '/api/v1/login/begin',
      id: 'beginLogin',
      summary: 'Sends a browser to a provider; then back to a page, or to a command line that waits on the loopback interface',
      access: 'open',
      query: {
        provider,
        back: text(1000, 'path of the page to go on with'),
        redirect: {
          type: 'string',
          pattern: '^http://127\\.0\\.0\\.1:\\d{1,5}/[A-Za-z0-9_-]*$',
          description: 'where a command line waits',
        },
        challenge: { type: 'string', pattern: '^[A-Za-z0-9_-]{43}$', description: 'PKCE, S256' },
        state: { type: 'string', pattern: '^[A-Za-z0-9_-]{16,128}$' },
      },
      replies: { 303: { description: 'to the provider' } },
      handle: counted(async (call) => {
        const { back, redirect: to, challenge, state } = call.query;
        if ((to === undefined) !== (challenge === undefined) || (to === undefined) !== (state === undefined))
          throw refuse('request_invalid', 'redirect, challenge and state belong together');
        const purpose: Purpose =
          to !== undefined && challenge !== undefined && state !== undefined
            ? { for: 'command', redirect: to, challenge, state }
            : { for: 'page', back: localPath(back ?? '/approvals') };
        const started = await begin(call, call.query['provider'] ?? onlyProvider(call), purpose);
        return redirect(started.url, [['Set-Cookie', started.cookie]]);
      }),
    },
    {
      method: 'GET',
      path: '/api/v1/login/callback',
      id: 'finishLogin',
      summary: 'Where an OpenID provider sends the browser back to',
      access: 'open',
      query: { '*': string },
      replies: { 303: { description: 'to the page or the command line that the log-in is for' } },
      handle: counted(async (call) => {
        const login = await call.services.logins.finish(
          call.request.query.toString(),
          call.request.cookie(bindingCookie),
          call.request.source,
        );
        return goOn(call, login);
      }),
    },
    {
      method: 'POST',
      path: '/api/v1/login/saml',
      id: 'finishSamlLogin',
      summary: 'Where a SAML provider posts its assertion to',
      access: 'open',
      form: 'application/x-www-form-urlencoded',
      replies: { 303: { description: 'to the page or the command line that the log-in is for' } },
      handle: counted(async (call) => {
        const login = await call.services.logins.finishSaml(
          call.request.body.toString('latin1'),
          call.request.cookie(bindingCookie),
          call.request.source,
        );
        return goOn(call, login);
      }),
    },
    {
      method: 'POST',
      path: '/api/v1/login/device',
      id: 'beginDeviceLogin',
      summary: 'Begins a log-in for a terminal without a browser (RFC 8628)',
      access: 'open',
      body: object({ provider }, ['provider']),
      replies: {
        200: {
          description: 'what to show',
          schema: object({
            id: string,
            userCode: string,
            verificationUri: string,
            verificationUriComplete: { type: ['string', 'null'] },
            expiresInSeconds: integer,
            intervalSeconds: integer,
          }),
        },
      },
      handle: counted(async (call) => {
        const { provider: name } = call.body as { readonly provider?: string };
        const chosen = name ?? onlyProvider(call);
        if (findProvider(call, chosen).kind === 'saml') throw refuse('request_invalid', 'this provider knows no log-in without a browser');
        return json(200, await call.services.logins.beginDevice(chosen));
      }),
    },
    {
      method: 'POST',
      path: '/api/v1/login/device/poll',
      id: 'pollDeviceLogin',
      summary: 'Whether the person has confirmed it; then a token',
      access: 'open',
      body: object({ id: text(512, undefined, 1) }),
      replies: {
        200: { description: 'a token: it is shown this once', schema: loggedInSchema },
        202: { description: 'not yet', schema: object({ state: oneOf('pending'), intervalSeconds: integer }) },
      },
      async handle(call) {
        const { id } = call.body as { readonly id: string };
        authentication.checkLogin(call.request.source);
        const poll = await call.services.logins.pollDevice(id, call.request.source).catch((error: unknown) => {
          // Who polls for a log-in that is under way is not guessing.
          authentication.countLogin(call.request.source);
          throw error;
        });
        if (poll.state === 'pending') return json(202, { state: 'pending', intervalSeconds: poll.intervalSeconds });
        return json(200, await issued(call, poll.login.principal));
      },
    },
    {
      method: 'POST',
      path: '/api/v1/login/code',
      id: 'redeemCode',
      summary: 'A token for the code that a command line was sent (PKCE)',
      access: 'open',
      body: object({ code: text(512, undefined, 1), verifier: { type: 'string', pattern: '^[A-Za-z0-9._~-]{43,128}$' } }),
      replies: { 200: { description: 'a token: it is shown this once', schema: loggedInSchema } },
      handle: counted(async (call) => {
        const { code, verifier } = call.body as { readonly code: string; readonly verifier: string };
        return json(200, await issued(call, await call.services.logins.redeemCode(code, verifier)));
      }),
    },
    {
      method: 'POST',
      path: '/api/v1/login/backchannel',
      id: 'backchannelLogout',
      summary: 'OpenID Connect Back-Channel Logout: everything that stands on the log-ins it names ends',
      access: 'open',
      form: 'application/x-www-form-urlencoded',
      replies: { 200: { description: 'done', schema: object({ done: boolean }) } },
      async handle(call) {
        const token = new URLSearchParams(call.request.body.toString()).get('logout_token') ?? '';
        // Only what is refused counts: a provider ends the sessions of a whole company from one address.
        authentication.checkLogin(call.request.source);
        try {
          if (token === '') throw refuse('request_invalid', 'logout_token is missing');
          await call.services.logins.backchannelLogout(token);
        } catch (error) {
          authentication.countLogin(call.request.source);
          throw error;
        }
        return json(200, { done: true });
      },
    },
    {
      method: 'POST',
      path: '/api/v1/logout',
      id: 'logout',
      summary: "Ends the browser's session or takes the token back, and with it what stands on the log-in",
      access: 'logged-in',
      replies: { 200: { description: 'done', schema: object({ done: boolean, at: time }) } },
      handle: (call) => logout(authentication, call),
    },
  ];
}

/** Ends the log-in that the call came with. */
export async function logout(authentication: Authentication, call: Call): Promise<ApiReply> {
  const { access, now } = call.services;
  if (call.csrf !== '') await authentication.sessions.end(call.request.cookie(sessionCookie));
  await access.revocations.revokeCredential(call.bare.credential.id, call.principal, 'logged out');
  await recorded(call.services);
  return json(200, { done: true, at: Math.round(now()) }, [['Set-Cookie', setCookie(sessionCookie, '', 0, 'Lax')]]);
}

/** Two tokens: what lies in the files of clients must not decide on requests, nor revoke anybody. */
async function issued(call: OpenCall, principal: Login['principal']): Promise<Record<string, unknown>> {
  const { logins } = call.services;
  const own = await logins.issueFor(principal, { audience: 'api' });
  const { credential } = principal;
  const parents = [...(credential.parents ?? []), credential.id];
  // Made from the other, so that it ends with it: at the log-out for example.
  const client = await logins.issueFor(
    { ...principal, credential: { kind: 'issued-token', id: own.id, expiresAt: own.expiresAt, parents } },
    { audience: 'connect' },
  );
  await recorded(call.services);
  return { ...own, user: principal.name, client };
}

function findProvider(call: OpenCall, name: string): LoginProvider {
  const found = call.services.logins.providers().find((one) => one.name === name);
  if (found === undefined) throw refuse('request_invalid', 'there is no identity provider of that name');
  return found;
}

function onlyProvider(call: OpenCall): string {
  const [first, ...others] = call.services.logins.providers();
  if (first === undefined) throw refuse('request_invalid', 'this gateway has no identity provider to log in with');
  if (others.length > 0) throw refuse('request_invalid', `name a provider: ${[first, ...others].map(({ name }) => name).join(', ')}`);
  return first.name;
}

function parsePurpose(purpose: string): Purpose {
  const value: unknown = JSON.parse(purpose);
  if (typeof value === 'object' && value !== null && 'for' in value) return value as Purpose;
  throw refuse('request_invalid', 'the log-in was begun by something else');
}

/** A path of our own; anything else leads to the first page, so that a link cannot send somebody who logs in elsewhere. */
export function localPath(path: string): string {
  const base = 'https://gateway.invalid';
  if (!/^\/[^/\\]?/.test(path) || !URL.canParse(path, base)) return '/approvals';
  const parsed = new URL(path, base);
  return parsed.origin === base && !parsed.pathname.startsWith('//') ? `${parsed.pathname}${parsed.search}` : '/approvals';
}

function setCookie(name: string, value: string, seconds: number, sameSite: 'Lax' | 'None'): string {
  return `${name}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; Secure; SameSite=${sameSite}`;
}
