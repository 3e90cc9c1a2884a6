import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** PEM texts: a server certificate for localhost, 127.0.0.1 and ::1, its key, and the CA that signed it. */
export interface Certificates {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface CertificateOptions {
  /** Names and addresses of the certificate; `localhost`, `127.0.0.1` and `::1` when absent. */
  readonly names?: readonly string[];
  /** The digest of the signature; channel binding depends on it. */
  readonly digest?: 'sha256' | 'sha384' | 'sha512';
}

/** Makes a CA and a server certificate signed by it, by the `openssl` command. */
export function makeCertificates(options: CertificateOptions = {}): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-certs-'));
  const file = (name: string): string => join(folder, name);
  const digest = `-${options.digest ?? 'sha256'}`;
  const names = (options.names ?? ['localhost', '127.0.0.1', '::1']).map((name) =>
    /^[\d.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`,
  );
  try {
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    openssl([
      'req',
      '-x509',
      ...curve,
      digest,
      '-days',
      '2',
      '-subj',
      '/CN=Sluice test CA',
      '-keyout',
      file('ca.key'),
      '-out',
      file('ca.crt'),
      '-addext',
      'basicConstraints=critical,CA:TRUE',
      '-addext',
      'keyUsage=critical,keyCertSign',
    ]);
    openssl(['req', '-new', ...curve, '-subj', '/CN=localhost', '-keyout', file('server.key'), '-out', file('server.csr')]);
    writeFileSync(file('extensions'), `subjectAltName=${names.join(',')}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n`);
    openssl([
      'x509',
      '-req',
      digest,
      '-in',
      file('server.csr'),
      '-CA',
      file('ca.crt'),
      '-CAkey',
      file('ca.key'),
      '-set_serial',
      '2',
      '-days',
      '2',
      '-extfile',
      file('extensions'),
      '-out',
      file('server.crt'),
    ]);
    return {
      ca: readFileSync(file('ca.crt'), 'utf8'),
      cert: readFileSync(file('server.crt'), 'utf8'),
      key: readFileSync(file('server.key'), 'utf8'),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function openssl(args: readonly string[]): void {
  const done = spawnSync('openssl', args, { encoding: 'utf8' });
  if (done.error) throw new Error(`openssl: ${done.error.message}; install the package \`openssl\``);
  if (done.status !== 0) throw new Error(`openssl ${args[0] ?? ''} failed: ${done.stderr}`);
}
