// One address in two organizations, in a real browser: the failure that tells
// nothing, naming the organization once, forgetting password and name.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { axe, codeOf, enrolApp, launch, shot, startDemo, until } from './lib.mjs';

const owners = { meridian: 'Seven zebras ride 9 trams!', lumen: 'eleven quiet otters row upstream at dawn' };
const multi = { meridian: 'Nine herons cross 4 rivers?', lumen: 'purple lanterns above the old canal bridge' };
const address = 'multi@example.com';

const field = (page, label) => page.getByRole('textbox', { name: label, exact: true }).or(page.locator('input[type=password]').and(page.getByLabel(label, { exact: true })));

describe('one address in two organizations', () => {
  let demo;
  let secret; // of the app that Lumen requires
  const complaints = [];

  const open = async () => {
    const context = await launch();
    context.setDefaultTimeout(15_000);
    context.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
    context.on('weberror', (error) => complaints.push(String(error.error())));
    return context;
  };
  // letters are the links to pages of ours in the newest letter to an address with
  // that subject, once there are so many letters of it.
  const letter = async (context, to, subject, count = 1) => {
    const page = await context.newPage();
    const rows = page.getByRole('row').filter({ hasText: to }).filter({ hasText: subject });
    await page.goto(demo.mailbox);
    await until(`${count} of '${subject}' to ${to}`, async () => (await rows.count()) >= count || (await page.reload(), false));
    await rows.first().getByRole('link').first().click();
    await page.locator('a[href^="http"]').first().waitFor();
    const links = await page.locator('a[href^="http"]').evaluateAll((all) => all.map((a) => a.href));
    await page.close();
    return links;
  };
  const createPassword = async (page, password) => {
    await page.locator('input[name=password]').fill(password);
    await page.locator('input[name=repetition]').fill(password);
    await page.getByRole('button', { name: 'Save' }).click();
  };
  const proveSecond = async (page, step) => {
    await page.locator('input[name=code]').fill(await codeOf(secret, step));
    await page.locator('#main button:not([type=button])').click();
  };

  before(async () => {
    demo = await startDemo();
    for (const org of ['meridian', 'lumen']) {
      const owner = await open();
      const page = await owner.newPage();
      await page.goto(demo.links[org]);
      await createPassword(page, owners[org]);
      if (org === 'lumen') await enrolApp(page);
      await page.waitForURL(`**/o/${org}/home`);
      await page.goto(`${demo.address}/o/${org}/admin/people/invite`);
      await field(page, 'E-mail address').fill(address);
      await page.locator('#main').getByRole('button').last().click();
      await page.waitForURL('**/admin/invitations/**');
      await owner.close();
    }
    for (const [org, name] of [['meridian', 'Meridian Freight'], ['lumen', 'Lumen Health']]) {
      const joining = await open();
      const link = (await letter(joining, address, name)).find((l) => l.includes('/invitation/'));
      const page = await joining.newPage();
      await page.goto(link);
      await page.locator('input[name=name]').fill('Mika Multi');
      await createPassword(page, multi[org]);
      if (org === 'lumen') secret = await enrolApp(page);
      await page.waitForURL(`**/o/${org}/home`);
      await joining.close();
    }
  });
  after(async () => demo?.stop());

  test('the right password of an ambiguous address is the ordinary failure, and naming the organization goes on', async () => {
    const browser = await open();
    const page = await browser.newPage();
    await page.goto(`${demo.address}/sign-in`);
    await field(page, 'E-mail').fill(address);
    await field(page, 'Password').fill(multi.meridian);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.locator('.notice[role=alert]').waitFor();
    await shot(page, 'sign-in-failed');
    await axe(page);
    assert.equal(await field(page, 'E-mail').inputValue(), address, 'the address stays');
    await page.locator('input[name=organization]').fill('  ＭＥＲＩＤＩＡＮ ');
    await field(page, 'Password').fill(multi.meridian);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.waitForURL('**/o/meridian/home');

    // Signed out and in again: this browser knows which organization is meant.
    await page.goto(`${demo.address}/o/meridian/sign-out`);
    await page.locator('#main, main form').getByRole('button', { name: /Sign out/ }).first().click();
    await page.goto(`${demo.address}/sign-in`);
    await field(page, 'E-mail').fill(address);
    await field(page, 'Password').fill(multi.meridian);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.waitForURL('**/o/meridian/home');

    // Into the other organization without leaving this one.
    await page.goto(`${demo.address}/o/lumen`);
    await field(page, 'E-mail').fill(address);
    await field(page, 'Password').fill(multi.lumen);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await proveSecond(page, 0);
    await page.waitForURL('**/o/lumen/home');
    await page.goto(`${demo.address}/o/meridian/home`);
    assert.match(page.url(), /\/o\/meridian\/home$/, 'the first stays open');
    await browser.close();
  });

  test('a forgotten organization: one letter names both, each with its own page', async () => {
    const browser = await open();
    const page = await browser.newPage();
    await page.goto(`${demo.address}/sign-in`);
    await page.getByRole('link', { name: 'More sign-in options' }).click();
    await page.getByRole('link', { name: /Forgot your organization/ }).click();
    await shot(page, 'forgot-organization');
    await axe(page);
    await field(page, 'E-mail').fill(address);
    await page.getByRole('button', { name: 'Send me the names' }).click();
    await page.getByText('junk').waitFor();
    await shot(page, 'forgot-organization-sent');
    const links = await letter(browser, address, 'Your organizations');
    assert.deepEqual(links.filter((l) => /\/o\/[a-z]+$/.test(l)).map((l) => l.split('/').at(-1)).sort(), ['lumen', 'meridian']);
    await browser.close();
  });

  test('a forgotten password of one of the two: the other is untouched', async () => {
    const browser = await open();
    const page = await browser.newPage();
    await page.goto(`${demo.address}/o/lumen`);
    await page.getByRole('link', { name: /Forgot your password/ }).click();
    await shot(page, 'forgot-password');
    await axe(page);
    assert.equal(await page.locator('input[name=organization]').inputValue(), 'lumen', 'filled in');
    await field(page, 'E-mail').fill(address);
    await page.getByRole('button', { name: 'Send me the link' }).click();
    await page.getByText('junk').waitFor();
    await shot(page, 'forgot-password-sent');
    const link = (await letter(browser, address, 'Create a new password')).find((l) => l.includes('/reset/'));
    await page.goto(link);
    await shot(page, 'reset-second');
    await axe(page);
    await page.locator('#main button:not([type=button])').click();
    await proveSecond(page, 1);
    await page.locator('input[name=repetition]').waitFor();
    await shot(page, 'reset');
    await axe(page);
    await createPassword(page, 'too short');
    await page.locator('[aria-invalid=true]').waitFor();
    await shot(page, 'reset-refused');
    await createPassword(page, 'another quiet harbour under the northern stars');
    await page.waitForURL('**/o/lumen/home');
    await page.goto(link);
    await page.getByText(/used already/).waitFor();
    await shot(page, 'link-dead');
    await axe(page);

    const elsewhere = await open();
    const second = await elsewhere.newPage();
    await second.goto(`${demo.address}/o/meridian`);
    await field(second, 'E-mail').fill(address);
    await field(second, 'Password').fill(multi.meridian);
    await second.getByRole('button', { name: 'Sign in', exact: true }).click();
    await second.waitForURL('**/o/meridian/home');
    await elsewhere.close();

    // The letter about it leads to the page that disowns it.
    const notMe = (await letter(browser, address, 'was changed')).find((l) => l.includes('/not-me/'));
    const stranger = await open();
    const third = await stranger.newPage();
    await third.goto(notMe);
    await shot(third, 'not-me');
    await axe(third);
    await third.locator('#main button:not([type=button])').last().click();
    await third.getByRole('link', { name: /password/i }).first().waitFor();
    await shot(third, 'not-me-done');
    await axe(third);
    await stranger.close();
    await page.goto(`${demo.address}/o/lumen/home`);
    await page.waitForURL('**/o/lumen');
    await browser.close();
  });

  test('no page broke its own policy', () => {
    // A refused form is answered with 422, which Chromium writes to the console.
    assert.deepEqual(complaints.filter((c) => !/status of (410|422)/.test(c)), []);
  });
});
