import type { Grant } from '../../access/model.ts';
import { awaitsVotes } from '../../access/votes.ts';
import { type Html, html } from './html.ts';
import { votesSection, when } from './parts.ts';

const words: Readonly<Record<Grant['state'], string>> = {
  pending: 'waiting for a decision',
  active: 'active',
  denied: 'denied',
  expired: 'expired',
  revoked: 'revoked',
  cancelled: 'withdrawn',
};

interface Section {
  readonly id: string;
  readonly title: string;
  /** What is said where there is none. */
  readonly none: string;
  readonly grants: readonly Grant[];
}

/** Who has access, who asks for it, who took it, who had it; and when each was used last. */
export function grantsPage(grants: readonly Grant[]): Html {
  const unconfirmed = grants.filter((grant) => grant.breakGlass && awaitsVotes(grant, grant.votes));
  const others = grants.filter((grant) => !unconfirmed.includes(grant));
  const sections: readonly Section[] = [
    {
      id: 'waiting',
      title: 'Waiting',
      none: 'Nothing waits for a decision.',
      grants: others.filter(({ state }) => state === 'pending'),
    },
    { id: 'unconfirmed', title: 'Break-glass, not confirmed yet', none: 'Nothing is to be confirmed.', grants: unconfirmed },
    { id: 'active', title: 'Active', none: 'No other grant is in force.', grants: others.filter(({ state }) => state === 'active') },
    {
      id: 'history',
      title: 'History',
      none: 'No grant has ended yet.',
      grants: others.filter(({ state }) => state !== 'pending' && state !== 'active'),
    },
  ];
  return html`<h1>Grants</h1>
${sections.map(
  ({ id, title, none, grants: some }) => html`<section aria-labelledby="${id}"><h2 id="${id}">${title}</h2>
${some.length === 0 ? html`<p>${none}</p>` : table(some, title)}
</section>
`,
)}`;
}

function table(grants: readonly Grant[], caption: string): Html {
  return html`<div class="wide"><table><caption class="hidden">${caption}</caption>
<thead><tr><th scope="col">Asked</th><th scope="col">Who</th><th scope="col">What</th><th scope="col">How long</th><th scope="col">Until</th><th scope="col">Last use</th><th scope="col">State</th></tr></thead>
<tbody>
${grants.map(
  (grant) => html`<tr>
<td>${when(grant.createdAt)}</td>
<td>${grant.user.name}</td>
<td><a href="/grants/${encodeURIComponent(grant.id)}">${summary(grant)}</a></td>
<td>${lasting(grant.seconds)}</td>
<td>${grant.startsAt === null || grant.expiresAt === null ? '' : when(grant.expiresAt)}</td>
<td>${grant.lastUsedAt === null ? (grant.startsAt === null ? '' : 'never') : when(grant.lastUsedAt)}</td>
<td><span class="state ${grant.state}">${words[grant.state]}</span>${glass(grant)}</td>
</tr>`,
)}
</tbody></table></div>`;
}

export interface GrantPageOptions {
  readonly grant: Grant;
  readonly csrf: string;
  /** Whether the reader may decide, or why not; null: there is nothing to decide. */
  readonly mayDecide: true | string | null;
  /** Whether the reader may end it. */
  readonly mayRevoke: boolean;
  /** What the last attempt was refused for. */
  readonly problem?: string;
}

