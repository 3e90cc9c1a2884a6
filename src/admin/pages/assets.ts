/** The files that the pages load. */

/** A gate in a stream. */
export const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#0b57d0" d="M2 2h3v12H2zm9 0h3v12h-3zM6 2h4v6H6zm0 9h4v2H6z"/></svg>\n`;

export const stylesheet = `:root { color-scheme: light dark; --line: #8884; --accent: #0b57d0; --bad: #b3261e; --good: #146c2e; }
@media (prefers-color-scheme: dark) { :root { --accent: #a8c7fa; --bad: #f2b8b5; --good: #6dd58c; } }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; }
header { display: flex; justify-content: space-between; align-items: center; padding: .6rem 1.2rem; border-bottom: 1px solid var(--line); }
main { max-width: 60rem; margin: 0 auto; padding: 1.2rem; outline: none; }
a { color: var(--accent); }
nav a { margin-right: 1rem; }
.brand { font-weight: 700; text-decoration: none; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: .5rem; top: .5rem; background: Canvas; padding: .4rem; }
.hidden { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; white-space: nowrap; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .3rem 1.2rem; }
dt { font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; }
ul.plain { list-style: none; margin: 0; padding: 0; }
pre { overflow-x: auto; padding: .8rem; border: 1px solid var(--line); border-radius: .4rem; white-space: pre-wrap; overflow-wrap: anywhere; }
pre, code { direction: ltr; unicode-bidi: bidi-override; }
input { font: inherit; padding: .4rem; width: 100%; max-width: 32rem; }
button { font: inherit; padding: .5rem 1.4rem; border-radius: .4rem; border: 1px solid var(--good); background: var(--good); color: Canvas; cursor: pointer; }
button.deny { border-color: var(--bad); background: var(--bad); }
button.quiet { background: none; color: inherit; border-color: var(--line); padding: .2rem .8rem; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.state { border: 1px solid var(--line); border-radius: 1rem; padding: .1rem .7rem; }
.state.approved, .state.used, .state.active { color: var(--good); }
.state.denied, .state.expired, .state.lost, .problem { color: var(--bad); }
.state.pending { font-weight: 700; }
`;

/** What the pages can do without, and is nicer with: a request that is decided elsewhere shows it by itself. */
export const script = `'use strict';
(() => {
  const state = document.getElementById('state');
  if (state === null || state.dataset.state !== 'pending') return;
  const look = async () => {
    if (document.hidden) return;
    try {
      const reply = await fetch('/api/v1' + location.pathname, { headers: { accept: 'application/json' } });
      const form = document.querySelector('main form');
      const typing = form !== null && [...form.querySelectorAll('input:not([type=hidden])')].some((input) => input.value !== '');
      if (reply.ok && (await reply.json()).state !== 'pending' && !typing) location.reload();
    } catch {
      // The next time, perhaps.
    }
  };
  setInterval(look, 3000);
})();
`;
