import assert from 'node:assert/strict';
import { test } from 'node:test';

import { clientHelp } from './client-help.ts';

const request = { resource: 'payments', account: null, user: 'ada', host: 'gw.example.com', port: 6543 };

test('the default account is the bare user, another one is named', () => {
  assert.equal(
    clientHelp(request).line,
    'PGPASSWORD="$(cat {tokenFile})" psql "host=gw.example.com port=6543 dbname=payments user=ada sslmode=verify-full sslrootcert={ca}"',
  );
  const other = clientHelp({ ...request, account: 'read-write' });
  assert.equal(other.short, 'psql service=sluice-payments-read-write');
  assert.match(other.line, / user=ada\+read-write /);
});

test('the service checks the certificate in full', () => {
  const [service] = clientHelp(request).files;
  assert.equal(
    service?.entry,
    '[sluice-payments]\nhost=gw.example.com\nport=6543\ndbname=payments\nuser=ada\nsslmode=verify-full\nsslrootcert={ca}',
  );
});

test('what separates the fields of the password file is escaped', () => {
  const [, password] = clientHelp({ ...request, user: 'ci:build', host: '::1' }).files;
  assert.equal(password?.entry, '\\:\\:1:6543:payments:ci\\:build:{token}');
  assert.ok(password?.entry.startsWith(password.key));
});