/** One grant: who, what, for how long, why; the votes, the decision and its end. */
export function grantPage({ grant, csrf, mayDecide, mayRevoke, problem }: GrantPageOptions): Html {
  const { user, approvers, state } = grant;
  return html`<p><a href="/grants">All grants</a></p>
<h1>${summary(grant)}, for ${user.name}</h1>
<p><span class="state ${state}" id="state" data-state="${state}">${words[state]}</span>${glass(grant)}</p>
${problem === undefined ? null : html`<p role="alert" class="problem">${problem}</p>`}
<dl>
<dt>Who</dt><dd>${user.name}<br><small>${user.subject} of ${user.issuer}</small></dd>
<dt>Resource</dt><dd>${grant.resource}</dd>
<dt>Role</dt><dd>${grant.role}</dd>
<dt>For how long</dt><dd>${lasting(grant.seconds)}</dd>
<dt>Reason</dt><dd>${grant.reason}</dd>
<dt>Ticket</dt><dd>${grant.ticket === '' ? 'none' : grant.ticket}</dd>
<dt>${grant.breakGlass ? 'Confirmed by' : 'Asked are'}</dt><dd>${approvers.length === 0 ? 'nobody: policy allows it at once' : approvers.map(({ group, needed }) => html`${group}${needed > 1 ? ` (${needed} people)` : ''} `)}</dd>
<dt>Asked at</dt><dd>${when(grant.createdAt)}</dd>
${grant.startsAt === null ? null : html`<dt>From</dt><dd>${when(grant.startsAt)}</dd>`}
${grant.expiresAt === null ? null : html`<dt>${state === 'pending' ? 'The request lapses' : 'Until'}</dt><dd>${when(grant.expiresAt)}</dd>`}
<dt>Last use</dt><dd>${grant.lastUsedAt === null ? 'never' : when(grant.lastUsedAt)}</dd>
${grant.ended === null ? null : html`<dt>${words[state]} by</dt><dd id="ended">${grant.ended.by}, ${when(grant.ended.at)}${grant.ended.reason === '' ? '' : `: ${grant.ended.reason}`}</dd>`}
</dl>
${votesSection(grant.votes)}
${mayDecide === null ? null : mayDecide === true ? decisionForm(grant, csrf) : html`<p id="why-not">${mayDecide}</p>`}
${mayRevoke ? revokeForm(grant, csrf) : null}`;
}

function decisionForm(grant: Grant, csrf: string): Html {
  return html`<section aria-labelledby="decide"><h2 id="decide">Your decision</h2>
${grant.breakGlass ? html`<p>It was taken without asking. To deny it is to end it, where it is still active.</p>` : null}
<form method="post" action="/grants/${encodeURIComponent(grant.id)}">
<input type="hidden" name="csrf" value="${csrf}">
<p><label for="reason">Reason</label><br><input id="reason" name="reason" maxlength="1000" autocomplete="off"></p>
<p><button type="submit" name="decision" value="approve">${grant.breakGlass ? 'Confirm' : 'Approve'}</button> <button type="submit" name="decision" value="deny" class="deny">Deny</button></p>
</form></section>`;
}

function revokeForm(grant: Grant, csrf: string): Html {
  const pending = grant.state === 'pending';
  return html`<section aria-labelledby="revoke"><h2 id="revoke">${pending ? 'Withdraw the request' : 'End it'}</h2>
${pending ? null : html`<p>The sessions that stand on it end with it.</p>`}
<form method="post" action="/grants/${encodeURIComponent(grant.id)}/revoke">
<input type="hidden" name="csrf" value="${csrf}">
<p><label for="revoke-reason">Reason to ${pending ? 'withdraw' : 'end'} it</label><br><input id="revoke-reason" name="reason" maxlength="1000" autocomplete="off"></p>
<p><button type="submit" class="deny">${pending ? 'Withdraw' : 'Revoke'}</button></p>
</form></section>`;
}

/** What became of an access that was taken without asking. */
function glass(grant: Grant): string {
  if (!grant.breakGlass) return '';
  if (awaitsVotes(grant, grant.votes)) return ' break-glass, not confirmed yet';
  return grant.votes.some(({ decision }) => decision === 'deny') ? ' break-glass, denied' : ' break-glass, confirmed';
}

const summary = (grant: Grant): string => `${grant.resource} as ${grant.role}`;

const units = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
] as const;

/** `1 d 2 h`; of 90 s, `1 min 30 s`. */
function lasting(seconds: number): string {
  let rest = seconds;
  const parts: string[] = [];
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${unit}`);
  }
  return parts.join(' ');
}
