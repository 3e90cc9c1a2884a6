import assert from 'node:assert/strict';
import { test } from 'node:test';
import { analyzeSql } from '../../../native/binding/index.js';
import { analysisOf } from './analysis.ts';
import { keepsPinned, reasonSetBy, setsReasonAlone, settingFromView, startupSettings } from './settings.ts';

const settings = (parameters: Record<string, string>): ReturnType<typeof startupSettings> =>
  startupSettings(new Map(Object.entries(parameters)));

test('pinned settings go to the server whether the client names them or not', () => {
  for (const parameters of [
    {},
    { client_encoding: 'utf-8' },
    { client_encoding: 'auto' },
    { options: '-c standard_conforming_strings=on' },
  ]) {
    const found = settings({ user: 'u', database: 'd', ...parameters });
    assert.ok(found.ok);
    assert.equal(found.settings.get('standard_conforming_strings'), 'on');
    assert.equal(found.settings.get('client_encoding'), 'UTF8');
    assert.equal(found.settings.has('user'), false);
  }
});

test('options are read as the server reads them', () => {
  const found = settings({ options: '-c search_path=a\\ b -cstatement_timeout=5 --lock-timeout=7' });
  assert.ok(found.ok);
  assert.deepEqual(
    [found.settings.get('search_path'), found.settings.get('statement_timeout'), found.settings.get('lock_timeout')],
    ['a b', '5', '7'],
  );
});

for (const parameters of [
  { client_encoding: 'SJIS' },
  { CLIENT_ENCODING: 'latin1' },
  { standard_conforming_strings: 'off' },
  { options: '-c standard_conforming_strings=off' },
  { options: '--Standard-Conforming-Strings=off' },
  { options: '-c standard\\_conforming_strings=off' },
  { options: '-c' },
  { options: '-B 100' },
  { options: 'search_path=x' },
  { role: 'postgres' },
  { session_authorization: 'postgres' },
  { session_preload_libraries: 'x' },
]) {
  test(`refuses ${JSON.stringify(parameters)}`, () => assert.equal(settings(parameters as Record<string, string>).ok, false));
}

test('other spellings of the pinned values keep them', () => {
  for (const value of ['utf8', 'UTF-8', "'utf_8'", 'unicode']) assert.equal(keepsPinned('client_encoding', value), true, value);
  for (const value of ['on', 'TRUE', 'yes', '1']) assert.equal(keepsPinned('standard_conforming_strings', value), true, value);
  for (const value of ['utf16', 'sql_ascii', '']) assert.equal(keepsPinned('client_encoding', value), false, value);
});

test('a name taken from pg_settings by an equal constant is that constant, and nothing like it is', () => {
  assert.deepEqual(
    settingFromView(
      "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'",
    ),
    {
      name: 'restrict_nonsystem_relation_kind',
      value: 'view, foreign-table',
      local: false,
    },
  );
  for (const text of [
    "select set_config(name, 'off', false) from pg_settings where name like 'standard_conforming_strings'",
    "select set_config(name, 'off', false) from pg_settings where name = 'a' or true",
    "select set_config(name, 'off', false) from mine.pg_settings where name = 'a'",
    "select set_config(name, 'a\\'', false) from pg_settings where name = 'a'",
    "select set_config(name, setting, false) from pg_settings where name = 'a'",
  ]) {
    assert.equal(settingFromView(text), null, text);
  }
});

test('a reason is one line of up to 500 characters, with blanks quoted by backslashes', () => {
  const reason = (options: string): string | null => {
    const parsed = settings({ options });
    return parsed.ok ? parsed.own.reason : null;
  };
  assert.equal(reason('-c sluice.reason=OPS-12\\ fix\\ brands -c lock_timeout=5'), 'OPS-12 fix brands');
  assert.equal(reason('--sluice.reason=a\\\\b=c'), 'a\\b=c');
  assert.equal(reason('-c sluice.reason=\\ two\\\nlines\u202e\\ '), 'two lines');
  assert.equal(reason(`-c sluice.reason=${'\u{1f4b3}'.repeat(500)}`), '\u{1f4b3}'.repeat(500));
  assert.equal(reason(`-c sluice.reason=${'x'.repeat(501)}`), null);
  assert.equal(reason('-c lock_timeout=5'), '');
});

test('only SET and RESET of the reason change nothing else', () => {
  const alone = (text: string): boolean => {
    const bytes = Buffer.from(text);
    const analysis = analysisOf(analyzeSql(bytes, 0, bytes.length));
    assert.ok(analysis.error === undefined);
    return analysis.statements.every(setsReasonAlone);
  };
  for (const text of ["set sluice.reason = 'x'", "set local sluice.reason = 'x'", 'reset sluice.reason']) assert.ok(alone(text), text);
  for (const text of [
    'reset all',
    'discard all',
    "set search_path = 'sluice.reason'",
    "call p(set_config('sluice.reason', 'x', false), set_config('search_path', 'mine', false))",
    "select set_config('sluice.reason', 'x', false), set_config('search_path', 'mine', false)",
    "set sluice.reason = 'x'; set search_path = mine",
  ])
    assert.ok(!alone(text), text);
});

test('what a session is for follows SET, RESET and DISCARD ALL, and nothing else', () => {
  const after = (text: string, tag: string): string | null => {
    const bytes = Buffer.from(text);
    const analysis = analysisOf(analyzeSql(bytes, 0, bytes.length));
    const statement = analysis.error === undefined ? analysis.statements[0] : undefined;
    assert.ok(statement !== undefined, text);
    return reasonSetBy(statement, tag, 'at start');
  };
  assert.equal(after("set sluice.reason = 'OPS-12\n fix'", 'SET'), 'OPS-12 fix');
  assert.equal(after('set "Sluice".reason to ops', 'SET'), 'ops');
  assert.equal(after(`set sluice.reason = '${'\u{1f4b3}'.repeat(600)}'`, 'SET'), '\u{1f4b3}'.repeat(500));
  assert.equal(after('set sluice.reason to default', 'SET'), 'at start');
  assert.equal(after('reset sluice.reason', 'RESET'), 'at start');
  assert.equal(after('reset all', 'RESET'), 'at start');
  assert.equal(after('discard all', 'DISCARD ALL'), 'at start');
  for (const [text, tag] of [
    ["set local sluice.reason = 'x'", 'SET'],
    ['set sluice.reason from current', 'SET'],
    ["set sluice.reasons = 'x'", 'SET'],
    ['reset search_path', 'RESET'],
    ['discard plans', 'DISCARD PLANS'],
    ["select set_config('sluice.reason', 'x', false)", 'SELECT 1'],
    ["alter role ada set sluice.reason = 'x'", 'ALTER ROLE'],
  ] as const) {
    assert.equal(after(text, tag), null, text);
  }
});
