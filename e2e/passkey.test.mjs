// Passkeys in a real browser, in Chromium's virtual authenticators: made, used beside
// a password and alone, renamed, removed; and every dialogue that ends in nothing.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { accept, authenticator, codeOf, enrolApp, follow, heading, look, platform, press, signIn, signOut, startDemo, text, until, watched } from './lib.mjs';

let demo;
const complaints = []; // what the pages wrote to the console, policy violations among it

before(async () => {
  demo = await startDemo();
  const browser = await watched(complaints);
  const page = await browser.newPage();
  await accept(page, demo.links.lumen);
  await enrolApp(page);
  await page.waitForURL(home);
  for (const email of ['kim@lumen.example', 'ola@lumen.example']) await invite(page, email);
  await browser.close();
});
after(async () => { await demo?.stop(); });

const at = (path) => `${demo.address}${path}`;
const lumen = () => at('/o/lumen');
const home = '**/o/lumen/home';
const security = '/o/lumen/account/security';

// linkFor is the link in the newest invitation of somebody.
async function linkFor(page, email) {
  await page.goto(demo.mailbox);
  const letter = page.getByRole('row').filter({ hasText: email }).getByRole('link');
  await until(`a letter to ${email}`, async () => (await letter.count()) > 0 || (await page.reload(), false));
  await letter.first().click();
  return page.locator('a[href*="/invitation/"]').first().getAttribute('href');
}

async function invite(page, email) {
  await page.goto(at('/o/lumen/admin/people/invite'));
  await page.locator('input[name=email]').fill(email);
  await page.locator('#main').getByRole('button').last().click();
  await page.waitForURL('**/admin/invitations/**');
}

// Without a check of who touches it, Chromium keeps no passkey that could be found
// without its name: such a key has room for none.
const key = { transport: 'usb', hasResidentKey: false, hasUserVerification: false };

