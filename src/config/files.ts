import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

import type { ReadingContext } from './context.ts';
import type { Config } from './model.ts';
import type { Place } from './reader.ts';
import { whyUnreadable } from './unreadable.ts';

/** The files and directories that a configuration names. They are looked into only where secrets are looked up as well. */

type Context = Pick<ReadingContext, 'absolute' | 'secrets'>;

export function readTls(place: Place, context: Context): Pick<Config, 'tls' | 'allowPlaintextLoopback'> {
  const f = place.fields(['cert', 'key', 'plaintext_loopback']);
  const allowPlaintextLoopback = f.plaintext_loopback.boolean(false);
  if (f.cert.present !== f.key.present) {
    place.problem(`${f.cert.present ? 'key' : 'cert'} is missing; write both cert and key, or neither for a self-signed certificate`);
  }
  if (!f.cert.present || !f.key.present) return { tls: null, allowPlaintextLoopback };
  const tls = { cert: context.absolute(f.cert.text()), key: context.absolute(f.key.text()) };
  if (context.secrets !== null) {
    const cert = parsed(f.cert, tls.cert, 'a certificate in PEM', (pem) => new X509Certificate(pem));
    const key = parsed(f.key, tls.key, 'a private key in PEM without a passphrase', createPrivateKey);
    if (cert !== null && key !== null && !belongs(cert, key)) f.key.problem(`${tls.key} is not the key of ${tls.cert}; write that one`);
  }
  return { tls, allowPlaintextLoopback };
}

/** A file of certificates, absolute; null when the key is absent or null. */
export function readCertificates(place: Place, context: Context): string | null {
  if (!place.present || place.isNull) return null;
  const text = place.text();
  if (text === '') return null;
  const path = context.absolute(text);
  if (context.secrets !== null) parsed(place, path, 'a certificate in PEM', (pem) => new X509Certificate(pem));
  return path;
}

/** The directory of policies, absolute. */
export function readPolicies(place: Place, context: Context): string {
  const text = place.text('./policies');
  const path = context.absolute(text);
  if (!place.present || context.secrets === null) return path;
  try {
    if (!readdirSync(path).some((name) => name.endsWith('.cedar')))
      place.problem(`${path} holds no *.cedar file, and without policies everything is denied; start with a copy of deploy/policies`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') place.problem(`there is no directory ${path}; make it, e.g. as a copy of deploy/policies`);
    else if (code === 'ENOTDIR') place.problem(`${path} is not a directory; write the directory that holds the *.cedar files`);
    else place.problem(`${path} cannot be read: ${whyUnreadable(error)}`);
  }
  return path;
}

function parsed<T>(place: Place, path: string, wanted: string, parse: (pem: Buffer) => T): T | null {
  let pem: Buffer;
  try {
    pem = readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    place.problem(code === 'ENOENT' ? `there is no file ${path}` : `${path} cannot be read: ${whyUnreadable(error)}`);
    return null;
  }
  try {
    return parse(pem);
  } catch {
    place.problem(`${path} is not ${wanted}`);
    return null;
  }
}

function belongs(cert: X509Certificate, key: KeyObject): boolean {
  try {
    return cert.checkPrivateKey(key);
  } catch {
    return false;
  }
}
