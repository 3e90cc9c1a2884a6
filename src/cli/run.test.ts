import assert from 'node:assert/strict';
import { test } from 'node:test';

import { GatewayError } from '../errors.ts';
import type { Arguments, Command, Io } from './command.ts';
import { UsageError } from './command.ts';
import { runCommand } from './run.ts';
import { columns, visible } from './terminal.ts';

function io(): { io: Io; out: string[]; err: string[] } {
  const out: string[] = [];
  const err: string[] = [];
  return {
    io: { out: (text) => void out.push(text), err: (text) => void err.push(text), env: {}, now: () => 0, stopped: async () => {} },
    out,
    err,
  };
}
let seen: Arguments | undefined;
const command = (name: string, run: () => void = () => {}): Command => ({
  name,
  summary: `summary of ${name}`,
  usage: '[--a A] WORD',
  options: { a: { type: 'string' }, many: { type: 'string', multiple: true }, on: { type: 'boolean' } },
  details: 'details',
  positionals: { min: 1, max: 1 },
  async run(args) {
    seen = args;
    run();
    return 0;
  },
});

test('options and words reach the command of that name', async () => {
  const { io: stub } = io();
  assert.equal(await runCommand(['two words', 'x'], [command('two words')], stub), 2);
  assert.equal(
    await runCommand(
      ['two', 'words', '--a', 'v', '--many', '1', 'w', '--many=2', '--on'],
      [command('two'), command('two words')].reverse(),
      stub,
    ),
    0,
  );
  assert.deepEqual([seen?.text('a'), seen?.list('many'), seen?.flag('on'), seen?.words], ['v', ['1', '2'], true, ['w']]);
  assert.throws(() => seen?.required('b'), UsageError);
});

test('a wrong call exits 2 with the usage on stderr', async () => {
  for (const argv of [['c'], ['c', 'w', 'w2'], ['c', 'w', '--nope'], ['c', 'w', '--a'], ['c', 'w', '--on=1']]) {
    const { io: stub, out, err } = io();
    assert.equal(await runCommand(argv, [command('c')], stub), 2, argv.join(' '));
    assert.match(err.join(''), /usage: sluice c \[--a A\] WORD/);
    assert.deepEqual(out, []);
  }
  const odd = io();
  await runCommand(['c', 'w', '--nope'], [command('c')], odd.io);
  assert.equal(odd.err.join(''), "sluice c: unknown option '--nope'\nusage: sluice c [--a A] WORD\n");
  const missing = io();
  await runCommand(['c', '--a', 'v'], [command('c')], missing.io);
  assert.match(missing.err.join(''), /^sluice c: WORD is missing\n/);
  const { io: stub, out, err } = io();
  assert.equal(await runCommand([], [command('c')], stub), 2);
  assert.match(err.join(''), /summary of c/);
  assert.deepEqual(out, []);
});

test('an unknown command is one line, with the one that was meant', async () => {
  const commands = [command('keys ls'), command('check'), command('verify')];
  for (const [argv, expected] of [
    [['chekc'], 'sluice: unknown command "chekc"; did you mean "sluice check"? "sluice --help" lists them all\n'],
    [['chekc', '--config', 'x'], 'sluice: unknown command "chekc"; did you mean "sluice check"? "sluice --help" lists them all\n'],
    [['kyes', 'ls'], 'sluice: unknown command "kyes ls"; did you mean "sluice keys ls"? "sluice --help" lists them all\n'],
    [['--what'], 'sluice: unknown command "--what" "sluice --help" lists them all\n'],
  ] as const) {
    const { io: stub, out, err } = io();
    assert.equal(await runCommand(argv, commands, stub), 2);
    assert.deepEqual([err.join(''), out], [expected.replace('" "sluice --help', '"; "sluice --help'), []]);
  }
});

test('help goes to stdout and exits 0, even with arguments missing', async () => {
  for (const argv of [['--help'], ['-h'], ['help'], ['c', '--help'], ['c', '-h']]) {
    const { io: stub, out } = io();
    assert.equal(await runCommand(argv, [command('c')], stub), 0);
    assert.match(out.join(''), /summary of c/);
  }
});

test('a word that begins several commands tells their usages', async () => {
  const commands = [command('keys ls'), command('keys make'), command('other')];
  for (const option of ['--help', '-h', 'help']) {
    const { io: stub, out, err } = io();
    assert.equal(await runCommand(['keys', option], commands, stub), 0);
    assert.match(out.join(''), /sluice keys ls \[--a A\] WORD\n +summary of keys ls\n +sluice keys make \[--a A\] WORD/);
    assert.doesNotMatch(out.join(''), /other/);
    assert.deepEqual(err, []);
  }
  for (const [argv, first] of [
    [['keys'], /^usage:\n {2}sluice keys ls/],
    [['keys', 'mkae'], /^sluice: unknown command "keys mkae"; did you mean "sluice keys make"\? "sluice keys --help" lists them\n$/],
    [['keys', 'x'], /^sluice: unknown command "keys x"; "sluice keys --help" lists them\n$/],
  ] as const) {
    const { io: stub, out, err } = io();
    assert.equal(await runCommand(argv, commands, stub), 2);
    assert.match(err.join(''), first);
    assert.deepEqual(out, []);
  }
});

test('--version says which it is', async () => {
  const { io: stub, out } = io();
  assert.equal(await runCommand(['--version'], [command('c')], stub), 0);
  assert.match(out.join(''), /^sluice \d+\.\d+\.\d+\n$/);
});

test('our errors are told plainly, a fault of the program with its stack', async () => {
  const fail = (error: Error): Command =>
    command('c', () => {
      throw error;
    });
  const gone = io();
  assert.equal(
    await runCommand(
      ['c', 'w'],
      [fail(new GatewayError({ code: 'x', source: 'gateway', phase: 'config', publicMessage: 'a: b', hint: 'do c' }))],
      gone.io,
    ),
    1,
  );
  assert.deepEqual(gone.err, ['a: b\ndo c\n']);
  const fault = io();
  assert.equal(await runCommand(['c', 'w'], [fail(new TypeError('oops'))], fault.io), 1);
  assert.match(fault.err.join(''), /TypeError: oops\n {4}at /);
});

test('text from a record cannot drive the terminal', () => {
  assert.equal(visible('a\u001b[2Jb\r\nc\td\u202ee\u009b'), 'a\\u001b[2Jb  c d\\u202ee\\u009b');
  assert.equal(visible('a\n\tb\u0007\r', true), 'a\n\tb\\u0007\\u000d\n');
});

test('columns line up', () => {
  assert.equal(
    columns([
      ['a', 'bbb', 'c'],
      ['aa', 'b', 'cc'],
    ]),
    'a   bbb  c\naa  b    cc\n',
  );
  assert.equal(columns([]), '');
});
