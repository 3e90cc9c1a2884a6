import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { GatewayError } from '../../src/errors.ts';
import type { Recorder } from '../../src/recording/model.ts';
import { type AccessStage, startAccessStage } from '../support/access-stage.ts';
import { encode } from '../support/wire-messages.ts';

/** What a record that is slow, or takes no more, does to sessions: it stops their clients, and ends no gateway. */
let stage: AccessStage;
let full = false;
let pressed = false;
let appended: string[] = [];
const drained: (() => void)[] = [];
before(async () => {
  stage = await startAccessStage({
    services: ({ recorder }) => ({ recorder: underPressure(recorder) }),
  });
});
after(() => stage.stop());

function underPressure(recorder: Recorder): Recorder {
  return {
    get durability() {
      return recorder.durability;
    },
    get highWater() {
      return recorder.highWater;
    },
    get failure() {
      return recorder.failure;
    },
    get pendingBytes() {
      return pressed ? recorder.highWater + 1 : recorder.pendingBytes;
    },
    append(type, sid, members) {
      if (full) throw new GatewayError({ code: 'record_too_large', source: 'gateway', phase: 'record', publicMessage: 'no more' });
      appended.push(members);
      return recorder.append(type, sid, members);
    },
    appendOutput: (...args) => recorder.appendOutput(...args),
    whenRecorded: (waiter) => recorder.whenRecorded(waiter),
    onceDrained(fn) {
      if (pressed) drained.push(fn);
      else recorder.onceDrained(fn);
    },
    close: () => recorder.close(),
  };
}

test('a client is not read while too much waits to be recorded', async () => {
  const wire = await stage.connect('ada', ['analysts']);
  appended = [];
  pressed = true;
  wire.send(encode.query("select 'first'"));
  // Its rows go to the record as well, so the target is not read either. A session that came later shows that turns have passed.
  while (drained.length === 0) await new Promise((resolve) => setImmediate(resolve));
  wire.send(encode.query("select 'second'"));
  const other = await stage.connect('bob', ['analysts']);
  assert.ok(appended.some((line) => line.includes('first')));
  assert.ok(!appended.some((line) => line.includes('second')), 'it was taken all the same');
  pressed = false;
  for (const fn of drained.splice(0)) fn();
  assert.deepEqual([(await wire.cycle()).rows, (await wire.cycle()).rows], [[['first']], [['second']]]);
  await wire.end();
  await other.end();
});

test('a record that takes nothing more ends the session, forwards nothing, and the gateway goes on', async () => {
  const wire = await stage.connect('ada', ['analysts']);
  full = true;
  wire.send(encode.query("select 'not recorded'"));
  const { errors, rows, status } = await wire.cycle();
  full = false;
  assert.deepEqual([rows, status, errors[0]?.['S']], [[], '', 'FATAL']);
  await wire.ended();
  assert.deepEqual(stage.access.live.list(), []);
  assert.ok(stage.log.some((line) => line.includes('the end of a session could not be recorded')));
  assert.doesNotMatch(stage.server.log(), /not recorded/);
  const next = await stage.connect('ada', ['analysts']);
  assert.deepEqual((await next.query('select 1')).rows, [['1']]);
  await next.end();
});
