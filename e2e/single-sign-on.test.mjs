// Single sign-on in a real browser, with providers that we did not write: npm's
// oidc-provider and Debian's SimpleSAMLphp. Set up in the console, tested, turned on,
// used, left on both sides, and made the only way in. The providers are at 127.0.0.1 and
// Parvis at localhost, so what they post comes from another site, without its cookies.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { authenticator, confirm, follow, freePort, heading, look, password, platform, press, setUp, signOut, startServer, text, watched } from './lib.mjs';
import { startProvider } from './provider.mjs';
import { startSAMLProvider } from './simplesamlphp.mjs';

const complaints = []; // what the pages wrote to the console, policy violations among it
const cleanUp = [];
let server;
let names; // of the DNS
let saml;
let oidcPort;
let browser; // of Ada, who owns Meridian
let page;
let device;

before(async () => {
  names = await startDNS();
  oidcPort = await freePort();
  [server, saml] = await Promise.all([
    startServer({ PARVIS_DNS_RESOLVER: names.address, PARVIS_OUTBOUND_ALLOW: `127.0.0.1:${oidcPort}` }),
    startSAMLProvider({
      ada: { email: ['ada@meridian.example'], name: ['Ada Lovelace'] },
      leo: { email: ['leo@meridian.example'], name: ['Leo Adeyemi'], groups: ['Dispatch', 'Everybody'] },
    }),
  ]);
  cleanUp.push(server.stop, saml.stop, names.stop);

  browser = await watched(complaints);
  cleanUp.push(() => browser.close());
  page = await browser.newPage();
  device = await authenticator(page, platform);
  await setUp(page, server.setup);
});
after(async () => { for (const stop of cleanUp.reverse()) await stop(); });

const at = (path) => `${server.address}${path}`;
const meridian = () => at('/o/meridian');
const home = '**/o/meridian/home';
const admin = (path) => at(`/o/meridian/admin/${path}`);
const connection = '**/admin/connections/*';