describe('a passkey of this device', { concurrency: false }, () => {
  let browser;
  let page;
  let device;

  before(async () => {
    browser = await watched(complaints);
    page = await browser.newPage();
    device = await authenticator(page, platform);
  });
  after(() => browser?.close());

  const choose = async (name) => {
    await page.locator('input[name=device]').fill(name);
    await page.getByLabel('Passkey').check();
    await press(page, 'Next');
    await heading(page, 'Create a passkey');
  };

  test('it is made as a step of signing in; a cancelled dialogue comes back to the choice', async () => {
    await accept(page, await linkFor(page, 'kim@lumen.example'), 'Kim');
    await heading(page, 'Protect your account');

    await choose('Laptop');
    assert.match(await page.locator('#main .aside').innerText(), /^Sign in to Chrome with your Google Account and turn sync on: Google Password/, 'help for the browser and the system in use');
    await look(page, 'enrol-passkey');
    await device.verify(false);
    await press(page, 'Create the passkey');
    await page.getByText('the request was cancelled or took too long').waitFor();
    await heading(page, 'Protect your account');
    assert.equal(await page.locator('input[name=device]').inputValue(), 'Laptop', 'the name stays');
    await look(page, 'enrol-passkey-cancelled');
    assert.equal((await device.credentials()).length, 0);

    await device.verify(true);
    await press(page, 'Next');
    await heading(page, 'Create a passkey');
    await press(page, 'Back');
    await heading(page, 'Protect your account');
    assert.equal(await page.locator('input[name=device]').inputValue(), 'Laptop');
    await press(page, 'Next');
    await press(page, 'Create the passkey');
    await page.waitForURL('**/account/security/codes?**');
    await follow(page, 'Later');
    await page.waitForURL(home);
    const [made, ...others] = await device.credentials();
    assert.equal(others.length, 0);
    assert.equal(made.rpId, new URL(demo.address).hostname);
    assert.ok(made.isResidentCredential);
  });

  const cancelledThenDone = async (button, name) => {
    await look(page, name);
    await device.verify(false);
    await device.touch(true);
    await press(page, button);
    await page.getByText('the request was cancelled or took too long').waitFor();
    await look(page, `${name}-cancelled`);
    await device.verify(true);
    await press(page, button);
    await page.waitForURL(home);
  };

  test('it is the second step after the password; a cancelled dialogue is told', async () => {
    await device.touch(false); // or the browser's offer in the field signs in at once
    await signOut(page, lumen());
    await signIn(page, lumen(), 'kim@lumen.example');
    await heading(page, 'One more step');
    assert.match(await text(page), /Laptop/);
    await cancelledThenDone('Use a passkey', 'second-passkey');
  });

  test('alone, by the button, it signs in', async () => {
    await device.touch(false);
    await signOut(page, lumen());
    await page.goto(at('/sign-in'));
    await page.getByRole('button', { name: 'Sign in with a passkey' }).waitFor();
    await cancelledThenDone('Sign in with a passkey', 'sign-in-passkey');
  });

  test('alone, from the field of the address, it signs in', async () => {
    await device.touch(false);
    await signOut(page, lumen());
    await device.touch(true);
    await page.goto(at('/sign-in')); // the virtual authenticator chooses what it is offered
    await page.waitForURL(home);
    assert.match(await page.locator('h1').innerText(), /Kim/);
  });

  test('it opens My account, where it is renamed and another is added', async () => {
    await page.goto(at(security));
    await look(page, 'security');
    await follow(page, 'Change Laptop');
    await look(page, 'device');
    await page.locator('input[name=device]').fill('Kim’s <b>laptop</b>');
    await press(page, 'Save the name');
    await page.waitForURL('**/account/security?renamed');
    assert.match(await text(page), /The device has its new name[^]*Kim’s <b>laptop<\/b>/);

    await follow(page, 'Change Kim’s <b>laptop</b>');
    assert.match(await text(page), /This is your last second step/);
    assert.equal(await page.getByRole('button', { name: 'Remove this device' }).count(), 0);

    await page.goto(at(`${security}/add`));
    await look(page, 'security-add');
    await choose('Twice');
    await press(page, 'Create the passkey');
    await page.getByText('This passkey is registered already.').waitFor();
    await page.locator('input[name=device]').fill('Phone');
    await page.getByLabel('Authenticator app').check();
    await press(page, 'Next');
    await look(page, 'security-add-app');
    await page.locator('input[name=code]').fill(await codeOf(await page.locator('.spell').innerText(), -1));
    await press(page, 'Validate');
    await page.waitForURL('**/account/security/codes?**');
    await follow(page, 'Later');
    await page.waitForURL('**/account/security?added');
    assert.match(await text(page), /The device was added[^]*Phone/);
  });

  test('removed, it opens nothing, and the browser is told', async () => {
    const kept = await device.credentials();
    await follow(page, 'Change Kim’s <b>laptop</b>');
    await press(page, 'Remove this device');
    await page.waitForURL('**/account/security?removed**');
    assert.match(await text(page), /The device was removed/);
    await look(page, 'device-removed');
    const forgotten = () => until('the browser forgot it', async () => (await device.credentials()).length === 0);
    await forgotten();
    await signOut(page, lumen());
    await signIn(page, lumen(), 'kim@lumen.example');
    await page.locator('input[name=code]').waitFor();
    assert.equal(await page.getByRole('link', { name: 'Use a passkey' }).count(), 0);

    // A browser that was not told, such as another one, offers it still.
    await device.touch(false);
    await page.goto(at('/sign-in'));
    await device.remember(kept[0]);
    await device.touch(true);
    await press(page, 'Sign in with a passkey');
    await page.getByText('This passkey did not work here.').waitFor();
    await look(page, 'sign-in-passkey-removed');
    await forgotten();
  });

  test('a relying party that is not this place is refused by the browser, and told', async () => {
    await page.route('**/sign-in/passkey', async (route) => {
      const answer = await route.fetch();
      await route.fulfill({ response: answer, json: { ...await answer.json(), rpId: 'parvis.example' } });
    });
    await page.goto(at('/sign-in'));
    await press(page, 'Sign in with a passkey');
    await page.getByText('This browser cannot use a passkey here. Choose another way.').waitFor();
    await page.unroute('**/sign-in/passkey');
  });
});

describe('a security key that does not check who touches it', { concurrency: false }, () => {
  let browser;
  let page;
  let device;

  before(async () => {
    browser = await watched(complaints);
    page = await browser.newPage();
    device = await authenticator(page, key);
  });
  after(() => browser?.close());

  test('it is a second step, and signs nobody in alone', async () => {
    await accept(page, await linkFor(page, 'ola@lumen.example'), 'Ola');
    await page.locator('input[name=device]').fill('Key ring');
    await page.getByLabel('Passkey').check();
    await press(page, 'Next');
    await press(page, 'Create the passkey');
    await page.waitForURL('**/account/security/codes?**');
    assert.equal((await device.credentials()).length, 1);

    await signOut(page, lumen());
    await page.goto(at('/sign-in'));
    await press(page, 'Sign in with a passkey');
    await page.getByText('the request was cancelled or took too long').waitFor();
    assert.equal(new URL(page.url()).pathname, '/sign-in');

    await signIn(page, lumen(), 'ola@lumen.example');
    await press(page, 'Use a passkey');
    await page.waitForURL(home);
    await page.goto(at(security));
    assert.match(await text(page), /Key ring/);
    assert.doesNotMatch(await text(page), /without your password/, 'it is offered no life without a password');
  });
});

test('no page broke its own policy', () => {
  assert.deepEqual(complaints.filter((line) => !/Failed to load resource.*422/.test(line)), []);
});
