import type { AccessLog } from './audit.ts';
import type { Approval, ApprovalOutcome, ApprovalState } from './model.ts';
import type { Schedule } from './schedule.ts';

/** What it needs of the approvals in the store. */
export interface WaitingStore {
  /** As of StoreApprovals: null when it is in none of the states any more. */
  move(id: string, from: readonly ApprovalState[], to: ApprovalState): Promise<Approval | null>;
  get(id: string): Promise<Approval | null>;
  /** Which of these are not pending any more. */
  decided(ids: readonly string[]): Promise<readonly string[]>;
}

export interface WaitingOptions {
  readonly now: () => number;
  readonly schedule: Schedule;
  readonly log: AccessLog;
}

type Ended = Exclude<ApprovalOutcome['state'], 'approved'>;

interface Waiter {
  readonly approval: Approval;
  readonly settle: (outcome: ApprovalOutcome) => void;
  forgetTimer: () => void;
  /** A look at the store is under way; `again`: another is due after it. */
  looking: boolean;
  again: boolean;
}

/** The operations of this process that wait for a decision. */
export class Waiting {
  readonly #options: WaitingOptions;
  readonly #store: WaitingStore;
  readonly #waiters = new Map<string, Waiter>();
  /** Ended here while the store could not be told: the state that it has to be told. */
  readonly #untold = new Map<string, Ended>();
  readonly #work = new Set<Promise<void>>();

  constructor(options: WaitingOptions, store: WaitingStore) {
    this.#options = options;
    this.#store = store;
  }

  add(approval: Approval): { readonly outcome: Promise<ApprovalOutcome>; readonly end: (state: 'cancelled' | 'lost') => void } {
    const { id, mode, expiresAt } = approval;
    // What was refused and is to be sent again waits in the store alone; a lost session does not concern it.
    if (mode === 'retry') {
      const end = (state: 'cancelled' | 'lost'): void => {
        if (state === 'cancelled') this.#tell(id, state);
      };
      return { outcome: Promise.resolve({ state: 'lost', approval }), end };
    }
    const outcome = new Promise<ApprovalOutcome>((settle) => {
      const waiter: Waiter = { approval, settle, forgetTimer: () => {}, looking: false, again: false };
      this.#waiters.set(id, waiter);
      if (expiresAt !== null) this.#expireAt(id, waiter, expiresAt);
    });
    return { outcome, end: (state) => this.#end(id, state) };
  }

  /** One request, or all with ''. */
  check(id: string): void {
    const waiters: Iterable<readonly [string, Waiter | undefined]> = id === '' ? [...this.#waiters] : [[id, this.#waiters.get(id)]];
    for (const [key, waiter] of waiters) if (waiter !== undefined) this.#spawn(this.#look(key, waiter));
  }

  /** Looks for decisions of which no notification came, and tells the store what it could not be told before. */
  async tidy(): Promise<void> {
    if (this.#waiters.size > 0) for (const id of await this.#store.decided([...this.#waiters.keys()])) this.check(id);
    for (const [id, state] of [...this.#untold]) {
      await this.#store.move(id, ['pending', 'approved'], state);
      this.#untold.delete(id);
    }
  }

  giveUp(): void {
    for (const id of [...this.#waiters.keys()]) this.#end(id, 'lost');
  }

  /** Ends all that waits, and resolves when the store knows. */
  async close(): Promise<void> {
    this.giveUp();
    while (this.#work.size > 0) await Promise.allSettled(this.#work);
  }

  async #look(id: string, waiter: Waiter): Promise<void> {
    if (waiter.looking) {
      waiter.again = true;
      return;
    }
    waiter.looking = true;
    try {
      do {
        waiter.again = false;
        await this.#lookOnce(id);
      } while (waiter.again && this.#waiters.has(id));
    } finally {
      waiter.looking = false;
    }
  }

  async #lookOnce(id: string): Promise<void> {
    let approval: Approval | null;
    try {
      approval = await this.#store.get(id);
    } catch {
      // The store is away: it is looked at again when it is back, or given up.
      return;
    }
    if (approval?.state === 'pending') return;
    if (approval === null || approval.state === 'used') {
      this.#settle(id, { state: 'lost' });
    } else if (approval.state === 'approved') {
      await this.#use(id);
    } else {
      this.#settle(id, { state: approval.state, approval });
    }
  }

  /** Takes the approval. When it cannot be told whether that came about, nothing may run: it is lost. */
  async #use(id: string): Promise<void> {
    try {
      const used = await this.#store.move(id, ['approved'], 'used');
      if (used === null) {
        this.#settle(id, { state: 'lost' });
        return;
      }
      this.#settle(id, { state: 'approved', approval: used, approvedBy: used.approvers.map(({ group }) => group) });
    } catch {
      this.#end(id, 'lost');
    }
  }

  #expireAt(id: string, waiter: Waiter, at: number): void {
    waiter.forgetTimer = this.#options.schedule(at - this.#options.now(), () => {
      if (this.#options.now() < at) this.#expireAt(id, waiter, at);
      else this.#spawn(this.#expire(id));
    });
  }

  /** Whoever decided a moment earlier, on any gateway, was first: the store says. */
  async #expire(id: string): Promise<void> {
    if (!this.#waiters.has(id)) return;
    try {
      const expired = await this.#store.move(id, ['pending'], 'expired');
      if (expired === null) await this.#lookOnce(id);
      else this.#settle(id, { state: 'expired', approval: expired });
    } catch {
      this.#end(id, 'expired');
    }
  }

  #end(id: string, state: Ended): void {
    if (this.#settle(id, { state })) this.#tell(id, state);
  }

  #tell(id: string, state: Ended): void {
    const tell = async (): Promise<void> => {
      try {
        await this.#store.move(id, ['pending', 'approved'], state);
      } catch (error) {
        this.#untold.set(id, state);
        this.#options.log.warn('the store could not be told how a request ended', { approval: id, state, error: String(error) });
      }
    };
    this.#spawn(tell());
  }

  /** False when it is settled already. */
  #settle(id: string, outcome: ApprovalOutcome | { readonly state: Ended }): boolean {
    const waiter = this.#waiters.get(id);
    if (waiter === undefined) return false;
    this.#waiters.delete(id);
    waiter.forgetTimer();
    waiter.settle('approval' in outcome ? outcome : { ...outcome, approval: { ...waiter.approval, state: outcome.state } });
    return true;
  }

  #spawn(work: Promise<void>): void {
    this.#work.add(work);
    const done = (): void => void this.#work.delete(work);
    work.then(done, (error: unknown) => {
      done();
      this.#options.log.error('a waiting approval could not be looked after', { error: String(error) });
    });
  }
}