// startDNS answers with the TXT records of a map.
async function startDNS() {
  const records = new Map();
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    const labels = [];
    let i = 12;
    for (; query[i]; i += query[i] + 1) labels.push(query.toString('latin1', i + 1, i + 1 + query[i]));
    const question = query.subarray(12, i + 5);
    const value = records.get(labels.join('.').toLowerCase());
    const head = [query[0], query[1], 0x81, value ? 0x80 : 0x83, 0, 1, 0, value ? 1 : 0, 0, 0, 0, 0];
    const answer = value ? [0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 1, 0, value.length + 1, value.length, ...Buffer.from(value)] : [];
    socket.send(Buffer.concat([Buffer.from(head), question, Buffer.from(answer)]), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { address: `127.0.0.1:${socket.address().port}`, records, stop: () => socket.close() };
}

// add begins a connection and is then on its page.
async function add(page, protocol, name) {
  await page.goto(admin('single-sign-on'));
  await follow(page, 'Add a provider');
  await look(page, 'sso-add');
  await page.locator('a[href$="?provider=generic"]').click();
  await page.getByLabel(protocol).check();
  await page.locator('input[name=name]').fill(name);
  await press(page, 'Continue');
  await page.waitForURL(connection);
}

// known is what the page says to type at the provider.
const known = (page, name) => page.locator(`#value-${name}`).innerText();

// welcome lets in people whom nobody invited.
async function welcome(page) {
  await page.getByLabel('Let in people whom nobody invited').check();
  await page.locator('#people').getByRole('button', { name: 'Save' }).click();
  await page.getByText('The provider was saved').waitFor();
}

// fresh is the browser of somebody who was never here.
async function fresh(options) {
  const context = await watched(complaints, options);
  const page = await context.newPage();
  return { context, page, close: () => context.close() };
}

describe('OpenID Connect', { concurrency: false }, () => {
  let provider;
  let eve;

  after(async () => { await eve?.close(); await provider?.stop(); });

  // atProvider is whom the provider takes the browser for.
  const atProvider = async (page, account) => {
    await page.waitForURL(`${provider.issuer}/interaction/**`);
    await page.locator('input[name=account]').fill(account);
    await press(page, 'Sign in');
  };

  test('a domain is proven by its record', async () => {
    await page.goto(admin('domains'));
    await page.locator('input[name=domain]').fill('meridian.example');
    await press(page, 'Add a domain');
    await page.waitForURL('**/admin/domains/*');
    await press(page, 'Check now');
    await page.locator('.error, [role=alert]').first().waitFor();
    await look(page, 'sso-domain-not-found');
    names.records.set(await page.locator('#record-name').innerText(), await page.locator('#record-value').innerText());
    await press(page, 'Check now');
    await page.getByText('The record is there').waitFor();
    await look(page, 'sso-domain');
  });

  test('it is set up from the issuer, and nothing is offered before its test', async () => {
    await page.goto(admin('single-sign-on'));
    await look(page, 'sso-none');
    await add(page, 'OpenID Connect', 'Meridian ID');
    await look(page, 'sso-oidc-draft');
    provider = await startProvider({
      port: oidcPort,
      clients: [{
        client_id: 'parvis', client_secret: 'a secret of the client, long enough', redirect_uris: [await known(page, 'callback')],
        post_logout_redirect_uris: [await known(page, 'signed_out')], backchannel_logout_uri: await known(page, 'logout'), backchannel_logout_session_required: true,
      }],
      accounts: {
        ada: { email: 'ada@meridian.example', email_verified: true, name: 'Ada Lovelace' },
        eve: { email: 'eve@meridian.example', email_verified: true, name: 'Eve Adeyemi' },
        mallory: { email: 'mallory@elsewhere.example', email_verified: true, name: 'Mallory' },
      },
    });
    await page.locator('input[name=issuer]').fill(`${provider.issuer}/wrong`);
    await page.locator('input[name=client_id]').fill('parvis');
    await page.locator('input[name=client_secret]').fill('a secret of the client, long enough');
    await press(page, 'Ask the provider and save');
    await page.locator('[role=alert], .error').first().waitFor();
    await look(page, 'sso-oidc-wrong-issuer');
    await page.locator('input[name=issuer]').fill(provider.issuer);
    await page.locator('input[name=client_secret]').fill('a secret of the client, long enough');
    await press(page, 'Ask the provider and save');
    await page.getByText('The provider was saved').waitFor();
    await welcome(page);
    await look(page, 'sso-oidc-complete');
    assert.equal(await page.getByRole('button', { name: 'Turn on' }).count(), 0);

    const visitor = await fresh();
    await visitor.page.goto(meridian());
    assert.equal(await visitor.page.getByRole('button', { name: 'Continue with Meridian ID' }).count(), 0);
    await visitor.close();
  });

  test('the test shows what came, claim by claim; then it is turned on', async () => {
    await press(page, 'Test');
    await atProvider(page, 'ada');
    await page.waitForURL('**/single-sign-on/attempts/*');
    await look(page, 'sso-oidc-tested');
    assert.match(await text(page), /Test passed[^]*ada@meridian\.example[^]*the e-mail address/);
    assert.match(page.url(), /^http:\/\/localhost/, 'nobody is somebody else after a test');
    await follow(page, 'Meridian ID');
    await press(page, 'Turn on');
    await page.getByText('People sign in with this provider.').waitFor();
    await look(page, 'sso-oidc-on');
  });

  test('by keyboard alone, from the organization’s page, in French', async () => {
    const visitor = await fresh({ locale: 'fr-FR' });
    const { page } = visitor;
    await page.goto(meridian());
    await look(page, 'sso-sign-in-fr');
    const button = page.getByRole('button', { name: 'Continuer avec Meridian ID' });
    for (let i = 0; i < 10 && !(await button.evaluate((b) => b === document.activeElement)); i++) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.waitForURL(`${provider.issuer}/interaction/**`);
    await page.keyboard.press('Tab');
    await page.keyboard.type('eve');
    await page.keyboard.press('Enter');
    await page.waitForURL(home);
    assert.match(await page.locator('h1').innerText(), /Eve Adeyemi/);
    await visitor.close();
  });

  test('an address of a proven domain leads there', async () => {
    eve = await fresh();
    const { page } = eve;
    await page.goto(at('/organization'));
    await look(page, 'sso-sign-in-more');
    await page.locator('input[name=organization]').fill('Meridian Freight');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Continue with Meridian ID' }).waitFor();
    await page.goto(at('/sign-in'));
    await page.locator('input[name=email]').fill('eve@meridian.example');
    await press(page, 'Sign in');
    await atProvider(page, 'eve');
    await page.waitForURL(home);
  });

  test('whom the provider does not speak for is told one sentence, and administrators the rest', async () => {
    const visitor = await fresh();
    await visitor.page.goto(meridian());
    await press(visitor.page, 'Continue with Meridian ID');
    await atProvider(visitor.page, 'mallory');
    await heading(visitor.page, 'Single sign-on did not work');
    await look(visitor.page, 'sso-refused');
    const [reference] = (await text(visitor.page)).match(/req_\w+/);
    await visitor.close();
    await page.goto(admin('single-sign-on/attempts'));
    await look(page, 'sso-attempts');
    await page.locator('input[name=q]').fill(reference);
    await page.keyboard.press('Enter');
    await page.locator(`a[href*="${reference}"]`).click();
    assert.match(await text(page), /mallory@elsewhere\.example[^]*What to change/);
    await look(page, 'sso-attempt-refused');
  });

  test('signing out here signs out there', async () => {
    const { page } = eve;
    await page.goto(`${meridian()}/sign-out`);
    await page.locator('#main button:not([type=button])').first().click();
    await page.waitForURL(`${provider.issuer}/session/end?**`);
    await press(page, 'Yes, sign me out');
    await page.waitForURL(`${meridian()}?signed-out`);
    await look(page, 'sso-signed-out');
    await press(page, 'Continue with Meridian ID');
    await atProvider(page, 'eve'); // who is asked again
    await page.waitForURL(home);
  });

  test('signing out there signs out here', async () => {
    const { page } = eve;
    await page.goto(`${provider.issuer}/session/end`);
    await press(page, 'Yes, sign me out');
    await page.waitForURL(`${provider.issuer}/session/end/success**`);
    await page.goto(`${meridian()}/home`);
    await page.waitForURL(meridian()); // whoever is signed in nowhere begins there
  });

  test('turned off, it is no way in', async () => {
    await page.goto(admin('single-sign-on'));
    await follow(page, 'Meridian ID');
    await press(page, 'Turn off');
    await look(page, 'sso-off-confirm');
    await confirm(page, 'Turn off');
    await page.getByRole('button', { name: 'Turn on' }).waitFor();
    await eve.page.goto(meridian());
    assert.equal(await eve.page.getByRole('button', { name: 'Continue with Meridian ID' }).count(), 0);
  });
});

describe('SAML', { concurrency: false }, () => {
  let leo;

  after(() => leo?.close());

  // atProvider signs in at SimpleSAMLphp.
  const atProvider = async (page, account) => {
    await page.waitForURL(`${saml.address}/module.php/core/loginuserpass.php**`);
    await page.locator('input[name=username]').fill(account);
    await page.locator('input[name=password]').fill(account);
    await page.keyboard.press('Enter');
  };
  const enter = (page) => press(page, 'Continue with Meridian SAML');
  const open = async () => {
    await page.goto(admin('single-sign-on'));
    await follow(page, 'Meridian SAML');
  };
  const pasteMetadata = async () => {
    await page.locator('textarea[name=metadata]').fill(await saml.published());
    await press(page, 'Read the description');
    await page.getByText('The provider was saved').waitFor();
  };

  test('it is set up from metadata, on both sides', async () => {
    await add(page, 'SAML 2.0', 'Meridian SAML');
    await look(page, 'sso-saml-draft');
    await page.locator('textarea[name=metadata]').fill((await saml.published()).replaceAll('IDPSSODescriptor', 'SPSSODescriptor'));
    await press(page, 'Read the description');
    await page.locator('#metadata-error').waitFor();
    await look(page, 'sso-saml-wrong-metadata');
    await pasteMetadata();
    assert.match(await page.locator('#here').innerText(), new RegExp(saml.entityID));
    await page.getByLabel('The provider vouches for the addresses that it sends').check();
    await page.locator('input[name="group[]"]').first().fill('Dispatch');
    await page.locator('select[name="role[]"]').first().selectOption({ label: 'Helpdesk' });
    await welcome(page);
    await look(page, 'sso-saml-complete');
    await saml.trust(await (await fetch(await known(page, 'metadata'))).text());
  });

  test('its test is explained until it passes', async () => {
    await saml.set({ 'assertion.encryption': true }); // which is CBC there
    await press(page, 'Test');
    await atProvider(page, 'ada');
    await page.waitForURL('**/single-sign-on/attempts/*');
    await look(page, 'sso-saml-test-refused');
    assert.match(await text(page), /Test refused[^]*Is it encrypted in a way that is safe\?[^]*What to change[^]*CBC: allow it here/);
    await follow(page, 'Meridian SAML');
    await page.getByLabel('Accept encryption that does not detect changes (CBC)').check();
    await page.locator('#details').getByRole('button', { name: 'Save' }).click();
    await page.getByText('The provider was saved').waitFor();
    await press(page, 'Test');
    await page.waitForURL('**/single-sign-on/attempts/*'); // the provider knows her by now
    await look(page, 'sso-saml-tested');
    assert.match(await text(page), /Test passed[^]*ada@meridian\.example/);
    await follow(page, 'Meridian SAML');
    await press(page, 'Turn on');
    await page.getByText('People sign in with this provider.').waitFor();
    await look(page, 'sso-saml-on');
    await page.goto(admin('single-sign-on'));
    await look(page, 'sso-connections');
  });

  test('who signs in comes back by a POST that has no cookie of ours', async () => {
    leo = await fresh();
    const { page } = leo;
    await page.goto(meridian());
    const posted = page.waitForRequest('**/acs');
    await enter(page);
    await atProvider(page, 'leo');
    const headers = await (await posted).allHeaders();
    assert.equal(headers.cookie, undefined);
    assert.equal(headers['sec-fetch-site'], 'cross-site');
    await page.waitForURL(home);
    assert.match(await page.locator('h1').innerText(), /Leo/);
    await page.goto(admin('people')); // which helpdesk may
    assert.match(await text(page), /Ada Lovelace/);
  });

  test('signing out here signs out there', async () => {
    const { page } = leo;
    await signOut(page, meridian());
    await enter(page);
    await atProvider(page, 'leo'); // who is asked again
    await page.waitForURL(home);
  });

  test('signing out there signs out here', async () => {
    const { page } = leo;
    const back = `${saml.address}/resources/default.css`;
    await page.goto(`${saml.address}/saml2/idp/SingleLogoutService.php?ReturnTo=${encodeURIComponent(back)}`);
    await page.waitForURL(back);
    await page.goto(`${meridian()}/home`);
    await page.waitForURL(meridian()); // whoever is signed in nowhere begins there
  });

  test('a provider changes its certificate, and nobody is left outside', async () => {
    const second = await saml.key('second');
    await saml.set({ new_privatekey: second.privatekey, new_certificate: second.certificate });
    await open();
    await pasteMetadata();
    // What a live connection trusts waits beside it until it was tested and an owner takes it.
    await look(page, 'sso-saml-waiting');
    await page.locator('button[value=test-change]').click();
    await page.waitForURL('**/single-sign-on/attempts/*');
    await open();
    await page.locator('button[value=take]').click();
    await confirm(page, 'Accept the change');
    await page.locator('#waiting').waitFor({ state: 'detached' });
    assert.match(await page.locator('#certificates').innerText(), /first[^]*second|second[^]*first/);
    await look(page, 'sso-saml-certificates');
    const visit = async (key, arrives) => {
      await saml.set({ ...key, new_privatekey: undefined, new_certificate: undefined });
      const visitor = await fresh();
      await visitor.page.goto(meridian());
      await enter(visitor.page);
      await atProvider(visitor.page, 'leo');
      await arrives(visitor.page);
      await visitor.close();
    };
    const first = { privatekey: 'first.key', certificate: 'first.crt' };
    const comesIn = (page) => page.waitForURL(home);
    await visit(first, comesIn);
    await visit(second, comesIn);
    await page.locator('#certificates li').filter({ hasText: 'first' }).getByRole('button', { name: 'Remove' }).click();
    await page.getByText('The provider was saved').waitFor();
    await visit(first, (page) => heading(page, 'Single sign-on did not work'));
    await visit(second, comesIn);
  });

  test('it becomes the only way in', async () => {
    await page.goto(admin('single-sign-on/only'));
    await look(page, 'sso-only-before');
    await press(page, 'Make it the only way in');
    await page.locator('.notice.bad').waitFor();
    await page.getByLabel('Ada Lovelace').check();
    await press(page, 'Make it the only way in');
    await page.locator('.confirm').waitFor();
    await look(page, 'sso-only-confirm');
    await confirm(page, 'Make it the only way in');
    await page.getByText('Single sign-on is the only way in now').waitFor();
    await look(page, 'sso-only');
  });

  test('no native door is open', async () => {
    const visitor = await fresh();
    const { page } = visitor;
    await page.goto(meridian());
    await page.getByRole('button', { name: 'Continue with Meridian SAML' }).waitFor();
    assert.equal(await page.locator('input[name=password]').count(), 0);
    await look(page, 'sso-only-sign-in');
    await page.goto(at('/sign-in'));
    await page.locator('input[name=email]').fill('ada@meridian.example');
    await page.locator('input[name=password]').fill(password);
    await press(page, 'Sign in');
    await atProvider(page, 'leo'); // the right password leads there too, and who comes in is whom the provider says
    await page.waitForURL(home);
    assert.match(await page.locator('h1').innerText(), /Leo/);
    await visitor.close();
  });

  test('the owner who breaks the glass comes in by her passkey', async () => {
    await device.touch(false); // or the browser's own offer is taken, and the button is gone
    await signOut(page, meridian());
    await page.getByRole('button', { name: 'Sign in with a passkey' }).waitFor();
    await device.touch(true);
    await press(page, 'Sign in with a passkey');
    await page.waitForURL(home);
    await page.goto(admin('single-sign-on/only'));
    await press(page, 'Open the other ways in again');
    await confirm(page, 'Open the other ways in again');
    await page.getByText('The other ways in are open again').waitFor();
    await device.touch(false);
    await signOut(page, meridian());
    await page.locator('input[name=password]').waitFor();
  });
});

test('no page broke its own policy', () => {
  assert.deepEqual(complaints.filter((line) => !/Failed to load resource/.test(line)), []);
});
