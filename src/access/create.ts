import type { Config } from '../config/model.ts';
import type { PolicyEngine } from '../policy/model.ts';
import type { Recorder } from '../recording/model.ts';
import type { Store, Topic } from '../store/model.ts';
import { StoreAlertLog } from './alert-log.ts';
import { StoreApprovals } from './approvals.ts';
import { type AccessLog, Audit } from './audit.ts';
import { ClockWatch } from './clock-watch.ts';
import { StoreGrants } from './grants.ts';
import type { LocalSessions } from './live.ts';
import type { Access, Events, LiveSession } from './model.ts';
import { StoreRevocations } from './revocations.ts';
import { type Schedule, systemSchedule } from './schedule.ts';
import { SharedSessions } from './shared-live.ts';

export interface AccessOptions {
  readonly store: Store;
  readonly recorder: Recorder;
  readonly live: LocalSessions;
  readonly events: Events;
  readonly config: Pick<Config, 'access' | 'api' | 'resources' | 'recording'>;
  readonly policy: () => PolicyEngine;
  readonly gateway: string;
  /** This process, among all gateways of the store. The name of its chain in the record will do where data directories are not shared. */
  readonly process: string;
  /** Where approvers decide, without a slash at the end; default what the configuration says. */
  readonly url?: () => string;
  /** ms since the epoch. */
  readonly now: () => number;
  readonly log: AccessLog;
  /** Timers; default those of the system. */
  readonly schedule?: Schedule;
}

/** How often each process says that it is there and looks at what has run out, ms. */
const BEAT_MS = 5_000;
/** A process that has not been seen for so long is gone, and a store away for so long has lost what waits for it, ms. */
const GONE_MS = 30_000;
const PRUNE_MS = 3_600_000;
const DAY_MS = 86_400_000;

/**
 * Approvals, grants, revocations and open sessions over a store. Loads what is in force before it resolves. Throws GatewayError `store_unavailable`. Closing it
 * loses what still waits; close it before the record and the store.
 */
