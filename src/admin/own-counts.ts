import type { Events, LiveEvent } from '../access/model.ts';
import type { ApiServices, Metric } from './services.ts';

/** What the API counts itself: events by type, and what can be asked of the store, the record and the open sessions. */
export class OwnCounts {
  readonly #events = new Map<LiveEvent['type'], number>();
  readonly #forget: () => void;

  constructor(events: Events) {
    this.#forget = events.listen((event) => {
      this.#events.set(event.type, (this.#events.get(event.type) ?? 0) + 1);
    });
  }

  close(): void {
    this.#forget();
  }

  async metrics(services: ApiServices): Promise<readonly Metric[]> {
    const sessions = services.access.live.list();
    const perResource = new Map<string, number>();
    const masked = new Map<string, number>();
    for (const session of sessions) {
      perResource.set(session.target.resource, (perResource.get(session.target.resource) ?? 0) + 1);
      for (const [rule, n] of Object.entries(session.masked)) masked.set(rule, (masked.get(rule) ?? 0) + n);
    }
    const pending = await pendingApprovals(services);
    return [
      gauge('sluice_sessions_open', 'Open sessions by resource.', byLabel('resource', perResource)),
      gauge('sluice_sessions_open_masked', 'Values masked in the sessions that are open, by rule.', byLabel('rule', masked)),
      { ...gauge('sluice_events_total', 'Events since the start, by type.', byLabel('type', this.#events)), type: 'counter' },
      gauge('sluice_approvals_pending', 'Requests for approval that wait for a decision.', pending === null ? [] : one(pending)),
      gauge('sluice_store_up', 'Whether the control store answers.', one(pending === null ? 0 : 1)),
      gauge(
        'sluice_record_up',
        'Whether the record is being written: 0 means that nothing is forwarded.',
        one(services.recorder.failure === null ? 1 : 0),
      ),
      gauge('sluice_record_pending_bytes', 'Bytes accepted for the record and not yet written.', one(services.recorder.pendingBytes)),
      ...services.metrics(),
    ];
  }
}

/** Null when the store does not answer. */
async function pendingApprovals(services: ApiServices): Promise<number | null> {
  try {
    const row = await services.store.db
      .selectFrom('approvals')
      .select((query) => query.fn.countAll().as('n'))
      .where('state', '=', 'pending')
      .executeTakeFirst();
    return Number(row?.n ?? 0);
  } catch {
    return null;
  }
}

function gauge(name: string, help: string, samples: Metric['samples']): Metric {
  return { name, type: 'gauge', help, samples };
}

function one(value: number): Metric['samples'] {
  return [{ labels: {}, value }];
}

function byLabel(label: string, counts: ReadonlyMap<string, number>): Metric['samples'] {
  return [...counts].map(([text, value]) => ({ labels: { [label]: text }, value }));
}
