import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium, type Page } from 'playwright-core';
import type { Grant } from '../../src/access/model.ts';
import { type ApiStage, questionOf, startApiStage } from '../support/api-stage.ts';
import { requireClient } from '../support/clients.ts';

/** The page that the address in a client's notice opens, in a real browser, with a log-in by a real provider. */

const client = requireClient('chromium');
const skip = client.skip === undefined ? {} : { skip: client.skip };

let stage: ApiStage;
const closing: (() => Promise<void> | void)[] = [];
before(async () => {
  if (client.path === undefined) return;
  stage = await startApiStage();
  stage.provider.accounts.set('sub-dana', { name: 'dana', groups: ['dba'] });
  stage.provider.accounts.set('sub-bob', { name: 'bob', groups: ['developers'] });
  stage.provider.accounts.set('sub-sam', { name: 'sam', groups: ['security'] });
});
after(async () => {
  for (const close of closing.reverse()) await close();
  if (client.path !== undefined) await stage.stop();
});

/** A browser of its own, that nobody has logged in with. Its profile is a fresh one, and goes with it. */
async function newBrowser(javaScriptEnabled = true): Promise<{ page: Page; violations: string[] }> {
  const browser = await chromium.launch({
    ...(client.path === undefined ? {} : { executablePath: client.path }),
    headless: true,
    timeout: 30_000,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  closing.push(() => browser.close());
  // The authority of the test is in no store that a browser looks into.
  const context = await browser.newContext({ javaScriptEnabled, ignoreHTTPSErrors: true });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  const violations: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' && message.location().url.startsWith(stage.url)) violations.push(message.text());
  });
  page.on('pageerror', (error) => violations.push(String(error)));
  return { page, violations };
}

/** Opens a page of the gateway and logs in where it asks for it, as a person would: by the link, then by the provider's form. */
async function openAs(page: Page, subject: string, path: string): Promise<void> {
  stage.provider.loginAs = null;
  await page.goto(`${stage.url}${path}`);
  await page.getByRole('link', { name: 'Log in with company' }).click();
  await page.locator('input[name=login]').fill(subject);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.waitForURL(`${stage.url}${path}`);
}

test('an approver opens the address, logs in, reads what it is about, and approves', skip, async () => {
  const asked = await stage.access.approvals.ask(
    questionOf(
      { name: 'bob', issuer: 'gw-1' },
      { params: ['42'], objects: ['delete public.cards', 'select public.customers'], reason: 'OPS-12 <img src=x> &amp; "brands"' },
    ),
  );
  const { page, violations } = await newBrowser();
  await openAs(page, 'sub-dana', `/approvals/${asked.approval.id}`);

  const text = await page.locator('main').innerText();
  for (const shown of [
    'bob',
    '10.0.0.9:4000',
    'payments as read-write',
    'OPS-12 <img src=x> &amp; "brands"',
    'the statement waits, and runs when it is approved',
    'destructive.delete',
    'delete public.cards',
    'select public.customers',
    'about 3',
  ])
    assert.ok(text.includes(shown), `${shown} is not on the page`);
  assert.equal(await page.locator('#asked-for img').count(), 0);
  assert.equal(await page.locator('#statement').innerText(), "delete from cards where number = '************1111'");
  assert.equal(await page.getByLabel('Values').innerText(), '42');

  await page.getByLabel('Reason').fill('the ticket says so');
  await page.getByLabel('Most rows it may touch').fill('3');
  await page.getByRole('button', { name: 'Approve' }).click();
  await page.locator('#votes').waitFor();
  const outcome = await asked.outcome;
  assert.equal(outcome.state, 'approved');
  assert.equal(outcome.approval.rowBudget, 3);
  assert.deepEqual(
    outcome.approval.votes.map(({ approver, issuer, decision, reason }) => [approver, issuer, decision, reason]),
    [['dana', stage.provider.issuer, 'approve', 'the ticket says so']],
  );
  assert.match(await page.locator('#votes').innerText(), /^dana for dba: approve, .*: the ticket says so$/);

  // History has it.
  await page.getByRole('link', { name: 'All approvals' }).click();
  const history = page.getByRole('region', { name: 'History' });
  assert.match(
    await history.innerText(),
    /bob\s+payments as read-write\s+delete public\.cards and 1 more\s+OPS-12 <img src=x> &amp; "brands"\s+waits\s+approved/,
  );
  // No script or style but our own, and no error of theirs.
  assert.deepEqual(violations, []);
});

test('without scripts and with the keyboard alone it is denied just as well', skip, async () => {
  const asked = await stage.access.approvals.ask(questionOf({ name: 'bob', issuer: 'gw-1' }));
  const { page } = await newBrowser(false);
  await openAs(page, 'sub-dana', `/approvals/${asked.approval.id}`);
  await page.getByLabel('Reason').focus();
  await page.keyboard.type('not on a Friday');
  // Row budget, Approve, Deny.
  for (let i = 0; i < 3; i++) await page.keyboard.press('Tab');
  assert.equal(await page.locator(':focus').innerText(), 'Deny');
  await page.keyboard.press('Enter');
  await page.locator('#votes').waitFor();
  assert.equal((await asked.outcome).state, 'denied');
  assert.match(await page.locator('#state').innerText(), /denied/);
  assert.equal(await page.getByRole('button', { name: 'Approve' }).count(), 0);
});

