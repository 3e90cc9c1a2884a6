import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';

import { exportJWK, generateKeyPair, type JWK } from 'jose';
import Provider, { type Configuration } from 'oidc-provider';

/** A real OpenID provider (npm's oidc-provider) on loopback, with people that tests put in and take out. */

export interface TestAccount {
  readonly groups: readonly string[];
  /** The login name; the subject is another one, as with real providers. */
  readonly name: string;
}

export interface OidcProviderOptions {
  /** 0: any. To come back under the same issuer, the port it had. */
  readonly port?: number;
  readonly keys?: readonly JWK[];
  /** Addresses that browsers may be sent back to. */
  readonly redirectUris?: readonly string[];
  /** Where logout tokens go. */
  readonly backchannelLogoutUri?: string;
  /** Groups in workload tokens. */
  readonly workloadGroups?: readonly string[];
  /** Life of access tokens, s. */
  readonly accessTokenSeconds?: number;
  /** Speaks https with this certificate. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Access tokens of people are JWTs for `testAudience` with their name and groups, which nobody has to ask for. */
  readonly accessTokensForPeople?: boolean;
}

export const testClient = { id: 'sluice', secret: 'the secret of the client sluice' } as const;
export const testWorkload = { id: 'ci-deploy', secret: 'the secret of the workload' } as const;
/** A program on somebody's machine: it has no secret, and logs in by the device flow. */
export const testDevice = { id: 'psql' } as const;
/** The audience of workload tokens. */
export const testAudience = 'urn:sluice:gateway';

export async function signingKey(kid: string, alg = 'RS256'): Promise<JWK> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), kid, alg, use: 'sig' };
}

export class TestOidcProvider {
  readonly issuer: string;
  readonly port: number;
  readonly keys: readonly JWK[];
  /** By subject. */
  readonly accounts = new Map<string, TestAccount>();
  /** Who the next browser logs in as without being asked; null: a form asks for the subject. `deny` says no. */
  loginAs: string | 'deny' | null = null;
  /** Paths that were asked for. */
  readonly requests: string[] = [];
  readonly #server: Server;

  private constructor(issuer: string, port: number, keys: readonly JWK[], server: Server) {
    this.issuer = issuer;
    this.port = port;
    this.keys = keys;
    this.#server = server;
  }

  static async start(options: OidcProviderOptions = {}): Promise<TestOidcProvider> {
    const server = options.tls === undefined ? createServer() : createSecureServer({ ...options.tls });
    server.listen(options.port ?? 0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const keys = options.keys ?? [await signingKey('first')];
    const issuer = `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
    const self = new TestOidcProvider(issuer, port, keys, server);
    const provider = new Provider(issuer, self.#configuration(options));
    const callback = provider.callback();
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const { pathname } = new URL(request.url ?? '/', issuer);
      self.requests.push(pathname);
      if (!pathname.startsWith('/interaction/')) return void callback(request, response);
      self.#interact(provider, request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
    });
    return self;
  }

  /** An access token as a CI job gets it: client credentials, as a JWT for `testAudience`. */
  async workloadToken(audience: string = testAudience): Promise<string> {
    const response = await fetch(`${this.issuer}/token`, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from(`${testWorkload.id}:${encodeURIComponent(testWorkload.secret)}`).toString('base64')}`,
      },
      body: new URLSearchParams({ grant_type: 'client_credentials', resource: audience }),
    });
    const answer = (await response.json()) as { access_token?: string };
    if (answer.access_token === undefined) throw new Error(`no token: ${JSON.stringify(answer)}`);
    return answer.access_token;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #configuration(options: OidcProviderOptions): Configuration {
    return {
      jwks: { keys: [...this.keys] as NonNullable<Configuration['jwks']>['keys'] },
      clients: [
        {
          client_id: testClient.id,
          client_secret: testClient.secret,
          redirect_uris: [...(options.redirectUris ?? ['https://gateway.test/login/callback'])],
          grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
          response_types: ['code'],
          ...(options.backchannelLogoutUri === undefined ? {} : { backchannel_logout_uri: options.backchannelLogoutUri }),
        },
        {
          client_id: testWorkload.id,
          client_secret: testWorkload.secret,
          grant_types: ['client_credentials'],
          response_types: [],
          redirect_uris: [],
        },
        {
          client_id: testDevice.id,
          token_endpoint_auth_method: 'none',
          grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
          response_types: [],
          redirect_uris: [],
        },
      ],
      cookies: { keys: ['a key of the test'] },
      acrValues: ['mfa'],
      claims: { openid: ['sub', 'acr', 'amr', 'auth_time'], profile: ['preferred_username'], groups: ['groups'] },
      scopes: ['openid', 'offline_access', 'profile', 'groups'],
      ttl: { AccessToken: options.accessTokenSeconds ?? 3600, ClientCredentials: options.accessTokenSeconds ?? 600 },
      pkce: { required: () => true },
      // In the middle of a log-in and on each use, as strict providers do.
      rotateRefreshToken: true,
      interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
      findAccount: (_, subject) => {
        const account = this.accounts.get(subject);
        if (account === undefined) return undefined;
        const { name, groups } = account;
        return { accountId: subject, claims: () => ({ sub: subject, preferred_username: name, groups: [...groups] }) };
      },
      extraTokenClaims: (_, token) => {
        if (token.kind === 'ClientCredentials') return { groups: [...(options.workloadGroups ?? ['deployers'])] };
        const account = options.accessTokensForPeople === true ? this.accounts.get(token.accountId) : undefined;
        return account === undefined ? undefined : { preferred_username: account.name, groups: [...account.groups] };
      },
      // Its own fetch refuses loopback, where the gateway of a test is.
      fetch: (url, init) => {
        const { dispatcher: _, ...plain } = init as RequestInit & { dispatcher?: unknown };
        return globalThis.fetch(url, plain);
      },
      features: {
        devInteractions: { enabled: false },
        deviceFlow: { enabled: true },
        clientCredentials: { enabled: true },
        backchannelLogout: { enabled: true },
        rpInitiatedLogout: { enabled: true },
        resourceIndicators: {
          enabled: true,
          ...(options.accessTokensForPeople === true ? { defaultResource: () => testAudience, useGrantedResource: () => true } : {}),
          getResourceServerInfo: (_, audience) => ({ scope: '', audience, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } }),
        },
      },
    };
  }

  /** Logs in and consents, as the person in front of the browser would. */
  async #interact(provider: Provider, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
    const finish = (result: Parameters<Provider['interactionFinished']>[2]): Promise<void> =>
      provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
    if (prompt.name === 'login') {
      const subject = this.loginAs ?? (request.method === 'POST' ? await submittedLogin(request) : null);
      if (subject === null) {
        response.writeHead(200, { 'content-type': 'text/html' });
        response.end(
          '<!doctype html><title>Log in</title><form method="post"><input name="login" autofocus><button>Log in</button></form>',
        );
        return;
      }
      if (subject === 'deny') return finish({ error: 'access_denied', error_description: 'the person said no' });
      return finish({ login: { accountId: subject, acr: 'mfa', amr: ['pwd', 'otp'] } });
    }
    const known = grantId === undefined ? undefined : await provider.Grant.find(grantId);
    const grant = known ?? new provider.Grant({ accountId: session?.accountId ?? '', clientId: String(params['client_id']) });
    const { missingOIDCScope, missingOIDCClaims } = prompt.details as { missingOIDCScope?: string[]; missingOIDCClaims?: string[] };
    if (missingOIDCScope !== undefined) grant.addOIDCScope(missingOIDCScope.join(' '));
    if (missingOIDCClaims !== undefined) grant.addOIDCClaims(missingOIDCClaims);
    return finish({ consent: { grantId: await grant.save() } });
  }
}

