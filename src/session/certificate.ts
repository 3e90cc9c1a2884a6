import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import type { Config } from '../config/model.ts';
import { GatewayError } from '../errors.ts';

export interface ServerCertificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

/** The listener's certificate: the configured one, else one of our own that is made on the first start and kept. */
export async function serverCertificate(config: Config): Promise<ServerCertificate> {
  if (config.tls !== null) return { cert: readFileSync(config.tls.cert, 'utf8'), key: readFileSync(config.tls.key, 'utf8') };
  const directory = join(config.gateway.dataDir, 'keys');
  const certFile = join(directory, 'tls.crt');
  const keyFile = join(directory, 'tls.key');
  if (existsSync(certFile) && existsSync(keyFile)) {
    const cert = lines(readFileSync(certFile, 'utf8'));
    publish(config.gateway.dataDir, cert);
    return { cert, key: readFileSync(keyFile, 'utf8') };
  }
  const hosts = new Set([
    'localhost',
    '127.0.0.1',
    '::1',
    hostname().toLowerCase(),
    ...Object.values(config.listeners).map((listener) => listener.host),
    ...(config.api === null ? [] : [config.api.address.host, new URL(config.api.url).hostname.replace(/^\[|\]$/g, '')]),
  ]);
  hosts.delete('0.0.0.0');
  hosts.delete('::');
  try {
    const made = await generate([{ name: 'commonName', value: config.gateway.name }], {
      keyType: 'ec',
      curve: 'P-256',
      algorithm: 'sha256',
      notAfterDate: new Date(Date.now() + 825 * 86_400_000),
      extensions: [
        { name: 'basicConstraints', cA: false, critical: true },
        { name: 'keyUsage', digitalSignature: true, critical: true },
        { name: 'extKeyUsage', serverAuth: true },
        {
          name: 'subjectAltName',
          altNames: [...hosts].map((host) => (isIP(host) === 0 ? { type: 2 as const, value: host } : { type: 7 as const, ip: host })),
        },
      ],
    });
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const [cert, key] = [lines(made.cert), lines(made.private)];
    writeFileSync(keyFile, key, { mode: 0o600 });
    writeFileSync(certFile, cert, { mode: 0o644 });
    publish(config.gateway.dataDir, cert);
    return { cert, key };
  } catch (cause) {
    throw new GatewayError({
      code: 'tls_unusable',
      source: 'gateway',
      phase: 'listen',
      cause,
      publicMessage: `no certificate could be made in ${directory}`,
    });
  }
}

/** Each line ended, also the last: such files are joined with `cat`. */
function lines(pem: string): string {
  return `${pem.replaceAll('\r\n', '\n').trimEnd()}\n`;
}

/**
 * A copy that clients on this machine can read, as `<data_dir>/tls.crt`. The directory is made passable for that, though not
 * listable, when the copy is first made; keys and record below it stay closed.
 */
function publish(dataDir: string, cert: string): void {
  const path = join(dataDir, 'tls.crt');
  if (existsSync(path)) {
    if (readFileSync(path, 'utf8') !== cert) writeFileSync(path, cert);
    return;
  }
  writeFileSync(path, cert, { mode: 0o644 });
  chmodSync(path, 0o644);
  chmodSync(dataDir, (statSync(dataDir).mode & 0o777) | 0o011);
}