test('the page of a request that is decided elsewhere shows it by itself', skip, async () => {
  const asked = await stage.access.approvals.ask(questionOf({ name: 'bob', issuer: 'gw-1' }));
  const { page } = await newBrowser();
  await openAs(page, 'sub-dana', `/approvals/${asked.approval.id}`);
  const by = questionOf({ name: 'dora', issuer: 'gw-1' }).principal;
  await stage.access.approvals.decide(asked.approval.id, { ...by, groups: ['dba'] }, 'deny', 'seen by another');
  await page.locator('#state[data-state=denied]').waitFor();
  assert.match(await page.locator('#votes').innerText(), /dora/);
});

test('whoever is not asked sees no form, and the requester never decides', skip, async () => {
  const asked = await stage.access.approvals.ask(questionOf({ name: 'eve', issuer: 'gw-1' }));
  const { page } = await newBrowser();
  await openAs(page, 'sub-bob', '/approvals');
  await page.goto(`${stage.url}/approvals/${asked.approval.id}`);
  assert.match(await page.locator('main').innerText(), /Not found/);
  const own = await stage.access.approvals.ask(
    questionOf(
      { name: 'bob', issuer: stage.provider.issuer },
      { principal: { ...questionOf({ name: 'bob', issuer: stage.provider.issuer }).principal, subject: 'sub-bob' } },
    ),
  );
  await page.goto(`${stage.url}/approvals/${own.approval.id}`);
  assert.match(await page.locator('#why-not').innerText(), /You asked for it yourself/);
  assert.equal(await page.getByRole('button', { name: 'Approve' }).count(), 0);
  // The log-out ends it.
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.waitForURL(`${stage.url}/login`);
  await page.goto(`${stage.url}/approvals`);
  await page.waitForURL(`${stage.url}/login?back=%2Fapprovals`);
});

test('a grant is asked for by the API, and approved and ended by whoever opens its address', skip, async () => {
  const token = stage.token('carl', ['developers']);
  const json = { resource: 'payments', role: 'read-write', seconds: 7200, reason: 'move the <b>orders</b>', ticket: 'OPS-7' };
  const asked = await stage.call('POST', '/api/v1/grants', { token, json });
  assert.equal(asked.status, 201, asked.text);
  const { id } = asked.body as Grant;
  const { page, violations } = await newBrowser();
  await openAs(page, 'sub-dana', `/grants/${id}`);
  const text = await page.locator('main').innerText();
  for (const shown of ['payments as read-write, for carl', '2 h', 'move the <b>orders</b>', 'OPS-7', 'dba', 'Nobody has voted yet.'])
    assert.ok(text.includes(shown), `${shown} is not on the page`);
  await page.getByLabel('Reason').fill('the ticket says so');
  await page.getByRole('button', { name: 'Approve' }).click();
  await page.locator('#state[data-state=active]').waitFor();
  assert.match(await page.locator('#votes').innerText(), /^dana for dba: approve, .*: the ticket says so$/);
  const { groups } = (await stage.call('GET', '/api/v1/whoami', { token })).body as { groups: string[] };
  assert.ok(groups.includes('payments/read-write'));

  await page.getByRole('link', { name: 'Grants', exact: true }).click();
  assert.match(
    await page.getByRole('region', { name: 'Active' }).innerText(),
    /carl\s+payments as read-write\s+2 h\s+.*UTC\s+never\s+active/,
  );
  // dana decides; to end it is for others.
  await page.getByRole('link', { name: 'payments as read-write' }).click();
  await page.locator('#votes').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Revoke' }).count(), 0);
  const other = await newBrowser(false);
  await openAs(other.page, 'sub-sam', `/grants/${id}`);
  await other.page.getByLabel('Reason to end it').fill('done');
  await other.page.getByRole('button', { name: 'Revoke' }).click();
  await other.page.locator('#state[data-state=revoked]').waitFor();
  assert.deepEqual(violations, []);
});

test('the page of a request for a grant that is decided elsewhere shows it by itself', skip, async () => {
  const by = questionOf({ name: 'bob', issuer: 'gw-1' }).principal;
  const wanted = { resource: 'payments', role: 'read-write', seconds: 60, reason: 'a task', ticket: '', breakGlass: false };
  const { id } = await stage.access.grants.request(by, wanted);
  const { page } = await newBrowser();
  await openAs(page, 'sub-dana', `/grants/${id}`);
  await stage.access.grants.decide(id, { ...questionOf({ name: 'dora', issuer: 'gw-1' }).principal, groups: ['dba'] }, 'deny', '');
  await page.locator('#state[data-state=denied]').waitFor();
});

test('every control of the page has a name, and the order of headings has no gaps', skip, async () => {
  const asked = await stage.access.approvals.ask(questionOf({ name: 'bob', issuer: 'gw-1' }));
  const { page } = await newBrowser();
  await openAs(page, 'sub-dana', `/approvals/${asked.approval.id}`);
  const unnamed = await page.evaluate(() =>
    [...document.querySelectorAll('input:not([type=hidden]), button, a')]
      .filter((element) => {
        const labels = element instanceof HTMLInputElement ? [...(element.labels ?? [])].map((label) => label.textContent).join('') : '';
        return `${labels}${element.textContent}${element.getAttribute('aria-label') ?? ''}`.trim() === '';
      })
      .map((element) => element.outerHTML),
  );
  assert.deepEqual(unnamed, []);
  const levels = await page.evaluate(() => [...document.querySelectorAll('h1, h2, h3')].map(({ tagName }) => tagName));
  assert.equal(levels[0], 'H1');
  assert.equal(levels.filter((level) => level === 'H1').length, 1);
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'en');
});
