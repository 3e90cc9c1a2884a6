import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { lineOf, withLine, withSection, writeClientFiles } from './client-files.ts';
import type { Io } from './command.ts';

const home = mkdtempSync(join(tmpdir(), 'sluice-files-'));
after(() => rmSync(home, { recursive: true }));
const io: Io = { out: () => {}, err: () => {}, env: { HOME: home }, now: () => 0, stopped: async () => {} };

test('a line reads the token of the log-in, or the one that was brought along', () => {
  const text = 'PASS="$(cat {tokenFile})" client ca={ca}';
  assert.equal(lineOf(text, io, null), `PASS="$(cat ${home}/.config/sluice/token)" client ca=system`);
  assert.equal(lineOf(text, { ...io, env: { HOME: home, SLUICE_TOKEN: 't' } }, '/ca'), 'PASS="$SLUICE_TOKEN" client ca=/ca');
});

test('a section is added after the others, and replaced where it stands', () => {
  assert.equal(withSection('', 'a', '[a]\nx=1'), '[a]\nx=1\n');
  assert.equal(withSection('[o]\ny=1', 'a', '[a]\nx=1'), '[o]\ny=1\n\n[a]\nx=1\n');
  const text = '# mine\n[a]\nx=1\nz=3\n\n[o]\ny=1\n';
  assert.equal(withSection(text, 'a', '[a]\nx=2'), '# mine\n[a]\nx=2\n\n[o]\ny=1\n');
  assert.equal(withSection(withSection(text, 'a', '[a]\nx=2'), 'a', '[a]\nx=2'), withSection(text, 'a', '[a]\nx=2'));
});

test('a line takes the place of the one with its key, before more general ones', () => {
  assert.equal(withLine('h:1:d:u:old\n*:*:*:*:x\n', 'h:1:d:u:', 'h:1:d:u:new'), 'h:1:d:u:new\n*:*:*:*:x\n');
  assert.equal(withLine('', 'k:', 'k:v'), 'k:v\n');
});

test('files are written for their owner alone; a link stays one', () => {
  writeFileSync(join(home, 'real'), 'other:line\n', { mode: 0o644 });
  symlinkSync(join(home, 'real'), join(home, '.pass'));
  const file = { form: 'line', path: '.pass', variable: 'PASSFILE', key: 'k:', entry: 'k:{token}' } as const;
  assert.deepEqual(writeClientFiles([file], [file], io, { token: 't', ca: null }), [join(home, '.pass')]);
  assert.equal(readFileSync(join(home, 'real'), 'utf8'), 'k:t\nother:line\n');
  assert.equal(statSync(join(home, 'real')).mode & 0o777, 0o600);
  const elsewhere = { ...io, env: { HOME: home, PASSFILE: join(home, 'elsewhere') } };
  assert.deepEqual(writeClientFiles([file], [file], elsewhere, { token: 't', ca: null }), [join(home, 'elsewhere')]);
});

test('a gateway gets only entries into the files of its clients', () => {
  const line = { form: 'line', path: '.pass', variable: 'PASSFILE', key: 'k:', entry: 'k:{token}' } as const;
  const section = { form: 'section', path: '.services', variable: 'SERVICES', key: 'a', entry: '[a]\nhost=h' } as const;
  for (const file of [
    { ...line, path: '.bashrc' },
    { ...line, path: '../other/.pass' },
    { ...line, variable: 'HOME' },
    { ...line, form: 'section' as const },
    { ...line, entry: 'k:v\n*:*:*:*:stolen' },
    { ...line, entry: 'other' },
    { ...line, key: '', entry: 'anything' },
    { ...section, entry: '[a]\nhost=h\n[b]\nhost=evil' },
    { ...section, entry: '[b]\nhost=evil' },
    { ...section, key: 'a]\n[b', entry: '[a]\n[b]\nhost=evil' },
    { ...section, entry: '[a]\nhost=h\rport=1' },
  ]) {
    const before = readdirSync(home);
    assert.throws(() => writeClientFiles([section, file], [line, section], io, { token: 't', ca: null }), { code: 'client_file_refused' });
    assert.deepEqual(readdirSync(home), before);
  }
  assert.equal(writeClientFiles([section, line], [line, section], io, { token: 't', ca: null }).length, 2);
});
