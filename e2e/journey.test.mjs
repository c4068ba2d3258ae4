// The first journey in a real browser, against the program that a stranger
// starts: invited, first password, home, and the door open the next time.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { axe, launch, shot, startDemo } from './lib.mjs';

const password = 'Seven zebras ride 9 trams!';

// field is the input of a label, not the button that shows what is in it.
const field = (page, label) => page.getByRole('textbox', { name: label, exact: true }).or(page.locator('input[type=password]').and(page.getByLabel(label, { exact: true })));

describe('the front door opens', () => {
  let demo;
  let profile;
  let browser;
  const complaints = []; // what the pages wrote to the console, policy violations among it

  const open = async (options = {}) => {
    const context = await launch({ profile, ...options });
    context.setDefaultTimeout(15_000);
    context.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
    context.on('weberror', (error) => complaints.push(String(error.error())));
    return context;
  };

  before(async () => {
    demo = await startDemo();
    profile = await mkdtemp(join(tmpdir(), 'parvis-journey-'));
    browser = await open();
  });
  after(async () => {
    await browser?.close();
    await demo?.stop();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  });

  test('the owner opens the printed link, is told what the password lacks, and is at home', async () => {
    const page = await browser.newPage();
    await page.goto(demo.links.meridian);
    await shot(page, 'invitation');
    await axe(page);
    const rules = page.locator('[data-rule]');
    assert.ok((await rules.count()) >= 5, 'the rules are listed');

    await field(page, 'New password').fill('harbour7');
    const met = page.locator('[data-rule].met');
    await met.first().waitFor();
    assert.equal(await page.locator('[data-rule=upper].met').count(), 0, 'no upper-case letter yet');
    assert.equal(await page.locator('[data-rule=digit].met').count(), 1, 'a digit');
    await field(page, 'Repeat the new password').fill('harbour7');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.locator('[aria-invalid=true]').waitFor();
    await shot(page, 'invitation-refused');
    await axe(page);
    assert.equal(await field(page, 'New password').inputValue(), '', 'no password is shown again');
    assert.ok(await page.locator('[aria-invalid=true]').evaluate((e) => e === document.activeElement), 'focus is on the problem');

    await field(page, 'New password').fill(password);
    await field(page, 'Repeat the new password').fill(password);
    await page.getByRole('button', { name: 'Save' }).click();
    await page.waitForURL('**/o/meridian/home');
    await shot(page, 'home');
    await axe(page);
    assert.match(await page.locator('main').innerText(), /Ana/);
    await page.close();
  });

  test('the owner invites somebody, whose letter is in the mailbox', async () => {
    const page = await browser.newPage();
    await page.goto(`${demo.address}/o/meridian/home`);
    await page.getByRole('link', { name: 'Administration', exact: true }).click();
    await shot(page, 'overview');
    await axe(page);
    await page.goto(`${demo.address}/o/meridian/admin/people`);
    await shot(page, 'people');
    await axe(page);
    await page.getByRole('link', { name: /Invite/ }).first().click();
    await shot(page, 'invite');
    await axe(page);
    await field(page, 'E-mail address').fill('not an address');
    await field(page, 'E-mail address').evaluate((e) => e.form.setAttribute('novalidate', ''));
    await page.locator('#main').getByRole('button').last().click();
    await page.locator('[aria-invalid=true]').waitFor();
    assert.equal(await field(page, 'E-mail address').inputValue(), 'not an address', 'what was typed stays');
    await field(page, 'E-mail address').fill('bo@meridian.example');
    await page.locator('#main').getByRole('button').last().click();
    await page.waitForURL('**/admin/invitations/**');
    await shot(page, 'invitation-sent');
    await axe(page);
    assert.match(await page.locator('main').innerText(), /bo@meridian\.example/);
    assert.match(await page.locator('main').innerText(), /junk/);
    await page.close();
  });

  test('the invited person changes the language on the way and loses nothing', async () => {
    const invited = await launch();
    invited.setDefaultTimeout(15_000);
    const page = await invited.newPage();
    await page.goto(demo.mailbox);
    const letter = page.getByRole('row').filter({ hasText: 'bo@meridian.example' }).getByRole('link');
    for (let tries = 0; (await letter.count()) === 0 && tries < 50; tries++) await page.reload();
    await letter.first().click();
    const link = await page.locator('a[href*="/invitation/"]').first().getAttribute('href');
    await page.goto(link);
    await field(page, 'Your name').fill('Bo Nguyễn');
    await page.locator('select[name=language]').selectOption('fr');
    await page.waitForFunction(() => document.documentElement.lang === 'fr');
    assert.equal(await page.locator('input[name=name]').inputValue(), 'Bo Nguyễn');
    await shot(page, 'invitation-fr');
    await axe(page);
    await page.locator('input[name=password]').fill(password);
    await page.locator('input[name=repetition]').fill(password);
    await page.locator('#main button:not([type=button])').last().click();
    await page.waitForURL('**/o/meridian/home');
    assert.equal(await page.locator('html').getAttribute('lang'), 'fr');
    await shot(page, 'home-fr');
    assert.equal(await page.getByRole('link', { name: 'Administration' }).count(), 0, 'a member administers nothing');
    await invited.close();
  });

  test('the browser is closed and opened, and the door is still open', async () => {
    await browser.close();
    browser = await open();
    const page = await browser.newPage();
    await page.goto(demo.address);
    await page.waitForURL('**/o/meridian/home');
    await page.close();
  });

  test('account, sessions and audit log can be read', async () => {
    const page = await browser.newPage();
    for (const [name, path] of Object.entries({
      account: 'account', sessions: 'account/sessions', audit: 'admin/audit', 'audit-filtered': 'admin/audit?by=user&action=signin.done&from=2026-01-01',
      organization: 'admin/organization', 'sign-out': 'sign-out', 'not-found': 'nowhere',
    })) {
      await page.goto(`${demo.address}/o/meridian/${path}`);
      await shot(page, name);
      await axe(page);
      assert.ok((await page.getByRole('link').count()) > 0, `${name} leads on`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
      assert.ok(!wide, `${name} does not scroll sideways`);
    }
    await page.goto(`${demo.address}/o/meridian/admin/audit`);
    await page.locator('table a, main a[href*="/audit/evt_"]').first().click();
    await shot(page, 'audit-entry');
    await axe(page);
    await page.close();
  });

  test('signing out and in again, wrong password first', async () => {
    const page = await browser.newPage();
    await page.goto(`${demo.address}/o/meridian/home`);
    await page.getByRole('button', { name: 'Sign out' }).first().click();
    await page.waitForURL('**/o/meridian?signed-out');
    await shot(page, 'signed-out');
    await axe(page);
    await page.goto(`${demo.address}/sign-in`);
    await shot(page, 'sign-in');
    await axe(page);
    await field(page, 'E-mail').fill('ana@meridian.example');
    await field(page, 'Password').fill('wrong');
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.locator('input[name=organization]').waitFor();
    await shot(page, 'sign-in-failed');
    await axe(page);
    assert.equal(await field(page, 'E-mail').inputValue(), 'ana@meridian.example');
    await field(page, 'Password').fill(password);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.waitForURL('**/o/meridian/home');
    await page.close();
  });

  test('everything works without JavaScript', async () => {
    const plain = await launch({ javaScriptEnabled: false });
    const page = await plain.newPage();
    await page.goto(`${demo.address}/o/meridian/account`);
    await page.waitForURL('**/sign-in/att_*');
    await shot(page, 'sign-in-attempt');
    await field(page, 'E-mail').fill('ana@meridian.example');
    await page.locator('select[name=language]').selectOption('fr');
    await page.locator('footer button').click();
    assert.equal(await page.locator('html').getAttribute('lang'), 'fr');
    assert.equal(await page.locator('input[name=email]').inputValue(), 'ana@meridian.example');
    await page.locator('input[name=password]').fill(password);
    await page.getByRole('button', { name: 'Se connecter', exact: true }).click();
    await page.waitForURL('**/o/meridian/account');
    await plain.close();
  });

  test('the sign-in page needs three requests at most, passkeys one more, all of our own origin', async (t) => {
    for (const [javaScriptEnabled, most] of [[false, 3], [true, 4]]) {
      const fresh = await launch({ javaScriptEnabled });
      t.after(() => fresh.close());
      const page = await fresh.newPage();
      const requests = [];
      page.on('request', (r) => requests.push(r));
      // A busy machine is idle before the script has asked for its challenge.
      const asked = javaScriptEnabled && page.waitForResponse('**/sign-in/passkey');
      await page.goto(`${demo.address}/sign-in`, { waitUntil: 'networkidle' });
      await asked;
      const travelled = requests.filter((r) => !r.url().startsWith('data:'));
      assert.ok(travelled.length <= most, `requests: ${travelled.map((r) => r.url())}`);
      for (const r of travelled) assert.ok(r.url().startsWith(demo.address), r.url());
      const challenges = travelled.filter((r) => r.url().endsWith('/sign-in/passkey'));
      assert.equal(challenges.length, javaScriptEnabled ? 1 : 0, 'a challenge for the field of the address, once the page is there');
      let bytes = 0;
      for (const r of travelled) {
        const sizes = await r.sizes();
        bytes += sizes.responseHeadersSize + sizes.responseBodySize;
      }
      assert.ok(bytes <= 15_000, `${bytes} bytes`);
    }
  });

  test('no page broke its own policy', () => {
    const bad = complaints.filter((text) => !/Failed to load resource.*(404|410|422)/.test(text));
    assert.deepEqual(bad, []);
  });
});
