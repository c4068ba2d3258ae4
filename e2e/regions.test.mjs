// Two regions in a real browser: from the sign-in page of one to that of the
// other, with nothing secret on the way and no policy broken.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { axe, launch, shot, startDemo } from './lib.mjs';

const password = 'Seven zebras ride 9 trams!';
const email = 'noor@cobalt.example';

describe('between two regions', () => {
  let demo;
  const browsers = [];
  const complaints = []; // what the pages wrote to the console, policy violations among it
  const requests = []; // every address that was asked for, as servers see it

  const open = async (options = {}) => {
    const context = await launch(options);
    browsers.push(context);
    context.setDefaultTimeout(15_000);
    context.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
    context.on('weberror', (error) => complaints.push(String(error.error())));
    // What really went out: of a request that follows a redirect, headers() says what it began with.
    context.on('request', (request) => requests.push(request.allHeaders().then(
      (headers) => `${request.url()} ${headers.referer ?? ''}`, () => `${request.url()} `)));
    return context;
  };

  // choose opens the first region, types what a person types and picks the other.
  const choose = async (page, path) => {
    await page.goto(demo.address + path);
    assert.equal(await page.locator('select[name=region]').evaluate((s) => s.selectedOptions[0].text), 'Europe', 'the page says where it is');
    await page.locator('input[name=organization]').fill('cobalt');
    if (path === '/forgot-password') await page.locator('input[name=email]').fill(email);
    await page.locator('select[name=region]').selectOption({ label: 'Americas' });
  };

  before(async () => {
    demo = await startDemo();
    const owner = await open();
    const page = await owner.newPage();
    await page.goto(demo.links.cobalt);
    await page.locator('input[name=password]').fill(password);
    await page.locator('input[name=repetition]').fill(password);
    await page.locator('#main button:not([type=button])').last().click();
    await page.waitForURL(`${demo.other}/o/cobalt/home`);
    assert.match(await page.locator('header .chip').first().innerText(), /Americas/);
  });
  after(async () => {
    await Promise.all(browsers.map((browser) => browser.close()));
    await demo?.stop();
  });

  test('More sign-in options leads to the organization in the other region, and in', async () => {
    const browser = await open();
    const page = await browser.newPage();
    await page.goto(`${demo.address}/sign-in`);
    await page.getByRole('link', { name: 'More sign-in options' }).click();
    await page.locator('select[name=region]').waitFor();
    await shot(page, 'regions');
    await axe(page);
    await choose(page, '/organization');
    await page.keyboard.press('Enter');
    await page.waitForURL(`${demo.other}/o/cobalt`);
    assert.equal(await page.evaluate(() => document.activeElement.name), 'email', 'the address is what is left to type');
    await axe(page);
    await page.locator('input[name=email]').fill(email);
    await page.locator('input[name=password]').fill(password);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${demo.other}/o/cobalt/home`);
    // The first region learned nothing of it.
    await page.goto(`${demo.address}/o/cobalt/home`);
    assert.ok(!page.url().startsWith(demo.other));
    assert.match(await page.locator('main').innerText(), /There is nothing here/);
  });

  test('without scripts the page leads on too', async () => {
    const browser = await open({ javaScriptEnabled: false });
    const page = await browser.newPage();
    await choose(page, '/organization');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.waitForURL(`${demo.other}/o/cobalt`);
    await page.locator('input[name=email]').fill(email);
    await page.locator('input[name=password]').fill(password);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.waitForURL(`${demo.other}/o/cobalt/home`);
  });

  test('the link of the page that leaves works where the refresh does not', async () => {
    const browser = await open();
    const page = await browser.newPage();
    await choose(page, '/forgot-password');
    await page.route(`${demo.other}/**`, (route) => route.abort('aborted')); // the page stays
    await page.locator('#main button.button').first().click();
    const link = page.getByRole('link', { name: 'Go to Americas' });
    await link.waitFor();
    await shot(page, 'region-leave');
    await axe(page);
    await page.unroute(`${demo.other}/**`);
    await link.click();
    await page.waitForURL(`${demo.other}/forgot-password?organization=cobalt`);
    assert.equal(await page.locator('input[name=email]').inputValue(), email);
  });

  test('a forgotten password and a forgotten name lead to the other region', async () => {
    const browser = await open();
    const page = await browser.newPage();
    await choose(page, '/forgot-password');
    await axe(page);
    await page.locator('#main button.button').first().click();
    await page.waitForURL(`${demo.other}/forgot-password?organization=cobalt`);
    assert.equal(await page.locator('input[name=email]').inputValue(), email);
    await page.goto(`${demo.address}/forgot-organization`);
    await shot(page, 'forgot-organization');
    await axe(page);
    await page.getByRole('link', { name: 'Ask in the region Americas' }).click();
    await page.waitForURL(`${demo.other}/forgot-organization`);
  });

  test('a name that is not known here leads to the other region by itself, with the address filled in', async () => {
    for (const javaScriptEnabled of [true, false]) {
      const browser = await open({ javaScriptEnabled });
      const page = await browser.newPage();
      await page.goto(`${demo.address}/organization`);
      await page.locator('input[name=organization]').fill('Cobalt Air');
      await page.getByRole('button', { name: 'Continue' }).click();
      await page.waitForURL(`${demo.other}/o/cobalt`);
      await page.goto(`${demo.address}/sign-in`);
      await page.locator('input[name=email]').fill(email);
      await page.locator('input[name=password]').fill('not this one');
      await page.getByRole('button', { name: 'Sign in', exact: true }).click();
      await page.locator('input[name=organization]').fill(' COBALT ');
      await page.locator('input[name=password]').fill(password);
      await page.getByRole('button', { name: 'Sign in', exact: true }).click();
      await page.waitForURL((url) => url.origin === demo.other && url.pathname === '/o/cobalt');
      assert.equal(await page.locator('input[name=email]').inputValue(), javaScriptEnabled ? email : '', 'only a script can fill it in');
      assert.equal(await page.locator('input[name=password]').inputValue(), '', 'a password stays where it was typed');
    }
  });

  test('an address in the field of the name reaches no server of the other region', async () => {
    const browser = await open();
    const page = await browser.newPage();
    await page.goto(`${demo.address}/organization`);
    await page.locator('input[name=organization]').fill(email);
    await page.locator('select[name=region]').selectOption({ label: 'Americas' });
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.waitForURL(`${demo.other}/organization`);
    assert.equal(await page.locator('input[name=organization]').inputValue(), email, 'nothing that was typed is lost');
  });

  test('no server saw the e-mail, no page broke its own policy', async () => {
    // A fragment is shown by the tools and sent to no server.
    for (const line of await Promise.all(requests)) {
      const seen = line.replace(/#\S*/, '');
      assert.ok(!seen.includes('noor') && !seen.includes('zebras'), line);
      assert.ok(!/ \S/.test(line), `a referrer: ${line}`);
    }
    const bad = complaints.filter((text) => !/Failed to load resource.*(404|422)/.test(text));
    assert.deepEqual(bad, []);
    assert.doesNotMatch(demo.output(), /policy report/);
  });
});
