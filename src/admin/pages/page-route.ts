import { refuse } from '../errors.ts';
import type { ApiReply } from '../http.ts';
import type { Call, Route } from '../route.ts';
import type { Html } from './html.ts';
import { page } from './layout.ts';

/** What the routes of pages are made of. */

/** How browsers send a form. */
export const form = 'application/x-www-form-urlencoded';

const shown = { 200: { description: 'the page', type: 'text/html' } };

export function pageOf(path: string, id: string): Pick<Route, 'path' | 'id' | 'summary' | 'replies'> & { readonly method: 'GET' } {
  return { method: 'GET', path, id, summary: id, replies: shown };
}

/** A page for whoever is logged in. */
export function ownPage(call: Call, title: string, main: Html): ApiReply {
  return page(200, { title, user: call.principal.name, csrf: call.csrf, main });
}

/** The reason in a form. Throws `request_invalid`. */
export function reasonOf(given: URLSearchParams): string {
  const reason = given.get('reason') ?? '';
  if (reason.length > 1000 || reason.includes('\0')) throw refuse('request_invalid', 'the reason is too long, or no text');
  return reason.toWellFormed();
}
