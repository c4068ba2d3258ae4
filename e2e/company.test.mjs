// Single sign-on in the demo, as its printed text tells it: the sign-in server of Halden
// Rail, whose people choose who they are.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { accept, follow, greeted, heading, look, press, startDemo, text, watched } from './lib.mjs';

const complaints = []; // what the pages wrote to the console, policy violations among it
const cleanUp = [];
let demo;

before(async () => {
  demo = await startDemo();
  cleanUp.push(demo.stop);
});
after(async () => { for (const stop of cleanUp.reverse()) await stop(); });

const at = (path) => `${demo.address}${path}`;
const home = '**/o/halden/home';

async function fresh() {
  const browser = await watched(complaints);
  cleanUp.push(() => browser.close());
  return browser.newPage();
}

// enter gives an address to the sign-in page, without a password.
async function enter(page, email) {
  await page.goto(at('/sign-in'));
  await page.locator('input[name=email]').fill(email);
  await press(page, 'Sign in');
}

const choose = (page, name) => page.getByRole('button', { name }).click();

describe('the company’s own sign-in server', { concurrency: false }, () => {
  let ingrid;

  test('the organization’s page shows the company’s button with its icon', async () => {
    const page = await fresh();
    await page.goto(at('/o/halden'));
    const button = page.getByRole('button', { name: 'Halden Rail' });
    await button.waitFor();
    assert.equal(await button.locator('svg, img').count(), 1, 'icons on the button');
    await button.click();
    await heading(page, 'Who are you?');
  });

  test('an address of the company leads there, and who comes first becomes a member', async () => {
    const page = await fresh();
    await enter(page, 'mei@halden.example');
    await heading(page, 'Who are you?');
    await look(page, 'company-choose');
    await choose(page, 'Mei Tanaka');
    await page.waitForURL(home);
    await greeted(page, 'Mei Tanaka');
  });

  test('who is signed in at the company is in without credentials', async () => {
    const page = await fresh();
    await page.goto(`${demo.company}/`);
    await choose(page, 'Jonas Berg');
    await page.getByText('Jonas Berg').waitFor();
    await look(page, 'company-home');
    await enter(page, 'jonas@halden.example');
    await page.waitForURL(home);
    await greeted(page, 'Jonas Berg');
  });

  test('the owner accepts the invitation and finds every attempt', async () => {
    ingrid = await fresh();
    await accept(ingrid, demo.links.halden);
    await ingrid.waitForURL(home);
    await ingrid.goto(at('/o/halden/admin/single-sign-on/attempts'));
    const said = await text(ingrid);
    for (const address of ['mei@halden.example', 'jonas@halden.example']) assert.ok(said.includes(address), `${address} is among the attempts`);
  });

  test('the owner adds the same server by SAML, tests it and turns it on', async () => {
    await ingrid.goto(at('/o/halden/admin/single-sign-on'));
    await follow(ingrid, 'Add a provider');
    await ingrid.locator('a[href$="?provider=generic"]').click();
    await ingrid.getByLabel('SAML 2.0').check();
    await ingrid.locator('input[name=name]').fill('Halden Rail by SAML');
    await press(ingrid, 'Continue');
    await ingrid.locator('input[name=metadata_address]').fill(`${demo.company}/saml/metadata`);
    await ingrid.locator('form:has(input[name=metadata_address])').getByRole('button').last().click();
    await ingrid.getByText('The provider was saved').waitFor();
    await ingrid.locator('#people input[name=vouches]').check();
    await ingrid.locator('#people').getByRole('button', { name: 'Save' }).click();
    await ingrid.getByText('The provider was saved').waitFor();
    await ingrid.locator('button[value=test]').click();
    await heading(ingrid, 'Who are you?');
    await choose(ingrid, 'Ingrid Halvorsen');
    await ingrid.waitForURL('**/admin/single-sign-on/attempts/**');
    await ingrid.getByText('Test passed').waitFor();
    await ingrid.goto(at('/o/halden/admin/single-sign-on'));
    await follow(ingrid, 'Halden Rail by SAML');
    await ingrid.locator('button[value=on]').click();
    await ingrid.locator('button[value=off]').waitFor();

    const page = await fresh();
    await page.goto(at('/o/halden'));
    await choose(page, 'Halden Rail by SAML');
    await choose(page, 'Jonas Berg');
    await page.waitForURL(home);
    await greeted(page, 'Jonas Berg');
  });

  test('nobody was warned of a violated policy', () => assert.deepEqual(complaints, []));
});
