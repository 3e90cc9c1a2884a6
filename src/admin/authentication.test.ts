import assert from 'node:assert/strict';
import { test } from 'node:test';

import { GatewayError } from '../errors.ts';
import { Authentication } from './authentication.ts';
import { TooMany } from './errors.ts';
import type { ApiRequest } from './http.ts';
import type { ApiServices } from './services.ts';

/** An authentication that knows which tokens are good, how often it was asked, and what was recorded. */
function setUp(): { authentication: Authentication; good: Set<string>; asked: string[]; recorded: string[] } {
  const good = new Set<string>();
  const asked: string[] = [];
  const recorded: string[] = [];
  const services = {
    store: null,
    now: () => 0,
    config: { identity: { idleSeconds: 0 } },
    authenticator: {
      authenticateBearer: (token: string) => {
        asked.push(token);
        if (good.has(token)) return Promise.resolve({ name: token, groups: [] });
        return Promise.reject(new GatewayError({ code: 'token_signature', source: 'client', phase: 'login', publicMessage: 'no' }));
      },
    },
    recorder: { append: (_type: string, _sid: string, members: string) => recorded.push(members) },
    access: { grants: { groupsOf: () => [] }, events: { emit: () => {} } },
  } as unknown as ApiServices;
  return { authentication: new Authentication(services), good, asked, recorded };
}

const request = (token: string, source = '192.0.2.1'): ApiRequest =>
  ({ header: (name: string) => (name === 'authorization' ? `Bearer ${token}` : ''), source }) as unknown as ApiRequest;

test('who fails often is told to wait; a good credential of the same address is not', async () => {
  const { authentication, good, recorded } = setUp();
  good.add('good');
  for (let i = 0; i < 10; i++) await assert.rejects(authentication.caller(request(`bad-${i}`)), { code: 'token_signature' });
  await assert.rejects(authentication.caller(request('bad')), (error) => error instanceof TooMany && error.seconds > 0);
  assert.equal((await authentication.caller(request('good')))?.principal.name, 'good');
  await assert.rejects(authentication.caller(request('bad', '192.0.2.2')), { code: 'token_signature' });
  assert.equal(recorded.length, 11, 'what is turned away is not recorded as well');
});

test('beyond a ceiling only what was good before is looked at', async () => {
  const { authentication, good, asked } = setUp();
  good.add('known').add('new');
  await authentication.caller(request('known'));
  for (let i = 0; i < 400; i++) await assert.rejects(authentication.caller(request(`bad-${i}`)));
  const looked = asked.length;
  assert.equal(looked, 301);
  await assert.rejects(authentication.caller(request('new')), TooMany);
  assert.equal(asked.length, looked);
  assert.equal((await authentication.caller(request('known')))?.principal.name, 'known');
  assert.equal((await authentication.caller(request('new', '192.0.2.2')))?.principal.name, 'new');
  // What is no longer good is no longer known.
  good.delete('known');
  await assert.rejects(authentication.caller(request('known')), TooMany);
  await assert.rejects(authentication.caller(request('known')), TooMany);
  assert.equal(asked.filter((token) => token === 'known').length, 3);
});

test('a good token is known once, however the header is written', async () => {
  const { authentication, good, asked } = setUp();
  good.add('known');
  await authentication.caller(request('known'));
  for (let i = 0; i < 400; i++) await assert.rejects(authentication.caller(request(`bad-${i}`)));
  const written = (header: string): ApiRequest => ({ header: () => header, source: '192.0.2.1' }) as unknown as ApiRequest;
  assert.equal((await authentication.caller(written(`bearer${' '.repeat(9)}known`)))?.principal.name, 'known');
  // And forgotten once.
  good.delete('known');
  await assert.rejects(authentication.caller(written('Bearer   known')), TooMany);
  const looked = asked.length;
  await assert.rejects(authentication.caller(request('known')), TooMany);
  assert.equal(asked.length, looked);
});
