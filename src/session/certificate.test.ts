import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { parseConfig } from '../config/load.ts';
import { serverCertificate } from './certificate.ts';

test('the certificate of the first start names this machine, and clients can read its public half only', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-cert-'));
  try {
    const dataDir = join(dir, 'var');
    mkdirSync(dataDir, { mode: 0o700 });
    const text = `gateway: { name: gw-1, data_dir: ${dataDir} }
listeners: { https: 0.0.0.0:0 }
api: { url: https://sluice.example.com/base }
policies: ./policies
resources: []
`;
    const { config } = parseConfig(text, join(dir, 'sluice.yaml'), { protocols: new Map() });
    const { cert } = await serverCertificate(config);
    const names = new X509Certificate(cert);
    for (const name of ['localhost', 'sluice.example.com', hostname()])
      assert.equal(names.checkHost(name)?.toLowerCase(), name.toLowerCase());
    assert.equal(names.checkIP('127.0.0.1'), '127.0.0.1');
    const mode = (path: string): number => statSync(join(dataDir, path)).mode & 0o777;
    assert.deepEqual([mode('.'), mode('tls.crt'), mode('keys'), mode('keys/tls.key')], [0o711, 0o644, 0o700, 0o600]);
    assert.equal(readFileSync(join(dataDir, 'tls.crt'), 'utf8'), cert);
    for (const file of ['tls.crt', 'keys/tls.crt', 'keys/tls.key'])
      assert.match(readFileSync(join(dataDir, file), 'utf8'), /^-----BEGIN [A-Z ]+-----\n([\w+/=]+\n)+-----END [A-Z ]+-----\n$/, file);
    writeFileSync(join(dataDir, 'tls.crt'), 'another');
    assert.equal((await serverCertificate(config)).cert, cert, 'it is kept');
    assert.equal(readFileSync(join(dataDir, 'tls.crt'), 'utf8'), cert);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