export async function createAccess(options: AccessOptions): Promise<Access & { close(): Promise<void> }> {
  const { store, recorder, live, events, config, policy, gateway, process, now, log } = options;
  const schedule = options.schedule ?? systemSchedule;
  const audit = new Audit(recorder, events, log);
  const grants = new StoreGrants({ store, audit, live, config, policy, now, schedule, log });
  const revocations = new StoreRevocations({ store, audit, live, grants, now, log });
  const recheck = (session: LiveSession): void => {
    revocations.recheck(session);
    grants.recheck(session);
  };
  const sessions = new SharedSessions({ store, audit, local: live, process, goneMs: GONE_MS, now, schedule, recheck, log });
  const alerts = new StoreAlertLog({ store, events, gateway, log });
  const { timeoutSeconds, retrySeconds } = config.access.approvals;
  const approvals = new StoreApprovals({
    store,
    audit,
    gateway,
    process,
    url: options.url ?? (() => config.api?.url ?? ''),
    timeoutSeconds,
    retrySeconds,
    groupsOf: (principal) => grants.groupsOf(principal).map(({ group }) => group),
    now,
    schedule,
    log,
  });
  const clock = new ClockWatch(store, now, log);
  const presence = new Presence(options, schedule, {
    due: async (gone) => {
      await approvals.sweep(gone);
      await grants.sweep();
      if (store.kind === 'embedded') return;
      await clock.look();
      // A gateway that died between a change and telling of it.
      await revocations.load();
      await grants.load();
    },
    prune: async (at) => {
      await revocations.prune(at);
      await sessions.prune(at);
      await alerts.prune(at - config.recording.retentionDays * DAY_MS);
    },
    giveUp: () => approvals.giveUp(),
  });
  const listening = (
    [
      ['approvals', (id) => approvals.changed(id)],
      ['grants', (id) => grants.changed(id)],
      ['revocations', (payload) => revocations.changed(payload)],
      ['sessions', (payload) => sessions.received(payload)],
    ] as [Topic, (payload: string) => void][]
  ).map(([topic, onChange]) => store.listen(topic, onChange));
  const stop = (): void => {
    for (const unlisten of listening) unlisten();
  };
  try {
    await revocations.load();
    await grants.load();
    await approvals.begin();
    await presence.start();
  } catch (error) {
    stop();
    await grants.close();
    await alerts.close();
    throw error;
  }
  const close = async (): Promise<void> => {
    stop();
    sessions.close();
    await presence.stop();
    await approvals.close();
    await grants.close();
    await revocations.close();
    await alerts.close();
    await presence.leave();
  };
  let closed: Promise<void> | null = null;
  return {
    approvals,
    grants,
    revocations,
    live: sessions,
    events,
    alerts,
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}

/** What is done at the beats of a process. */
interface Duties {
  /** At each. `gone`: since when a process must have been seen to count as there. */
  readonly due: (gone: number) => Promise<void>;
  /** Now and then. */
  readonly prune: (at: number) => Promise<void>;
  /** When the store has been away for too long. */
  readonly giveUp: () => void;
}

/** Says at every beat that this process is there, and has done what is due. */
class Presence {
  readonly #options: AccessOptions;
  readonly #schedule: Schedule;
  readonly #duties: Duties;
  #forgetTimer: () => void = () => {};
  #beating: Promise<void> = Promise.resolve();
  #stopped = false;
  #pruned = 0;

  constructor(options: AccessOptions, schedule: Schedule, duties: Duties) {
    this.#options = options;
    this.#schedule = schedule;
    this.#duties = duties;
  }

  async start(): Promise<void> {
    const { store, process } = this.#options;
    // Nobody else can be at an embedded store: who is there from before is gone.
    if (store.kind === 'embedded') await store.db.deleteFrom('gateways').where('process', '!=', process).execute();
    await this.#beat();
    this.#arm();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#forgetTimer();
    await this.#beating;
  }

  async leave(): Promise<void> {
    const { store, process, log } = this.#options;
    try {
      await store.db.deleteFrom('gateways').where('process', '=', process).execute();
    } catch (error) {
      log.warn('the store could not be told that this process ends', { error: String(error) });
    }
  }

  #arm(): void {
    if (this.#stopped) return;
    this.#forgetTimer = this.#schedule(BEAT_MS, () => {
      this.#beating = this.#beat()
        .catch((error: unknown) => this.#options.log.warn('the store could not be looked after', { error: String(error) }))
        .then(() => this.#arm());
    });
  }

  async #beat(): Promise<void> {
    const { store, process, gateway, now } = this.#options;
    const at = now();
    if (store.downSince !== null) {
      if (at - store.downSince >= GONE_MS) this.#duties.giveUp();
      return;
    }
    await store.db
      .insertInto('gateways')
      .values({ process, gateway, started_at: at, seen_at: at })
      .onConflict((conflict) => conflict.column('process').doUpdateSet({ seen_at: at }))
      .execute();
    await this.#duties.due(at - GONE_MS);
    if (at - this.#pruned >= PRUNE_MS) await this.#prune(at);
  }

  /** What is decided is kept as long as the record, which has it too. */
  async #prune(at: number): Promise<void> {
    const { store, config } = this.#options;
    this.#pruned = at;
    const before = at - config.recording.retentionDays * DAY_MS;
    await store.db
      .deleteFrom('gateways')
      .where('seen_at', '<', at - DAY_MS)
      .execute();
    await store.db.deleteFrom('approvals').where('created_at', '<', before).where('state', 'not in', ['pending', 'approved']).execute();
    await store.db.deleteFrom('grants').where('created_at', '<', before).where('state', 'not in', ['pending', 'active']).execute();
    await this.#duties.prune(at);
  }
}
