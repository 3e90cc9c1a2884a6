import type { AccessConfig } from '../config/model.ts';
import type { Events, LiveEvent, LiveSession } from './model.ts';

export type AlertRule = 'cards' | 'denials' | 'failed-logins' | 'hours' | 'control-failed' | 'break-glass';

/** What raised an alert. */
export interface Alert {
  readonly rule: AlertRule;
  readonly user: string;
  readonly resource: string;
  readonly sid: string;
  readonly count: number;
  readonly threshold: number;
  readonly windowSeconds: number;
  /** `sid:seq` of single lines; `sid:from-to` for the lines of a session in a time. An empty sid is a line of no session. */
  readonly lines: readonly string[];
  readonly message: string;
}

export interface AlertOptions {
  readonly config: AccessConfig['alerts'];
  readonly events: Events;
  /** The open sessions of this gateway. */
  readonly sessions: () => readonly LiveSession[];
  /** `seq` of the last line of the record. */
  readonly lastLine: () => number;
  /** Writes the alert into the record. Returns its `seq`. */
  readonly record: (alert: Alert) => number;
  /** ms since the epoch. */
  readonly now: () => number;
}

/** Whoever is counted: principals, sources. Beyond this many the one that was quiet longest is forgotten. */
const MAX_KEYS = 10_000;
/** Lines named in one alert. */
const MAX_LINES = 100;

interface Hit {
  readonly at: number;
  readonly count: number;
  readonly line: string;
}

/** Adds up what happened to one key within the window. */
class Window {
  #hits: Hit[] = [];
  /** No second alert before this time: one alert a window. */
  quietUntil = 0;

