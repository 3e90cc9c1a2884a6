import type { Approval } from '../../access/model.ts';
import { type Html, html } from './html.ts';
import { votesSection, when } from './parts.ts';

const words: Readonly<Record<Approval['state'], string>> = {
  pending: 'waiting for a decision',
  approved: 'approved',
  denied: 'denied',
  expired: 'expired',
  cancelled: 'cancelled by the requester',
  lost: 'lost: its session is gone',
  used: 'approved, and run',
};

const modes: Readonly<Record<Approval['mode'], string>> = {
  wait: 'the statement waits, and runs when it is approved',
  retry: 'the statement was refused, and is to be sent again once it is approved',
};
/** The same in a table. */
const shortModes: Readonly<Record<Approval['mode'], string>> = { wait: 'waits', retry: 'to be sent again' };

/** What waits, and what was decided. */
export function listPage(approvals: readonly Approval[]): Html {
  const pending = approvals.filter(({ state }) => state === 'pending');
  const others = approvals.filter(({ state }) => state !== 'pending');
  return html`<h1>Approvals</h1>
<section aria-labelledby="waiting"><h2 id="waiting">Waiting</h2>
${pending.length === 0 ? html`<p>Nothing waits for a decision.</p>` : table(pending, 'Requests that wait for a decision')}
</section>
<section aria-labelledby="history"><h2 id="history">History</h2>
${others.length === 0 ? html`<p>Nothing has been decided yet.</p>` : table(others, 'Requests that were decided')}
</section>`;
}

function table(approvals: readonly Approval[], caption: string): Html {
  return html`<div class="wide"><table><caption class="hidden">${caption}</caption>
<thead><tr><th scope="col">Asked</th><th scope="col">Who</th><th scope="col">Where</th><th scope="col">What</th><th scope="col">Why</th><th scope="col">Mode</th><th scope="col">State</th></tr></thead>
<tbody>
${approvals.map(
  (approval) => html`<tr>
<td>${when(approval.createdAt)}</td>
<td>${approval.requester.name}</td>
<td>${approval.resource} as ${approval.account}</td>
<td><a href="/approvals/${encodeURIComponent(approval.id)}">${summary(approval)}</a></td>
<td>${reasonOf(approval)}</td>
<td>${shortModes[approval.mode]}</td>
<td><span class="state ${approval.state}">${words[approval.state]}</span></td>
</tr>`,
)}
</tbody></table></div>`;
}

export interface DetailOptions {
  readonly approval: Approval;
  readonly csrf: string;
  /** Whether the reader may decide, or why not. */
  readonly mayDecide: true | string;
  /** What the last attempt was refused for. */
  readonly problem?: string;
}

/** One request: who, what, why, where; and the decision. */
export function detailPage({ approval, csrf, mayDecide, problem }: DetailOptions): Html {
  const { estimate, requester } = approval;
  return html`<p><a href="/approvals">All approvals</a></p>
<h1>${summary(approval)}</h1>
<p><span class="state ${approval.state}" id="state" data-state="${approval.state}">${words[approval.state]}</span></p>
${problem === undefined ? null : html`<p role="alert" class="problem">${problem}</p>`}
<dl>
<dt>Who</dt><dd>${requester.name}<br><small>${requester.subject} of ${requester.issuer}</small></dd>
<dt>From</dt><dd>${approval.source}</dd>
<dt>Where</dt><dd>${approval.resource} as ${approval.account}, by gateway ${approval.gateway}</dd>
<dt>Why</dt><dd id="asked-for">${reasonOf(approval)}</dd>
<dt>Mode</dt><dd>${modes[approval.mode]}</dd>
<dt>Why it needs approval</dt><dd>${approval.policies.map((policy) => html`<code>${policy}</code> `)}</dd>
<dt>Asked are</dt><dd>${approval.approvers.map(({ group, needed }) => html`${group}${needed > 1 ? ` (${needed} people)` : ''} `)}</dd>
<dt>What it touches</dt><dd><ul class="plain">${approval.objects.map((object) => html`<li><code>${object}</code></li>`)}</ul></dd>
<dt>Rows expected</dt><dd>${'rows' in estimate ? `about ${Math.round(estimate.rows)}` : `unknown: ${estimate.unavailable}`}</dd>
<dt>Asked at</dt><dd>${when(approval.createdAt)}</dd>
<dt>Until</dt><dd>${approval.expiresAt === null ? 'it is decided' : when(approval.expiresAt)}</dd>
${approval.rowBudget === null ? null : html`<dt>Row budget</dt><dd>${approval.rowBudget}</dd>`}
<dt>Session</dt><dd><code>${approval.sid}</code></dd>
</dl>
<section aria-labelledby="statement-title"><h2 id="statement-title">The statement, card data masked</h2>
<pre id="statement" tabindex="0">${approval.statement}</pre>
${approval.params.length === 0 ? null : html`<ol aria-label="Values">${approval.params.map((param) => html`<li><code>${param}</code></li>`)}</ol>`}
</section>
${votesSection(approval.votes)}
${approval.state !== 'pending' ? null : mayDecide === true ? form(approval, csrf) : html`<p id="why-not">${mayDecide}</p>`}`;
}

function form(approval: Approval, csrf: string): Html {
  return html`<section aria-labelledby="decide"><h2 id="decide">Your decision</h2>
<form method="post" action="/approvals/${encodeURIComponent(approval.id)}">
<input type="hidden" name="csrf" value="${csrf}">
<p><label for="reason">Reason</label><br><input id="reason" name="reason" maxlength="1000" autocomplete="off"></p>
<p><label for="rowBudget">Most rows it may touch, when approved (optional)</label><br><input id="rowBudget" name="rowBudget" inputmode="numeric" pattern="[0-9]*" autocomplete="off"></p>
<p><button type="submit" name="decision" value="approve">Approve</button> <button type="submit" name="decision" value="deny" class="deny">Deny</button></p>
</form></section>`;
}

function reasonOf({ reason }: Approval): string {
  return reason === '' ? '(none given)' : reason;
}

function summary(approval: Approval): string {
  const [first = approval.action, ...others] = approval.objects;
  return others.length === 0 ? first : `${first} and ${others.length} more`;
}
