// What the script adds while a person types, how passwords come in that nobody types, and the
// time zone that new people begin with.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { axe, launch, press, signOut, startDemo } from './lib.mjs';

const password = 'Seven zebras ride 9 trams!';
const another = 'Nine herons cross 4 rivers?';

// put has a field filled as a person does who types nothing: from the clipboard, or by dropping
// text into it. It is the browser's own way, which a page can hinder.
const put = {
  pasted: async (page, field, value) => {
    await page.evaluate((text) => navigator.clipboard.writeText(text), value);
    await field.focus();
    await page.keyboard.press('ControlOrMeta+V');
  },
  dropped: async (page, field, value) => {
    const { x, y, width, height } = await field.boundingBox();
    const debug = await page.context().newCDPSession(page);
    const data = { items: [{ mimeType: 'text/plain', data: value }], dragOperationsMask: 1 };
    for (const type of ['dragEnter', 'dragOver', 'drop']) await debug.send('Input.dispatchDragEvent', { type, x: x + width / 2, y: y + height / 2, data });
    await debug.detach();
  },
};

// manage fills in as a password manager does: it knows fields by their autocomplete tokens alone,
// and sets them by the element's own setter, with the events that a page may listen to.
const manage = (page, known) => page.evaluate((values) => {
  for (const [token, value] of Object.entries(values)) {
    for (const input of document.querySelectorAll(`input[autocomplete~="${token}"]`)) {
      if (input.readOnly) continue;
      Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(input, value);
      for (const type of ['input', 'change']) input.dispatchEvent(new Event(type, { bubbles: true }));
    }
  }
}, known);

describe('while typing', () => {
  let demo, browser, page;

  before(async () => {
    demo = await startDemo();
    browser = await launch({ timezoneId: 'Asia/Tokyo' });
    browser.setDefaultTimeout(15_000);
    await browser.grantPermissions(['clipboard-read', 'clipboard-write']);
    page = await browser.newPage();
  });
  after(async () => {
    await browser?.close();
    await demo?.stop();
  });

  test('what was wrong with a password is gone with the first key', async () => {
    await page.goto(demo.links.meridian);
    await page.locator('input[name=password]').fill('meridian');
    await page.locator('input[name=repetition]').fill('meridian');
    await page.locator('#main button.button').first().click();
    await page.locator('#password-error').waitFor();
    assert.equal(await page.locator('input[name=password]').getAttribute('aria-invalid'), 'true');
    await page.locator('input[name=password]').pressSequentially('S');
    assert.equal(await page.locator('#password-error').count(), 0);
    assert.equal(await page.locator('input[name=password]').getAttribute('aria-invalid'), null);
    await axe(page);
  });

  test('new people have the time zone of their browser, and times say it', async () => {
    await page.locator('input[name=password]').fill(password);
    await page.locator('input[name=repetition]').fill(password);
    await page.locator('#main button.button').first().click();
    await page.waitForURL('**/o/meridian/home');
    await page.goto(`${demo.address}/o/meridian/account`);
    assert.equal(await page.locator('select[name=time_zone]').inputValue(), 'Asia/Tokyo');
    await page.goto(`${demo.address}/o/meridian/account/sessions`);
    assert.match(await page.locator('main time').first().innerText(), /JST$/);
    // Who chose none reads the browser's, named too.
    await page.goto(`${demo.address}/o/meridian/account`);
    await page.locator('select[name=time_zone]').selectOption('');
    await page.locator('#main button.button').first().click();
    await page.goto(`${demo.address}/o/meridian/account/sessions`);
    assert.match(await page.locator('main time').first().innerText(), /(JST|GMT\+9)$/);
  });

  test('a password is pasted or dropped into each field for one, and a new one is ticked off', async () => {
    for (const path of ['account/password', 'sign-out']) {
      await page.goto(`${demo.address}/o/meridian/${path}`);
      if (path === 'sign-out') {
        await signOut(page, `${demo.address}/o/meridian`);
        await page.goto(`${demo.address}/o/meridian`);
      }
      const fields = await page.locator('main input[type=password]').all();
      assert.equal(fields.length, path === 'sign-out' ? 1 : 3, path);
      for (const field of fields) {
        const name = await field.getAttribute('name');
        for (const [how, act] of Object.entries(put)) {
          await field.fill('');
          await act(page, field, password);
          assert.equal(await field.inputValue(), password, `${how} into ${name} of ${path}`);
          if (name === 'password' && path === 'account/password') assert.equal(await page.locator('[data-rule=upper].met').count(), 1, `${how}: the rules are ticked off`);
        }
        const show = page.locator(`[aria-controls=${await field.getAttribute('id')}]`);
        await show.click();
        assert.equal(await page.locator(`input[name=${name}]`).getAttribute('type'), 'text', `${name} of ${path} is shown`);
        await show.click();
        assert.equal(await field.getAttribute('type'), 'password', `${name} of ${path} is hidden again`);
      }
    }
  });

  test('a password manager signs in and makes a new password, by the tokens of fields alone', async () => {
    await page.goto(`${demo.address}/sign-in`);
    await manage(page, { username: 'ana@meridian.example', 'current-password': password });
    await press(page, 'Sign in');
    await page.waitForURL('**/o/meridian/home');
    await page.goto(`${demo.address}/o/meridian/account/password`);
    await manage(page, { 'current-password': password, 'new-password': another });
    await page.locator('#main button.button').first().click();
    await page.waitForURL('**/account/password?*');
    await signOut(page, `${demo.address}/o/meridian`);
    await page.goto(`${demo.address}/o/meridian`);
    await manage(page, { username: 'ana@meridian.example', 'current-password': another });
    await press(page, 'Sign in');
    await page.waitForURL('**/o/meridian/home');
  });
});
