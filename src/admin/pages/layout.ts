import type { GatewayError } from '../../errors.ts';
import { type ApiReply, html as reply } from '../http.ts';
import { type Html, html } from './html.ts';

export interface PageOptions {
  readonly title: string;
  /** Who is logged in; absent: nobody. */
  readonly user?: string;
  readonly csrf?: string;
  readonly main: Html;
}

/** A whole page. Everything that it loads is our own file: the content security policy allows nothing else. */
export function page(status: number, { title, user, csrf, main }: PageOptions): ApiReply {
  const account =
    user === undefined
      ? null
      : html`<form class="account" method="post" action="/logout"><input type="hidden" name="csrf" value="${csrf ?? ''}"><span>${user}</span> <button type="submit" class="quiet">Log out</button></form>`;
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} - Sluice</title>
<link rel="icon" href="/assets/sluice.svg">
<link rel="stylesheet" href="/assets/sluice.css">
<script src="/assets/sluice.js" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header><nav aria-label="Main"><a class="brand" href="/approvals">Sluice</a> <a href="/approvals">Approvals</a> <a href="/grants">Grants</a></nav>${account}</header>
<main id="main" tabindex="-1">
${main}
</main>
</body>
</html>
`;
  return reply(status, document.text);
}

/** What went wrong, for people. */
export function errorPage(status: number, error: GatewayError | null, id: string): ApiReply {
  const title = titles[status] ?? 'This did not work';
  return page(status, {
    title,
    main: html`<h1>${title}</h1>
<p role="alert">${error?.publicMessage ?? 'The gateway failed to answer.'}</p>
${error?.hint === undefined ? null : html`<p>${error.hint}</p>`}
${id === '' ? null : html`<p>Its log tells why, under <code>${id}</code>.</p>`}
<p><a href="/approvals">To the approvals</a></p>`,
  });
}

const titles: Readonly<Record<number, string>> = {
  401: 'Not logged in',
  403: 'Not allowed',
  404: 'Not found',
  409: 'Too late',
  429: 'Too many attempts',
  503: 'Not available now',
};
