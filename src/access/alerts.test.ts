import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccessConfig } from '../config/model.ts';
import { type Alert, Alerts } from './alerts.ts';
import { EventBus } from './events.ts';
import type { LiveEvent, LiveSession } from './model.ts';

const CONFIG: AccessConfig['alerts'] = {
  webhook: null,
  cards: 100,
  denials: 3,
  failedLogins: 3,
  windowSeconds: 60,
  hours: { from: 8, to: 18, weekends: false },
};
/** A Tuesday, 12:00 UTC. */
const NOON = Date.UTC(2026, 10, 24, 12);

function watch(config: Partial<AccessConfig['alerts']> = {}) {
  const clock = { now: NOON };
  const events = new EventBus(
    'gw',
    () => clock.now,
    (error) => assert.fail(String(error)),
  );
  const raised: Alert[] = [];
  const sessions: LiveSession[] = [];
  const stream: LiveEvent[] = [];
  const record = { last: 10 };
  const alerts = new Alerts({
    config: { ...CONFIG, ...config },
    events,
    sessions: () => sessions,
    lastLine: () => record.last,
    record: (alert) => raised.push(alert),
    now: () => clock.now,
  });
  events.listen((event) => stream.push(event));
  const emit = (type: LiveEvent['type'], line: number, more: Partial<LiveEvent> = {}): void =>
    events.emit({ type, sid: 's1', user: 'ada', resource: 'payments', line, detail: {}, ...more });
  return { alerts, clock, emit, raised, sessions, stream, record };
}

test('a burst of denials raises one alert, with the lines that raised it', () => {
  const { emit, raised, stream } = watch();
  for (const line of [11, 12, 13, 14]) emit('denied', line);
  assert.equal(raised.length, 1);
  assert.deepEqual(raised[0]?.lines, ['s1:11', 's1:12', 's1:13']);
  assert.equal(raised[0]?.message, '3 denied operations within 60 s: ada');
  const alert = stream.find((event) => event.type === 'alert');
  assert.deepEqual([alert?.line, alert?.detail['rule']], [1, 'denials']);
});

test('denials spread over a longer time, or over people, raise none', () => {
  const { clock, emit, raised } = watch();
  for (const user of ['ada', 'bob', 'ada', 'bob']) emit('denied', 1, { user });
  clock.now += 61_000;
  for (const user of ['ada', 'bob', 'ada', 'bob']) emit('denied', 1, { user });
  assert.deepEqual(raised, []);
});

test('after a window of quiet the next burst raises another', () => {
  const { clock, emit, raised } = watch();
  for (let i = 0; i < 3; i++) emit('denied', i);
  clock.now += 120_000;
  for (let i = 0; i < 3; i++) emit('denied', i);
  assert.equal(raised.length, 2);
});

test('failed log-ins count by user and by source', () => {
  const { emit, raised } = watch();
  for (const [line, user] of ['ada', 'bob', 'eve'].entries())
    emit('login.failed', line, { user, sid: '', detail: { source: `10.0.0.9:${4000 + line}` } });
  assert.deepEqual(
    raised.map((alert) => alert.message),
    ['3 failed log-ins within 60 s: 10.0.0.9'],
  );
});

test('failed log-ins without a name count by source alone', () => {
  const { emit, raised } = watch();
  for (let i = 0; i < 9; i++) emit('login.failed', i, { user: '', sid: '', detail: { source: `10.0.0.${i}:4000` } });
  assert.equal(raised.length, 0);
  for (let i = 0; i < 2; i++) emit('login.failed', i, { user: '', sid: '', detail: { source: '10.0.0.1:4000' } });
  assert.deepEqual(
    raised.map((alert) => alert.message),
    ['3 failed log-ins within 60 s: 10.0.0.1'],
  );
});

test('card data seen counts over the sessions of one person, with the lines of each', () => {
  const { alerts, emit, raised, sessions, record } = watch();
  const session = (sid: string, masked: Record<string, number>): LiveSession =>
    ({ sid, principal: { name: 'ada', issuer: 'idp' }, target: { resource: 'payments' }, masked }) as unknown as LiveSession;
  sessions.push(session('s1', { pan: 40, column: 20 }));
  alerts.poll();
  record.last = 20;
  sessions[0] = session('s1', { pan: 60, column: 20, cvv: 500 });
  alerts.poll();
  assert.equal(raised.length, 0);
  // The last of it was masked after the last look.
  sessions.length = 0;
  emit('session.end', 25, { detail: { cards: 101, issuer: 'idp' } });
  assert.equal(raised[0]?.count, 101);
  assert.deepEqual(raised[0]?.lines, ['s1:1-10', 's1:11-20', 's1:21-25']);
});

test('people who come at night or at the weekend raise an alert, services do not', () => {
  const { clock, emit, raised } = watch();
  emit('session.start', 1, { detail: { kind: 'user' } });
  clock.now = Date.UTC(2026, 10, 24, 18);
  emit('session.start', 2, { detail: { kind: 'user' } });
  emit('session.start', 3, { detail: { kind: 'service' } });
  clock.now = Date.UTC(2026, 10, 28, 12);
  emit('session.start', 4, { detail: { kind: 'user' } });
  assert.deepEqual(
    raised.map((alert) => alert.lines),
    [['s1:2'], ['s1:4']],
  );
});

test('the failure of a control raises an alert at once, and once a window', () => {
  const { emit, raised } = watch();
  for (let i = 0; i < 5; i++) emit('control.failed', i, { sid: '', detail: { control: 'record' } });
  assert.deepEqual(
    raised.map((alert) => alert.message),
    ['a control has failed: record'],
  );
});

test('an alert about break-glass says for which account and why, and counts nothing', () => {
  const { emit, raised, stream } = watch();
  emit('grant', 201, { sid: '', detail: { event: 'break-glass', role: 'read-write', reason: 'the shop is down' } });
  assert.deepEqual(
    raised.map(({ message, lines }) => [message, lines]),
    [['access as read-write was taken without approval: the shop is down', ['201']]],
  );
  assert.deepEqual(Object.keys(stream.find((event) => event.type === 'alert')?.detail ?? {}), ['rule', 'message', 'lines']);
});

test('a threshold of 0 turns a rule off', () => {
  const { emit, raised } = watch({ denials: 0, failedLogins: 0, hours: null });
  for (let i = 0; i < 50; i++) {
    emit('denied', i);
    emit('login.failed', i);
    emit('session.start', i);
  }
  assert.deepEqual(raised, []);
});

test('any number of users is counted in bounded memory', () => {
  const { emit, raised } = watch();
  emit('denied', 1, { user: 'first' });
  emit('denied', 1, { user: 'first' });
  for (let i = 0; i < 20_000; i++) emit('denied', i, { user: `u${i}` });
  emit('denied', 1, { user: 'first' });
  assert.deepEqual(raised, []);
});