async function submittedLogin(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request as AsyncIterable<Buffer>) body += chunk.toString('utf8');
  return new URLSearchParams(body).get('login') ?? '';
}

/** As much of a browser as a log-in needs: cookies, redirects, and forms without a person. */
export class TestBrowser {
  readonly #cookies = new Map<string, string>();

  /** Follows redirects until one leads to an address that begins with `until`, and returns that. */
  async follow(start: string, until: string): Promise<string> {
    let next = start;
    for (let hops = 0; hops < 20; hops++) {
      if (next.startsWith(until)) return next;
      const response = await this.get(next);
      const location = response.headers.get('location');
      if (location === null) throw new Error(`no redirect from ${next}: ${response.status} ${(await response.text()).slice(0, 500)}`);
      next = new URL(location, next).href;
    }
    throw new Error('too many redirects');
  }

  get(url: string): Promise<Response> {
    return this.#send(url, {});
  }

  /** Opens a page and submits its first form, hidden fields included, until a page without a form comes; returns its text. */
  async submitForms(url: string): Promise<string> {
    let address = url;
    let response = await this.get(address);
    for (let pages = 0; pages < 20; pages++) {
      const location = response.headers.get('location');
      if (location !== null) {
        address = new URL(location, address).href;
        response = await this.get(address);
        continue;
      }
      const html = await response.text();
      const form = /<form([^>]*)>/.exec(html);
      if (form === null) return html;
      const fields = new URLSearchParams();
      // Buttons may stand outside and name their form.
      for (const [input] of html.matchAll(/<(?:input|button)[^>]*>/g)) {
        const name = /name="([^"]*)"/.exec(input)?.[1];
        if (name !== undefined && name !== 'abort') fields.set(name, /value="([^"]*)"/.exec(input)?.[1] ?? '');
      }
      address = new URL(/action="([^"]*)"/.exec(form[1] ?? '')?.[1] ?? address, address).href;
      response = await this.#send(address, { method: 'POST', body: fields });
    }
    throw new Error('too many forms');
  }

  async #send(url: string, init: RequestInit): Promise<Response> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url, { ...init, redirect: 'manual', headers: cookie === '' ? {} : { cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';', 1);
      const equals = pair.indexOf('=');
      const [name, value] = [pair.slice(0, equals), pair.slice(equals + 1)];
      if (value === '') this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
    return response;
  }
}
