import assert from 'node:assert/strict';
import { test } from 'node:test';
import { identityConfig, type TestIdentity, testIdentity } from '../../test/support/identity.ts';
import { type SamlAnswer, TestSamlIdp } from '../../test/support/saml-idp.ts';
import { GatewayError } from '../errors.ts';
import type { Login, LoginStart } from './model.ts';

const acsUrl = 'https://gateway.test/login/saml';
const ann: SamlAnswer = { nameId: 'ann@corp.test', groups: ['analysts', 'payments/read-write', 'Domain Admins'] };

interface Stage {
  readonly idp: TestSamlIdp;
  readonly identity: TestIdentity;
}

async function stage(context: { after(fn: () => Promise<void>): void }): Promise<Stage> {
  const idp = await TestSamlIdp.start({ audience: 'sluice', acsUrl });
  context.after(async () => idp.close());
  const provider = {
    name: 'corp-saml',
    entryPoint: idp.entryPoint,
    idpIssuer: idp.entityId,
    issuer: 'sluice',
    cert: idp.certPath,
    nameAttribute: '',
    groupsAttribute: 'groups',
  };
  return { idp, identity: await testIdentity(context, identityConfig({ saml: [provider] })) };
}

const begin = ({ identity }: Stage): Promise<LoginStart> => identity.logins.begin('corp-saml', { redirectUri: acsUrl, purpose: '/home' });

async function logIn(staged: Stage, answer: SamlAnswer): Promise<Login> {
  const begun = await begin(staged);
  return staged.identity.logins.finishSaml(await staged.idp.answer(begun.url, answer), begun.binding);
}

test('a signed assertion makes a principal with groups and evidence', async (context) => {
  const staged = await stage(context);
  assert.deepEqual(staged.identity.logins.providers(), [{ name: 'corp-saml', kind: 'saml' }]);
  const { principal, purpose } = await logIn(staged, ann);
  assert.equal(purpose, '/home');
  assert.equal(principal.name, 'ann@corp.test');
  assert.equal(principal.issuer, staged.idp.entityId);
  assert.equal(principal.subject, 'ann@corp.test');
  assert.deepEqual(principal.groups, ['analysts', 'Domain Admins']);
  assert.equal(principal.credential.kind, 'saml');
  assert.equal(principal.claims['acr'], 'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport');
  assert.ok(typeof principal.claims['auth_time'] === 'number');
  const token = await staged.identity.logins.issueFor(principal);
  assert.equal((await staged.identity.authenticator.authenticate(token.token, 'ann@corp.test')).issuer, staged.idp.entityId);
});

