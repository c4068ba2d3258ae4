// The second step in a real browser: an authenticator app, whose QR code and codes
// are read and made by programs that share nothing with ours, and recovery codes.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { accept, codeOf, follow, heading, look, press, readQR, signIn, signOut, startDemo, text, watched } from './lib.mjs';

let demo;
const complaints = []; // what the pages wrote to the console, policy violations among it

before(async () => { demo = await startDemo(); });
after(async () => { await demo?.stop(); });

const at = (path) => `${demo.address}${path}`;
const lumen = () => at('/o/lumen');
const home = '**/o/lumen/home';

describe('an authenticator app, required', { concurrency: false }, () => {
  let browser;
  let page;
  let secret;
  let codes;

  before(async () => {
    browser = await watched(complaints);
    page = await browser.newPage();
  });
  after(() => browser?.close());

  test('the owner of an organization that requires it is asked, and validates the app', async () => {
    await accept(page, demo.links.lumen);
    await heading(page, 'Protect your account');
    await look(page, 'enrol');
    await page.locator('input[name=device]').fill('Work phone');
    await page.getByLabel('Authenticator app').check();
    await press(page, 'Next');
    await heading(page, 'Set up your app');
    await look(page, 'enrol-app');

    secret = (await page.locator('.spell').innerText()).replaceAll(/\s/g, '');
    assert.match(secret, /^[A-Z2-7]{32}$/, '160 bits');
    for (const scheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme: scheme });
      const read = new URL(await readQR(page.locator('svg.qr')));
      assert.equal(read.protocol + read.host, 'otpauth:totp', scheme);
      assert.equal(read.searchParams.get('secret'), secret, scheme);
      assert.equal(read.searchParams.get('issuer'), 'Lumen Health');
      assert.match(decodeURIComponent(read.pathname), /^\/Lumen Health:\s?lin@lumen\.example$/);
    }
    await page.emulateMedia({ colorScheme: null });

    const right = await codeOf(secret, -1);
    await page.locator('input[name=code]').fill(String((Number(right) + 1) % 1e6).padStart(6, '0'));
    await press(page, 'Validate');
    await page.locator('[aria-invalid=true]').waitFor();
    assert.match(await text(page), /This code is not right\. The secret stays the same/);
    assert.ok(await page.locator('input[name=code]').evaluate((e) => e === document.activeElement), 'focus is on the problem');
    await look(page, 'enrol-app-refused');
    await page.reload();
    assert.equal((await page.locator('.spell').innerText()).replaceAll(/\s/g, ''), secret);
    await page.locator('input[name=code]').fill(await codeOf(secret, -1));
    await press(page, 'Validate');
  });

  test('ten recovery codes are shown, copied and downloaded, and home is next', async () => {
    await page.waitForURL('**/account/security/codes?**');
    await look(page, 'codes-offered');
    await press(page, 'Make recovery codes');
    codes = await page.locator('.codes code').allInnerTexts();
    assert.equal(new Set(codes).size, 10);
    await look(page, 'codes');
    const [file] = await Promise.all([page.waitForEvent('download'), press(page, 'Download')]);
    assert.equal(file.suggestedFilename(), 'parvis-lumen.txt');
    const kept = await (await file.createReadStream()).setEncoding('utf8').toArray().then((parts) => parts.join(''));
    for (const code of codes) assert.ok(kept.includes(code), `${code} is in the file`);
    await page.emulateMedia({ media: 'print' });
    assert.ok(await page.locator('.codes').isVisible(), 'they can be printed');
    await page.emulateMedia({ media: null });
    await follow(page, 'Continue');
    await page.waitForURL(home);
  });

  test('signed out and in again, the code is asked for; a wrong or a used one keeps the page', async () => {
    await signOut(page, lumen());
    await signIn(page, lumen(), 'lin@lumen.example');
    await heading(page, 'One more step');
    assert.match(await text(page), /Lin Okafor[^]*Work phone/);
    await look(page, 'second-app');
    for (const bad of ['12345', await codeOf(secret, -5)]) {
      await page.locator('input[name=code]').fill(bad);
      await press(page, 'Confirm');
      await page.locator('[aria-invalid=true]').waitFor();
      assert.match(await text(page), /This code is not right, or was used already/);
    }
    await look(page, 'second-app-refused');

    await follow(page, 'I can’t use any of these');
    await heading(page, 'When nothing works');
    assert.match(await text(page), /Nobody else at Lumen Health may do it/);
    await look(page, 'second-help');
    await follow(page, 'Use an authenticator app');
    await page.locator('input[name=code]').fill(await codeOf(secret));
    await press(page, 'Confirm');
    await page.waitForURL(home);
  });

  test('a recovery code works once', async () => {
    for (const [code, opens] of [[codes[3], true], [codes[3], false], [codes[4].toLowerCase().replaceAll('-', ' '), true]]) {
      if (page.url().endsWith('/home')) {
        await signOut(page, lumen());
        await signIn(page, lumen(), 'lin@lumen.example');
        await follow(page, 'Use a recovery code');
        if (code === codes[3]) await look(page, 'second-recovery');
      }
      await page.locator('input[name=recovery_code]').fill(code);
      await press(page, 'Confirm');
      if (opens) await page.waitForURL(home);
      else await page.getByText('This is not one of your recovery codes, or it was used already.').waitFor();
    }
    await page.goto(at('/o/lumen/account/security'));
    assert.match(await text(page), /8 of 10 are left/);
  });

  test('the QR code of an organization with a long name in any script is read from an ordinary screen', async () => {
    for (const name of ['京'.repeat(100), 'Ж'.repeat(52), 'Lumen Health']) {
      await page.goto(at('/o/lumen/admin/organization'));
      await page.locator('input[name=organization]').fill(name);
      await press(page, 'Save');
      await page.locator('h1.did').waitFor();
      await page.goto(at('/o/lumen/account/security/add'));
      await page.locator('input[name=device]').fill('Spare phone');
      await press(page, 'Next');
      await heading(page, 'Set up your app');
      const code = page.locator('svg.qr');
      assert.equal(await page.evaluate(() => devicePixelRatio), 1);
      const { width } = await code.boundingBox();
      const modules = await code.evaluate((e) => e.viewBox.baseVal.width);
      assert.ok(width / modules >= 3 && Number.isInteger(width / modules), `${name}: ${width} pixels for ${modules} modules`);
      const read = await readQR(code);
      assert.equal(read, await page.locator('.touched a').getAttribute('href'), name);
      assert.ok(new URL(read).searchParams.get('issuer').startsWith(name.slice(0, 4)));
    }
    assert.ok(!await page.getByRole('link', { name: 'Open in your app' }).isVisible(), 'no app is on a desk');
  });

  test('on the phone that holds the app it opens there, or takes the key', async () => {
    const phone = await watched(complaints, {
      viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, permissions: ['clipboard-read', 'clipboard-write'],
    });
    try {
      await phone.addCookies(await browser.cookies());
      const tab = await phone.newPage();
      await tab.goto(at('/o/lumen/account/security/add?with=app'));
      await look(tab, 'enrol-app-touched');
      assert.match(await tab.getByRole('link', { name: 'Open in your app' }).getAttribute('href'), /^otpauth:\/\/totp\/Lumen%20Health:/);
      await press(tab, 'Copy the key');
      await tab.getByText('Copied').waitFor();
      const key = await tab.evaluate(() => navigator.clipboard.readText());
      assert.equal(key, (await tab.locator('.spell').innerText()).replaceAll(/\s/g, ''));
      assert.match(key, /^[A-Z2-7]{32}$/);
    } finally {
      await phone.close();
    }
  });
});

test('no page broke its own policy', () => {
  assert.deepEqual(complaints.filter((line) => !/Failed to load resource.*422/.test(line)), []);
});
