// Two organizations in one browser, and a session that is about to end: what a
// script adds, and what works without one.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { axe, codeOf, enrolApp, launch, shot, startDemo } from './lib.mjs';

const password = 'Seven zebras ride 9 trams!';
const minute = 60_000;

describe('one browser, several users', () => {
  let demo;
  let browser;
  let secret; // of the app that Lumen requires
  const complaints = [];

  const at = (path) => `${demo.address}${path}`;
  const join = async (page, link) => {
    await page.goto(link);
    await page.locator('input[name=password]').fill(password);
    await page.locator('input[name=repetition]').fill(password);
    await page.locator('#main button:not([type=button])').last().click();
  };
  const signIn = async (page, email) => {
    await page.locator('input[name=email]').fill(email);
    await page.locator('input[name=password]').fill(password);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  };
  const warning = (page) => page.locator('.idle .notice');
  const seen = (page) => warning(page).locator('p').innerText();
  const said = (page) => page.locator('.idle [role=status]').textContent();

  before(async () => {
    demo = await startDemo();
    browser = await launch();
    browser.setDefaultTimeout(15_000);
    browser.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
    browser.on('weberror', (error) => complaints.push(String(error.error())));
    const page = await browser.newPage();
    await join(page, demo.links.meridian);
    await page.waitForURL('**/o/meridian/home');
    await join(page, demo.links.lumen);
    secret = await enrolApp(page);
    await page.waitForURL('**/o/lumen/home');
    await page.close();
  });
  after(async () => {
    await browser?.close();
    await demo?.stop();
  });

  test('the switcher leads from one to the other, with mouse and keyboard', async () => {
    const page = await browser.newPage();
    await page.goto(at('/o/meridian/home'));
    const summary = page.locator('.switcher summary');
    await summary.click();
    await shot(page, 'switcher');
    await axe(page);
    const current = page.locator('.switcher a[aria-current=true]');
    assert.match(await current.innerText(), /Meridian Freight\s+Ana Duarte/);
    const width = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(await width(), 0, 'it does not make the page wider');
    await page.setViewportSize({ width: 320, height: 640 });
    assert.equal(await width(), 0, 'nor on a small screen');
    await page.setViewportSize({ width: 1280, height: 800 });

    await page.keyboard.press('Escape');
    assert.equal(await page.locator('.switcher[open]').count(), 0, 'Escape closes it');
    assert.ok(await summary.evaluate((e) => e === document.activeElement), 'and gives the focus back');
    await summary.click();
    await page.locator('h1').click();
    assert.equal(await page.locator('.switcher[open]').count(), 0, 'a click elsewhere closes it');

    await summary.focus();
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: /Lumen Health/ }).click();
    await page.waitForURL('**/o/lumen/home');
    assert.match(await page.locator('h1').innerText(), /Lin/);
    assert.doesNotMatch(await page.locator('main').innerText(), /Ana|Meridian/);
    await page.close();
  });

  test('sessions, organizations and activity can be read', async () => {
    const page = await browser.newPage();
    for (const path of ['account/sessions', 'account/organizations', 'account/activity', 'account/not-me', 'sign-out', 'admin/rules/sessions']) {
      await page.goto(at(`/o/meridian/${path}`));
      await shot(page, path.replaceAll('/', '-'));
      await axe(page);
      assert.ok(!(await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth)), `${path} does not scroll sideways`);
    }
    await page.close();
  });

  test('a page warns before a short rest ends, and can be kept open', async () => {
    const rules = await browser.newPage();
    await rules.goto(at('/o/meridian/admin/rules/sessions'));
    await rules.locator('select[name=idle]').selectOption('5m0s');
    await rules.locator('#main button:not([type=button])').last().click();
    await rules.waitForURL('**?saved');
    await rules.close();

    await browser.clock.install();
    // That clock counts performance.now from here on; a browser does from each page.
    await browser.addInitScript(() => {
      let opened;
      performance.now = () => Date.now() - (opened ??= Date.now());
    });
    const page = await browser.newPage();
    await page.goto(at('/o/meridian/account'));
    await page.locator('input[name=name]').fill('Ana Maria Duarte');
    const left = Number(await page.locator('.idle').getAttribute('data-left'));
    assert.ok(left > 4 * minute && left <= 5 * minute, `${left} ms are left`);
    await page.clock.runFor(left - 85_000); // it warns for a quarter, 75 seconds
    assert.ok(await warning(page).isHidden(), 'not yet');
    assert.equal(await said(page), '');

    await page.clock.runFor(12_000);
    await warning(page).waitFor();
    const first = await said(page);
    assert.match(first, /still there.* 7\d seconds/);
    await shot(page, 'idle-warning');
    await axe(page);
    await page.clock.runFor(10_000);
    assert.notEqual(await seen(page), first, 'it counts down');
    assert.equal(await said(page), first, 'and is not heard every second');
    await page.clock.runFor(35_000);
    assert.match(await said(page), /(30|2\d) seconds/);

    const [answer] = await Promise.all([page.waitForResponse('**/o/meridian/stay'), page.getByRole('button', { name: 'Stay signed in' }).click()]);
    assert.equal(answer.status(), 204);
    await warning(page).waitFor({ state: 'hidden' });
    assert.equal(await page.locator('input[name=name]').inputValue(), 'Ana Maria Duarte', 'what was typed stays');
    await page.clock.runFor(3 * minute);
    assert.ok(await warning(page).isHidden(), 'five minutes begin anew');

    // Another tab of the same organization tells this one; one of the other does not.
    await page.clock.runFor(1 * minute);
    await warning(page).waitFor();
    const other = await browser.newPage();
    await other.goto(at('/o/lumen/home'));
    assert.ok(await warning(page).isVisible(), 'a page of the other organization is no use of this one');
    await other.close();

    // The end: what was typed is still here, and comes back through the sign-in.
    await page.clock.runFor(2 * minute);
    assert.match(await seen(page), /has ended.*still here/);
    assert.match(await said(page), /has ended/);
    assert.ok(await page.getByRole('button', { name: 'Stay signed in' }).isHidden());
    await shot(page, 'idle-over');
    await page.close();
  });

  test('another tab that is used keeps this one from warning', async () => {
    const page = await browser.newPage();
    await page.goto(at('/o/meridian/account'));
    await page.clock.runFor(4 * minute);
    await warning(page).waitFor();
    const used = await browser.newPage();
    await used.goto(at('/o/meridian/home'));
    await warning(page).waitFor({ state: 'hidden' });
    await used.close();
    await page.close();
  });

  test('what was typed comes back filled in after the session ended', async () => {
    const page = await browser.newPage();
    await page.goto(at('/o/meridian/account'));
    await page.locator('input[name=name]').fill('Ana Maria Duarte');
    const elsewhere = await browser.newPage();
    await elsewhere.goto(at('/o/meridian/sign-out'));
    await elsewhere.locator('#main button:not([type=button])').first().click();
    await elsewhere.waitForURL('**/o/meridian?signed-out');
    await elsewhere.close();
    await page.locator('#main > .button').click();
    await page.waitForURL('**/sign-in/att_*');
    await signIn(page, 'ana@meridian.example');
    await page.waitForURL('**/o/meridian/account**');
    assert.equal(await page.locator('input[name=name]').inputValue(), 'Ana Maria Duarte');
    await page.close();
  });

  test('without JavaScript the switcher opens and nothing warns', async () => {
    const plain = await launch({ javaScriptEnabled: false });
    const page = await plain.newPage();
    await page.goto(at('/o/lumen'));
    await signIn(page, 'lin@lumen.example');
    await page.locator('input[name=code]').fill(await codeOf(secret));
    await page.locator('#main button:not([type=button])').click();
    await page.waitForURL('**/o/lumen/home');
    await page.goto(at('/o/meridian'));
    await signIn(page, 'ana@meridian.example');
    await page.waitForURL('**/o/meridian/home');
    assert.ok(await warning(page).isHidden());
    await page.locator('.switcher summary').click();
    await page.getByRole('button', { name: 'Sign out of all in this browser' }).click();
    await page.waitForURL('**/o/meridian?signed-out');
    await page.goto(at('/o/lumen/home'));
    assert.equal(new URL(page.url()).pathname, '/o/lumen');
    await plain.close();
  });

  test('no page broke its own policy', () => assert.deepEqual(complaints, []));
});
