import { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';
import type { GrantRow } from './grant-rows.ts';
import type { Grant, LiveSession, LiveSessions } from './model.ts';
import type { Schedule } from './schedule.ts';

/** What is needed of a grant to count its holder into its group. */
interface Active {
  readonly id: string;
  readonly issuer: string;
  readonly subject: string;
  readonly group: string;
  readonly expiresAt: number;
}

/** Timers know nothing of a clock that was put forward, or of a machine that slept: so the time is looked at this often, ms. */
const LOOK_MS = 5_000;
/** Grants whose end is remembered. */
const MAX_ENDED = 10_000;

export interface ActiveGrantsOptions {
  readonly live: Pick<LiveSessions, 'list'>;
  readonly now: () => number;
  readonly schedule: Schedule;
  /** Called when the time of one is up, after its sessions were told to end. */
  readonly onExpired: (id: string) => void;
}

/** The grants in force, in memory: what a log-in asks. Time ends them here whether or not the store answers. */
export class ActiveGrants {
  readonly #options: ActiveGrantsOptions;
  readonly #grants = new Map<string, Active>();
  /** What has ended stays so: an answer of the store that is older must not bring it back. */
  readonly #ended = new Set<string>();
  #forgetTimer: () => void = () => {};

  constructor(options: ActiveGrantsOptions) {
    this.#options = options;
  }

  groupsOf(principal: Principal): { readonly group: string; readonly grant: string; readonly expiresAt: number }[] {
    const now = this.#options.now();
    const groups = [];
    for (const { id, issuer, subject, group, expiresAt } of this.#grants.values()) {
      if (issuer === principal.issuer && subject === principal.subject && expiresAt > now) groups.push({ group, grant: id, expiresAt });
    }
    return groups;
  }

  /** Takes over what the store says of one grant; null: it has none of that id. */
  set(id: string, row: Pick<GrantRow, 'state' | 'user_issuer' | 'user_subject' | 'resource' | 'role' | 'expires_at'> | null): void {
    const known = this.#grants.has(id);
    if (row !== null && row.state !== 'active' && row.state !== 'pending') this.#remember(id);
    if (row?.state === 'active' && row.expires_at !== null) {
      if (this.#ended.has(id)) return;
      this.#grants.set(id, {
        id,
        issuer: row.user_issuer,
        subject: row.user_subject,
        group: `${row.resource}/${row.role}`,
        expiresAt: row.expires_at,
      });
    } else if (known) {
      this.#grants.delete(id);
      this.#endSessions(id, row?.state === 'expired' ? 'expired' : 'revoked');
    }
    this.#arm();
  }

  /** Takes over all that are in force. */
  replace(rows: readonly GrantRow[]): void {
    const ids = new Set(rows.map(({ id }) => id));
    for (const id of [...this.#grants.keys()]) if (!ids.has(id)) this.set(id, null);
    for (const row of rows) this.set(row.id, row);
  }

  recheck(session: LiveSession): void {
    const now = this.#options.now();
    if (session.grants.some((id) => (this.#grants.get(id)?.expiresAt ?? 0) <= now)) session.end(ended('expired'));
  }

  close(): void {
    this.#forgetTimer();
    this.#grants.clear();
  }

  #remember(id: string): void {
    this.#ended.add(id);
    const [oldest] = this.#ended;
    if (this.#ended.size > MAX_ENDED && oldest !== undefined) this.#ended.delete(oldest);
  }

  #arm(): void {
    this.#forgetTimer();
    let next = Number.POSITIVE_INFINITY;
    for (const { expiresAt } of this.#grants.values()) next = Math.min(next, expiresAt);
    this.#forgetTimer =
      next === Number.POSITIVE_INFINITY
        ? () => {}
        : this.#options.schedule(Math.min(next - this.#options.now(), LOOK_MS), () => this.#expire());
  }

  #expire(): void {
    const now = this.#options.now();
    for (const { id, expiresAt } of [...this.#grants.values()]) {
      if (expiresAt > now) continue;
      this.#grants.delete(id);
      this.#endSessions(id, 'expired');
      this.#options.onExpired(id);
    }
    this.#arm();
  }

  #endSessions(id: Grant['id'], how: 'expired' | 'revoked'): void {
    for (const session of this.#options.live.list()) if (session.grants.includes(id)) session.end(ended(how));
  }
}

function ended(how: 'expired' | 'revoked'): GatewayError {
  return new GatewayError({
    code: `grant_${how}`,
    source: 'gateway',
    phase: 'decide',
    publicMessage: `the grant that this session stands on ${how === 'expired' ? 'has expired' : 'was revoked'}`,
    hint: 'ask for another one to go on',
  });
}