  add(hit: Hit, windowMs: number): void {
    this.#hits.push(hit);
    const from = hit.at - windowMs;
    // Past the limit of what an alert names, neighbours are merged: the count stays exact, the memory bounded.
    while ((this.#hits[0]?.at ?? hit.at) < from) this.#hits.shift();
    if (this.#hits.length > 2 * MAX_LINES) {
      const [a, b] = this.#hits.splice(0, 2);
      if (a !== undefined && b !== undefined) this.#hits.unshift({ at: b.at, count: a.count + b.count, line: b.line });
    }
  }

  get count(): number {
    return this.#hits.reduce((sum, hit) => sum + hit.count, 0);
  }

  get lines(): readonly string[] {
    return this.#hits.slice(-MAX_LINES).map((hit) => hit.line);
  }
}

/** Watches the events and the open sessions of this gateway, and raises alerts past the configured thresholds. */
export class Alerts {
  readonly #options: AlertOptions;
  readonly #windows = new Map<string, Window>();
  /** Card numbers masked so far, by session, with the last line at that time. */
  readonly #cards = new Map<string, { count: number; line: number }>();
  readonly #stop: () => void;
  #raised = 0;

  constructor(options: AlertOptions) {
    this.#options = options;
    this.#stop = options.events.listen((event) => this.#onEvent(event));
  }

  /** Alerts raised since the start. */
  get raised(): number {
    return this.#raised;
  }

  close(): void {
    this.#stop();
  }

  /** Looks at what the open sessions have masked since the last time. To be called about once a second. */
  poll(): void {
    const { config, sessions, lastLine, now } = this.#options;
    if (config.cards === 0) return;
    const open = new Set<string>();
    const line = lastLine();
    for (const session of sessions()) {
      open.add(session.sid);
      const count = cardsOf(session.masked);
      const before = this.#cards.get(session.sid) ?? { count: 0, line: 0 };
      if (count > before.count) {
        const { principal, sid, target } = session;
        const hit = { at: now(), count: count - before.count, line: `${sid}:${before.line + 1}-${line}` };
        this.#count('cards', `${principal.issuer} ${principal.name}`, config.cards, hit, {
          user: principal.name,
          resource: target.resource,
          sid,
        });
      }
      this.#cards.set(session.sid, { count, line });
    }
    for (const sid of this.#cards.keys()) if (!open.has(sid)) this.#cards.delete(sid);
  }

  #onEvent(event: LiveEvent): void {
    const { config } = this.#options;
    const about = { user: event.user, resource: event.resource, sid: event.sid };
    const hit = { at: event.at, count: 1, line: event.sid === '' ? String(event.line) : `${event.sid}:${event.line}` };
    switch (event.type) {
      case 'denied':
        this.#count('denials', event.user, config.denials, hit, about);
        break;
      case 'login.failed': {
        // Those who gave no name are not one person.
        if (event.user !== '') this.#count('failed-logins', `user ${event.user}`, config.failedLogins, hit, about);
        // One source that tries many names.
        const source = String(event.detail['source'] ?? '').replace(/:\d+$/, '');
        if (source !== '') this.#count('failed-logins', `source ${source}`, config.failedLogins, hit, { ...about, user: '' });
        break;
      }
      case 'session.start':
        if (event.detail['kind'] !== 'service' && outside(event.at, config.hours)) {
          this.#raise({
            rule: 'hours',
            ...about,
            count: 1,
            threshold: 0,
            windowSeconds: 0,
            lines: [hit.line],
            message: 'a session began outside working hours',
          });
        }
        break;
      case 'session.end':
        this.#closing(event, hit.at);
        break;
      case 'control.failed':
        this.#once(
          'control-failed',
          `${String(event.detail['control'])}`,
          hit,
          about,
          `a control has failed: ${String(event.detail['control'])}`,
        );
        break;
      case 'grant':
        if (event.detail['event'] === 'break-glass')
          this.#raise({
            rule: 'break-glass',
            ...about,
            count: 1,
            threshold: 0,
            windowSeconds: 0,
            lines: [hit.line],
            message: `access as ${String(event.detail['role'])} was taken without approval: ${String(event.detail['reason'])}`,
          });
        break;
      default:
        break;
    }
  }

  /** What a session masked after it was last looked at still counts. */
  #closing(event: LiveEvent, at: number): void {
    const { config } = this.#options;
    const before = this.#cards.get(event.sid) ?? { count: 0, line: 0 };
    this.#cards.delete(event.sid);
    const count = Number(event.detail['cards'] ?? 0);
    if (config.cards === 0 || count <= before.count) return;
    const hit = { at, count: count - before.count, line: `${event.sid}:${before.line + 1}-${event.line}` };
    const key = `${String(event.detail['issuer'] ?? '')} ${event.user}`;
    this.#count('cards', key, config.cards, hit, { user: event.user, resource: event.resource, sid: event.sid });
  }

  #count(rule: AlertRule, key: string, threshold: number, hit: Hit, about: Pick<Alert, 'user' | 'resource' | 'sid'>): void {
    if (threshold === 0) return;
    const { windowSeconds } = this.#options.config;
    const window = this.#window(`${rule} ${key}`);
    window.add(hit, windowSeconds * 1000);
    const { count } = window;
    if (count < threshold || hit.at < window.quietUntil) return;
    window.quietUntil = hit.at + windowSeconds * 1000;
    const who = key.replace(/^(user|source) /, '');
    const message = `${count} ${WHAT[rule]} within ${windowSeconds} s: ${rule === 'cards' ? about.user : who}`;
    this.#raise({ rule, ...about, count, threshold, windowSeconds, lines: window.lines, message });
  }

  /** At once, and then not again for a window. */
  #once(rule: AlertRule, key: string, hit: Hit, about: Pick<Alert, 'user' | 'resource' | 'sid'>, message: string): void {
    const { windowSeconds } = this.#options.config;
    const window = this.#window(`${rule} ${key}`);
    if (hit.at < window.quietUntil) return;
    window.quietUntil = hit.at + windowSeconds * 1000;
    this.#raise({ rule, ...about, count: 1, threshold: 0, windowSeconds: 0, lines: [hit.line], message });
  }

  #window(key: string): Window {
    const window = this.#windows.get(key) ?? new Window();
    // Last used comes last, so that the first is who was quiet longest.
    this.#windows.delete(key);
    this.#windows.set(key, window);
    if (this.#windows.size > MAX_KEYS) for (const oldest of this.#windows.keys()) return this.#forget(oldest, window);
    return window;
  }

  #forget(key: string, window: Window): Window {
    this.#windows.delete(key);
    return window;
  }

  #raise(alert: Alert): void {
    this.#raised++;
    const line = this.#options.record(alert);
    const { rule, user, resource, sid, count, threshold, windowSeconds, lines, message } = alert;
    this.#options.events.emit({
      type: 'alert',
      sid,
      user,
      resource,
      line,
      // What happens once has not been counted.
      detail: { rule, message, ...(threshold === 0 ? {} : { count, threshold, windowSeconds }), lines },
    });
  }
}

const WHAT: Readonly<Record<AlertRule, string>> = {
  cards: 'values of card data masked',
  denials: 'denied operations',
  'failed-logins': 'failed log-ins',
  hours: '',
  'control-failed': '',
  'break-glass': '',
};

/** Values that a session's counts say were card numbers or of protected columns. */
export function cardsOf(masked: Readonly<Record<string, number>>): number {
  return (masked['pan'] ?? 0) + (masked['column'] ?? 0);
}

function outside(at: number, hours: AccessConfig['alerts']['hours']): boolean {
  if (hours === null) return false;
  const date = new Date(at);
  const day = date.getUTCDay();
  const hour = date.getUTCHours();
  return hour < hours.from || hour >= hours.to || (!hours.weekends && (day === 0 || day === 6));
}