test('an answer that is not exactly right is refused', async (context) => {
  const staged = await stage(context);
  const publicMessage = 'the answer of the identity provider is not accepted';
  const refused = (why: RegExp) => (error: unknown) => {
    assert.ok(error instanceof GatewayError && error.cause instanceof Error);
    assert.deepEqual([error.code, error.publicMessage], ['saml_invalid', publicMessage]);
    assert.match(error.cause.message, why);
    return true;
  };
  const wrong: Readonly<Record<string, SamlAnswer & { readonly why: RegExp }>> = {
    unsigned: { ...ann, why: /Invalid signature/, signed: false },
    'signed on SHA-1': { ...ann, why: /a signature on SHA-1/, sha1: true },
    'signed on SHA-1 under another spelling': {
      ...ann,
      why: /a signature on SHA-1/,
      sha1: true,
      tamper: (xml) => xml.replaceAll(/(xmldsig#(?:rsa-)?)sha1/g, '$1sh&#x61;&#49;'),
    },
    'for another audience': { ...ann, why: /audience mismatch/, audience: 'another' },
    'of another issuer': { ...ann, why: /another issuer/, issuer: 'https://evil.test' },
    'for another address': { ...ann, why: /no bearer confirmation/, recipient: 'https://evil.test/acs' },
    'to another request': { ...ann, why: /InResponseTo is not valid/, inResponseTo: '_another' },
    expired: { ...ann, why: /No valid subject confirmation/, shiftMs: -3_600_000 },
    'not yet valid': { ...ann, why: /not yet valid/, shiftMs: 3_600_000 },
    'with another name': { ...ann, why: /Invalid signature/, tamper: (xml) => xml.replace('ann@corp.test', 'bob@corp.test') },
    'with another group': { ...ann, why: /Invalid signature/, tamper: (xml) => xml.replace('>analysts<', '>dba<') },
    'without its signature': {
      ...ann,
      why: /Invalid signature/,
      tamper: (xml) => xml.replace(/<ds:Signature[\s\S]*<\/ds:Signature>|<Signature[\s\S]*<\/Signature>/, ''),
    },
    'that is no XML': { ...ann, why: /Not a valid XML/, tamper: () => 'x' },
    'with a document type': {
      ...ann,
      why: /a document type/,
      tamper: (xml) => `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>${xml}`,
    },
  };
  for (const [what, answer] of Object.entries(wrong)) await assert.rejects(logIn(staged, answer), refused(answer.why), what);
  const other = await TestSamlIdp.start({ audience: 'sluice', acsUrl });
  context.after(async () => other.close());
  const begun = await begin(staged);
  await assert.rejects(staged.identity.logins.finishSaml(await other.answer(begun.url, ann), begun.binding), refused(/Invalid signature/));
  assert.equal((await logIn(staged, ann)).principal.name, 'ann@corp.test');
});

test('wrapping a signed assertion does not help', async (context) => {
  const staged = await stage(context);
  const evil = (xml: string): string =>
    xml
      .replace('ann@corp.test', 'root@corp.test')
      .replace(/ ID="[^"]*"( Version="2.0" IssueInstant="[^"]*"><saml:Issuer>[^<]*<\/saml:Issuer><(?:ds:)?Signature|)/, ' ID="_evil"$1');
  const assertionOf = (xml: string): string => /<saml:Assertion[\s\S]*<\/saml:Assertion>/.exec(xml)?.[0] ?? '';
  const unsigned = (xml: string): string => evil(assertionOf(xml)).replace(/<(ds:)?Signature[\s\S]*<\/(ds:)?Signature>/, '');
  const wrappings: Readonly<Record<string, (xml: string) => string>> = {
    'a forged one before it': (xml) => xml.replace('<saml:Assertion', `${unsigned(xml)}<saml:Assertion`),
    'a forged one after it': (xml) => xml.replace('</samlp:Response>', `${unsigned(xml)}</samlp:Response>`),
    'inside a forged one': (xml) =>
      xml.replace(assertionOf(xml), unsigned(xml).replace('</saml:Assertion>', `${assertionOf(xml)}</saml:Assertion>`)),
    'in the extensions': (xml) =>
      xml
        .replace(assertionOf(xml), unsigned(xml))
        .replace('<samlp:Status>', `<samlp:Extensions>${assertionOf(xml)}</samlp:Extensions><samlp:Status>`),
    'in the signature of a forged one': (xml) => {
      const original = assertionOf(xml);
      const signature = /<(ds:)?Signature[\s\S]*<\/(ds:)?Signature>/.exec(original)?.[0] ?? '';
      const object = `<ds:Object xmlns:ds="http://www.w3.org/2000/09/xmldsig#">${original.replace(signature, '')}</ds:Object>`;
      const forged = unsigned(xml).replace(
        '</saml:Issuer>',
        `</saml:Issuer>${signature.replace(/(<\/(?:ds:)?Signature>)$/, `${object}$1`)}`,
      );
      return xml.replace(original, forged);
    },
  };
  for (const [what, tamper] of Object.entries(wrappings)) {
    let changed = false;
    const answer = {
      ...ann,
      tamper: (xml: string) => {
        const wrapped = tamper(xml);
        changed = wrapped.includes('root@corp.test') && wrapped.includes('ann@corp.test');
        return wrapped;
      },
    };
    await assert.rejects(logIn(staged, answer), { code: 'saml_invalid' }, what);
    assert.ok(changed, `${what}: the attempt really was one`);
  }
  // A comment splits the text of a name in two for some parsers; what was signed is the whole.
  const commented = {
    ...ann,
    nameId: 'ann@corp.test.evil.test',
    tamper: (xml: string) => xml.replace('corp.test.evil', 'corp.test<!-- -->.evil'),
  };
  await logIn(staged, commented).then(
    ({ principal }) => assert.equal(principal.name, 'ann@corp.test.evil.test'),
    (error: unknown) => assert.equal((error as { code?: unknown }).code, 'saml_invalid'),
  );
});

test('an answer counts once, in the browser that asked', async (context) => {
  const staged = await stage(context);
  const { idp, identity } = staged;
  const begun = await begin(staged);
  const body = await idp.answer(begun.url, { ...ann, assertionId: '_fixed' });
  await identity.logins.finishSaml(body, begun.binding);
  await assert.rejects(identity.logins.finishSaml(body, begun.binding), { code: 'login_unknown' });
  await assert.rejects(logIn(staged, { ...ann, assertionId: '_fixed' }), { code: 'saml_replayed' });

  // The same assertion under the RelayState of a new request.
  const second = await begin(staged);
  const replayed = new URLSearchParams(body);
  replayed.set('RelayState', new URL(second.url).searchParams.get('RelayState') ?? '');
  await assert.rejects(identity.logins.finishSaml(replayed.toString(), second.binding), { code: 'saml_invalid' });

  const third = await begin(staged);
  await assert.rejects(identity.logins.finishSaml(await idp.answer(third.url, ann), second.binding), { code: 'login_unknown' });
  const fourth = await begin(staged);
  const late = await idp.answer(fourth.url, ann);
  identity.now += 10 * 60_000;
  await assert.rejects(identity.logins.finishSaml(late, fourth.binding), { code: 'login_expired' });
});

test('a name that is another one at each log-in is no subject', async (context) => {
  const staged = await stage(context);
  const nameIdFormat = 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient';
  await assert.rejects(logIn(staged, { ...ann, nameId: '_abc', nameIdFormat }), { code: 'name_missing' });
});
