import type { ApprovalVote } from '../../access/model.ts';
import { type Html, html } from './html.ts';

/** What the pages of approvals and of grants have in common. */

export function votesSection(votes: readonly ApprovalVote[]): Html {
  return html`<section aria-labelledby="votes-title"><h2 id="votes-title">Votes</h2>
${
  votes.length === 0
    ? html`<p>Nobody has voted yet.</p>`
    : html`<ul id="votes">${votes.map(
        (vote) =>
          html`<li>${vote.approver} for ${vote.groups.join(', ')}: <strong>${vote.decision}</strong>, ${when(vote.at)}${vote.reason === '' ? '' : `: ${vote.reason}`}</li>`,
      )}</ul>`
}
</section>`;
}

export function when(at: number): Html {
  const iso = new Date(at).toISOString();
  return html`<time datetime="${iso}">${iso.slice(0, 19).replace('T', ' ')} UTC</time>`;
}
