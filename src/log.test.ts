import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Log } from './log.ts';

function collect(level?: 'debug' | 'warn'): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const options = { write: (line: string) => void lines.push(line), clock: () => 0 };
  return { log: new Log(level === undefined ? options : { ...options, level }), lines };
}

test('a line is one JSON object with its time, level and fields', () => {
  const { log, lines } = collect();
  log.info('listening\nnow', { port: 1, big: 2n });
  assert.deepEqual(lines, ['{"t":"1970-01-01T00:00:00.000Z","level":"info","msg":"listening\\nnow","port":1,"big":"2"}\n']);
});

test('levels below the least are dropped', () => {
  const { log, lines } = collect('warn');
  log.debug('a');
  log.info('b');
  log.warn('c');
  log.error('d');
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { msg: string }).msg),
    ['c', 'd'],
  );
});

test('bound fields go into every line and cannot replace the fixed ones', () => {
  const { log, lines } = collect('debug');
  log.with({ sid: 's1', level: 'x' }).debug('m', { msg: 'other' });
  assert.deepEqual(JSON.parse(lines[0] ?? ''), { t: '1970-01-01T00:00:00.000Z', level: 'debug', msg: 'm', sid: 's1' });
});

test('an error is its code and message, without stack', () => {
  const { log, lines } = collect();
  log.error('failed', { error: Object.assign(new Error('gone'), { code: 'E_X' }), other: new RangeError('far') });
  assert.deepEqual(JSON.parse(lines[0] ?? '').error, { code: 'E_X', message: 'gone' });
  assert.deepEqual(JSON.parse(lines[0] ?? '').other, { message: 'far' });
});
