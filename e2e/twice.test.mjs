// Two clicks instead of one: with the script, which holds the form, and without it, where
// the server answers the second as it did the first.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch, startDemo, until } from './lib.mjs';

const password = 'Seven zebras ride 9 trams!';

describe('two clicks instead of one', () => {
  let demo;
  const open = [];

  const visit = async (javaScriptEnabled, address) => {
    const browser = await launch({ javaScriptEnabled });
    open.push(browser);
    browser.setDefaultTimeout(30_000);
    const page = await browser.newPage();
    await page.goto(address);
    return page;
  };
  // The pointer presses where the button was, whatever the page does meanwhile.
  const twice = async (page, button, pause) => {
    const { x, y, width, height } = await button.boundingBox();
    await page.mouse.click(x + width / 2, y + height / 2);
    await page.waitForTimeout(pause);
    await page.mouse.click(x + width / 2, y + height / 2);
  };
  // The first of two navigations is cut off, so nobody waits for it.
  const arrives = async (page, path) => {
    await until(`${path} after two clicks`, () => new URL(page.url()).pathname === path, 30);
    await page.locator('.places').waitFor();
  };
  const accept = async (link, javaScriptEnabled, pause) => {
    const page = await visit(javaScriptEnabled, link);
    await page.locator('input[name=password]').fill(password);
    await page.locator('input[name=repetition]').fill(password);
    await twice(page, page.locator('#main button:not([type=button])').last(), pause);
    return page;
  };

  before(async () => {
    demo = await startDemo();
  });
  after(async () => {
    for (const browser of open) await browser.close();
    await demo?.stop();
  });

  test('an invitation, without script', async () => {
    const page = await accept(demo.links.meridian, false, 80);
    await arrives(page, '/o/meridian/home');
  });

  test('an invitation, with the script', async () => {
    const page = await accept(demo.links.lumen, true, 80);
    await page.locator('input[name=device]').waitFor(); // Lumen asks for a second step
    assert.match(page.url(), /\/sign-in\/att_/);
  });

  for (const javaScriptEnabled of [false, true]) {
    for (const pause of [80, 400]) {
      test(`a sign-in, ${javaScriptEnabled ? 'with the' : 'without'} script, ${pause} ms apart`, async () => {
        const page = await visit(javaScriptEnabled, `${demo.address}/o/meridian/account/sessions`);
        await page.locator('input[name=email]').fill('ana@meridian.example');
        await page.locator('input[name=password]').fill(password);
        await twice(page, page.getByRole('button', { name: 'Sign in', exact: true }), pause);
        await arrives(page, '/o/meridian/account/sessions');
      });
    }
  }

  test('the script gives the button back when the page comes back from history', async () => {
    const page = await visit(true, `${demo.address}/o/meridian`);
    await page.locator('input[name=email]').fill('ana@meridian.example');
    await page.locator('input[name=password]').fill('wrong');
    const button = page.getByRole('button', { name: 'Sign in', exact: true });
    await button.click();
    await page.locator('[role=alert]').first().waitFor();
    await page.goBack();
    await page.locator('input[name=password]').fill(password);
    await page.locator('input[name=email]').fill('ana@meridian.example');
    await button.click();
    await arrives(page, '/o/meridian/home');
  });
});
