// What the script adds while a person types, and the time zone that new people begin with.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { axe, launch, startDemo } from './lib.mjs';

const password = 'Seven zebras ride 9 trams!';

describe('while typing', () => {
  let demo, browser, page;

  before(async () => {
    demo = await startDemo();
    browser = await launch({ timezoneId: 'Asia/Tokyo' });
    browser.setDefaultTimeout(15_000);
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
});
