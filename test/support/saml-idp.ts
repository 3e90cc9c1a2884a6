import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import * as samlify from 'samlify';
import { generate } from 'selfsigned';

/** A SAML identity provider on samlify: another implementation than the one it is there to test. */

export interface SamlAnswer {
  readonly nameId: string;
  readonly nameIdFormat?: string;
  readonly groups?: readonly string[];
  readonly audience?: string;
  readonly issuer?: string;
  readonly recipient?: string;
  /** The request that is answered; default the one that came. */
  readonly inResponseTo?: string;
  /** Instead of a new one. */
  readonly assertionId?: string;
  readonly signed?: boolean;
  /** Signs on SHA-1. */
  readonly sha1?: boolean;
  /** Shifts every time in it, ms. */
  readonly shiftMs?: number;
  /** Changes the XML after it was signed. */
  readonly tamper?: (xml: string) => string;
}

export interface SamlIdpOptions {
  /** Entity id of the gateway, and where it takes answers. */
  readonly audience: string;
  readonly acsUrl: string;
}

const POST = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST';
const REDIRECT = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect';
export const emailFormat = 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress';
const LIFE_MS = 5 * 60_000;

const template = `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{ID}" Version="2.0" IssueInstant="{IssueInstant}" Destination="{Recipient}" InResponseTo="{InResponseTo}"><saml:Issuer>{Issuer}</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status><saml:Assertion xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xs="http://www.w3.org/2001/XMLSchema" ID="{AssertionID}" Version="2.0" IssueInstant="{IssueInstant}"><saml:Issuer>{Issuer}</saml:Issuer><saml:Subject><saml:NameID Format="{NameIDFormat}">{NameID}</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="{NotOnOrAfter}" Recipient="{Recipient}" InResponseTo="{InResponseTo}"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="{NotBefore}" NotOnOrAfter="{NotOnOrAfter}"><saml:AudienceRestriction><saml:Audience>{Audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="{IssueInstant}" SessionIndex="_s1"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement><saml:Attribute Name="groups" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic">GROUPS</saml:Attribute></saml:AttributeStatement></saml:Assertion></samlp:Response>`;

// Schemas are checked by external programs; what matters here is the signature.
samlify.setSchemaValidator({ validate: () => Promise.resolve('skipped') });

export class TestSamlIdp {
  readonly entityId = 'https://idp.test/saml';
  readonly entryPoint = 'https://idp.test/saml/sso';
  /** Path of the PEM that signatures are checked with. */
  readonly certPath: string;
  readonly #dir: string;
  readonly #key: string;
  readonly #cert: string;
  readonly #options: SamlIdpOptions;

  private constructor(options: SamlIdpOptions, key: string, cert: string) {
    this.#options = options;
    this.#key = key;
    this.#cert = cert;
    this.#dir = mkdtempSync(join(tmpdir(), 'sluice-saml-'));
    this.certPath = join(this.#dir, 'idp.crt');
    writeFileSync(this.certPath, cert);
  }

  static async start(options: SamlIdpOptions): Promise<TestSamlIdp> {
    const { private: key, cert } = await generate([{ name: 'commonName', value: 'idp.test' }], { keySize: 2048, algorithm: 'sha256' });
    return new TestSamlIdp(options, key, cert);
  }

  close(): void {
    rmSync(this.#dir, { recursive: true });
  }

  /** Answers the request of a redirect URL: the form that the browser posts. */
  async answer(requestUrl: string, answer: SamlAnswer): Promise<string> {
    const { idp, sp } = this.#entities(answer.signed ?? true, answer.sha1 ?? false);
    const query = Object.fromEntries(new URL(requestUrl).searchParams);
    const request = await idp.parseLoginRequest(sp, 'redirect', { query });
    const { id } = (request.extract as { request: { id: string } }).request;
    const at = (ms: number): string => new Date(Date.now() + (answer.shiftMs ?? 0) + ms).toISOString();
    const tags = {
      ID: `_${randomBytes(16).toString('hex')}`,
      AssertionID: answer.assertionId ?? `_${randomBytes(16).toString('hex')}`,
      InResponseTo: answer.inResponseTo ?? id,
      Issuer: answer.issuer ?? this.entityId,
      IssueInstant: at(0),
      NotBefore: at(-1000),
      NotOnOrAfter: at(LIFE_MS),
      Recipient: answer.recipient ?? this.#options.acsUrl,
      Audience: answer.audience ?? this.#options.audience,
      NameID: answer.nameId,
      NameIDFormat: answer.nameIdFormat ?? emailFormat,
    };
    const values = (answer.groups ?? []).map((group) => `<saml:AttributeValue xsi:type="xs:string">${group}</saml:AttributeValue>`);
    const fill = (text: string): { id: string; context: string } => ({
      id: tags.ID,
      context: Object.entries(tags)
        .reduce((filled, [name, value]) => filled.replaceAll(`{${name}}`, value), text)
        .replace('GROUPS', values.join('')),
    });
    const made = await idp.createLoginResponse(sp, { extract: { request: { id } } }, 'post', {}, { customTagReplacement: fill });
    const xml = Buffer.from(made.context, 'base64').toString('utf8');
    const sent = answer.tamper === undefined ? xml : answer.tamper(xml);
    return new URLSearchParams({ SAMLResponse: Buffer.from(sent).toString('base64'), RelayState: query['RelayState'] ?? '' }).toString();
  }

  #entities(
    signed: boolean,
    sha1: boolean,
  ): { idp: ReturnType<typeof samlify.IdentityProvider>; sp: ReturnType<typeof samlify.ServiceProvider> } {
    const idp = samlify.IdentityProvider({
      entityID: this.entityId,
      privateKey: this.#key,
      signingCert: this.#cert,
      isAssertionEncrypted: false,
      requestSignatureAlgorithm: sha1 ? 'http://www.w3.org/2000/09/xmldsig#rsa-sha1' : 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
      singleSignOnService: [{ Binding: REDIRECT, Location: this.entryPoint }],
      loginResponseTemplate: { context: template, attributes: [] },
    });
    const { audience, acsUrl } = this.#options;
    const sp = samlify.ServiceProvider({
      entityID: audience,
      wantAssertionsSigned: signed,
      assertionConsumerService: [{ Binding: POST, Location: acsUrl }],
    });
    return { idp, sp };
  }
}
