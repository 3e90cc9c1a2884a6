import { createHmac } from 'node:crypto';
import type { LiveEvent } from './model.ts';

export interface WebhookOptions {
  readonly url: string;
  /** The key itself, resolved. */
  readonly secret: string;
  /** Where approvers decide and operators look, without a slash at the end; '' when there is no API. */
  readonly link: () => string;
  /** ms since the epoch. */
  readonly now: () => number;
  /** Told once per message that could not be delivered at all. Never with the payload. */
  readonly onFailure: (message: string) => void;
  readonly fetch?: typeof fetch;
  /** Waits between attempts, ms. */
  readonly retryMs?: readonly number[];
}

/** Messages waiting to be sent; more than this, and the newest are dropped and said to be. */
const MAX_QUEUED = 1000;
const ATTEMPT_MS = 10_000;
const RETRY_MS = [1000, 5000, 30_000, 120_000];

/**
 * Posts events to one URL, one by one and in order, in the form that Slack's incoming webhooks take (`text` and `blocks`) with the
 * event itself beside it. Each request is signed: `Sluice-Signature: t=<s>,v1=<hex HMAC-SHA-256 of "t.body">`. It only tells: a
 * decision needs the approver's own log-in behind the link.
 */
export class Webhook {
  readonly #options: WebhookOptions;
  readonly #queue: string[] = [];
  readonly #closing = new AbortController();
  #working: Promise<void> | null = null;

  constructor(options: WebhookOptions) {
    this.#options = options;
  }

  post(event: LiveEvent): void {
    if (this.#closing.signal.aborted) return;
    if (this.#queue.length >= MAX_QUEUED) {
      this.#options.onFailure('too many notifications are waiting to be delivered; one was dropped');
      return;
    }
    this.#queue.push(JSON.stringify(payload(event, this.#options.link())));
    this.#working ??= this.#work().finally(() => {
      this.#working = null;
    });
  }

  /** Resolves when everything queued so far has been delivered or given up. */
  async flushed(): Promise<void> {
    await this.#working;
  }

  /** Gives up what is not delivered yet, and says how much. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#working;
    if (this.#queue.length > 0) this.#options.onFailure(`${this.#queue.length} notifications were not delivered before the gateway ended`);
  }

  async #work(): Promise<void> {
    for (let body = this.#queue[0]; body !== undefined && !this.#closing.signal.aborted; body = this.#queue[0]) {
      const problem = await this.#deliver(body);
      if (this.#closing.signal.aborted) return;
      this.#queue.shift();
      if (problem !== null) this.#options.onFailure(`a notification could not be delivered: ${problem}`);
    }
  }

  /** Null once it is delivered; else what the last attempt came to. */
  async #deliver(body: string): Promise<string | null> {
    const waits = this.#options.retryMs ?? RETRY_MS;
    for (let attempt = 0; ; attempt++) {
      const { problem, final } = await this.#attempt(body);
      if (problem === null || final || attempt >= waits.length || this.#closing.signal.aborted) return problem;
      await pause(waits[attempt] ?? 0, this.#closing.signal);
    }
  }

  async #attempt(body: string): Promise<{ problem: string | null; final: boolean }> {
    const seconds = Math.floor(this.#options.now() / 1000);
    const signature = createHmac('sha256', this.#options.secret).update(`${seconds}.${body}`).digest('hex');
    try {
      const response = await (this.#options.fetch ?? fetch)(this.#options.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'sluice-signature': `t=${seconds},v1=${signature}` },
        body,
        // A redirect could lead anywhere.
        redirect: 'error',
        signal: AbortSignal.any([this.#closing.signal, AbortSignal.timeout(ATTEMPT_MS)]),
      });
      await response.body?.cancel();
      if (response.ok) return { problem: null, final: true };
      // What the receiver refuses it refuses again; it may only be busy or broken for a while.
      return { problem: `status ${response.status}`, final: response.status < 500 && response.status !== 429 && response.status !== 408 };
    } catch (error) {
      return { problem: error instanceof Error ? error.name : 'unknown', final: false };
    }
  }
}

/** Slack's form. What users typed must not become markup or a mention. */
function payload(event: LiveEvent, link: string): object {
  const url = link === '' ? '' : `${link}${pathOf(event)}`;
  const title = titleOf(event);
  const facts = Object.entries(event.detail)
    .filter(([name]) => name !== 'id')
    .map(
      ([name, value]) =>
        `${name}: ${name === 'reason' && value === '' ? '(none given)' : Array.isArray(value) ? value.join(', ') : String(value)}`,
    );
  const lines = [title, ...facts].map(escapeText);
  const text = `*${lines[0] ?? ''}*${lines.length > 1 ? `\n${lines.slice(1).join('\n')}` : ''}`;
  return {
    text: escapeText(title),
    blocks: [
      { type: 'section', text: { type: 'mrkdwn', text: text.slice(0, 2900) } },
      ...(url === ''
        ? []
        : [{ type: 'actions', elements: [{ type: 'button', text: { type: 'plain_text', text: 'Open in Sluice' }, url }] }]),
    ],
    event,
  };
}

function titleOf(event: LiveEvent): string {
  const where = event.resource === '' ? '' : ` on ${event.resource}`;
  const who = event.user === '' ? '' : ` by ${event.user}`;
  const what = event.detail['event'] ?? event.detail['rule'];
  return `Sluice: ${event.type}${typeof what === 'string' ? ` ${what}` : ''}${where}${who}`;
}

function pathOf(event: LiveEvent): string {
  const id = event.detail['id'];
  if (typeof id !== 'string') return '/';
  return event.type === 'approval'
    ? `/approvals/${encodeURIComponent(id)}`
    : event.type === 'grant'
      ? `/grants/${encodeURIComponent(id)}`
      : '/';
}

const escapeText = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll(/[*_~`]/g, '\u200b$&');

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
