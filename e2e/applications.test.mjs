// Applications in a real browser: the three relying parties of the demo, each on an
// origin of its own. Opened from a tile and by their own links, asked for consent, told
// who left and who is meant now, with scripts and without.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { accept, authenticator, codeOf, confirm, enrolApp, follow, heading, look, password, platform, press, shot, startDemo, text, until, watched } from './lib.mjs';

let demo;
let browser;
let page;
let secret; // of the authenticator app that Lumen requires of Lin
const cleanUp = [];
const complaints = []; // what the pages wrote to the console, policy violations among it

before(async () => {
  demo = await startDemo();
  cleanUp.push(demo.stop);
  ({ browser, page } = await person());
  await accept(page, demo.links.meridian);
  await page.waitForURL(home('meridian'));
  await accept(page, demo.links.lumen);
  secret = await enrolApp(page);
  await page.waitForURL(home('lumen'));
  await press(page, 'Sign out'); // Lin; Ana stays
  await page.waitForURL('**/o/lumen?signed-out');
});
after(async () => { for (const stop of cleanUp.reverse()) await stop(); });

const at = (path) => `${demo.address}${path}`;
const home = (organization) => `**/o/${organization}/home`;
const attempt = '**/sign-in/att_*';
const { collaborate, architect, ledger } = Object.fromEntries(['collaborate', 'architect', 'ledger'].map((kind) =>
  [kind, (path = '/') => `${demo.applications[kind]}${path}`]));
const ana = 'ana@meridian.example';
const lin = 'lin@lumen.example';

// person is somebody at a browser of their own.
async function person(options) {
  const browser = await watched(complaints, options);
  cleanUp.push(() => browser.close());
  return { browser, page: await browser.newPage() };
}

// speak chooses the language of who then signs in.
async function speak(page, language) {
  await page.locator('select[name=language]').selectOption(language);
  await page.locator(`html[lang=${language}]`).waitFor();
}

// prove signs in on the page that is shown, with the code where one is asked for.
async function prove(page, email, step) {
  await page.locator('input[name=email]').fill(email);
  await page.locator('input[name=password]').fill(password);
  await page.locator('#main > .button').first().click();
  if (step === undefined) return;
  await page.locator('input[name=code]').fill(await codeOf(secret, step));
  await page.locator('#main > .button').first().click();
}

// openTile opens an application from a home page.
async function openTile(page, organization, name) {
  await page.goto(at(`/o/${organization}/home`));
  await page.locator('#tiles').getByRole('link', { name }).click();
}

// facts are what an application's page shows of who came in.
async function facts(page) {
  const [names, values] = await Promise.all(['dt', 'dd'].map((tag) => page.locator(`main > dl > ${tag}`).allInnerTexts()));
  return Object.fromEntries(names.map((name, i) => [name, values[i]]));
}

async function isAna(page) {
  const { Name, Organization } = await facts(page);
  assert.deepEqual({ Name, Organization }, { Name: 'Ana Duarte', Organization: 'Meridian Freight (meridian)' });
}

// holds tells whether an application has a session of this browser. Node does not know
// names below localhost, so the browser's cookies are carried there by hand.
async function holds(application, from = browser) {
  const { host, port, pathname } = new URL(application());
  const cookie = (await from.cookies(application())).map(({ name, value }) => `${name}=${value}`).join('; ');
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path: pathname, headers: { host, cookie }, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    }).on('error', reject).end();
  });
}

// letGo waits until applications have none: two seconds are promised.
async function letGo(applications, from) {
  for (const application of applications) await until(`${application()} lets go`, async () => !(await holds(application, from)), 2);
}

describe('one’s own applications', { concurrency: false }, () => {
  test('a tile opens its application, already signed in', async () => {
    await look(page, 'home-tiles');
    await openTile(page, 'meridian', /Architect/);
    await page.waitForURL(architect());
    await isAna(page);
    const { 'E-mail': email, 'Proven by': by, Level: level, 'Proven at': when } = await facts(page);
    assert.deepEqual([email, by, level], [ana, 'pwd', 'aal1']);
    assert.ok(Math.abs(Date.parse(when.replace(' UTC', 'Z').replace(' ', 'T')) - Date.now()) < 60_000, when);
    await look(page, 'application');
  });

  test('its own link opens it too, and asks nothing', async () => {
    const asked = [];
    const note = (frame) => asked.push(new URL(frame.url()).pathname);
    page.on('framenavigated', note);
    await page.goto(collaborate('/boards/plan'));
    page.off('framenavigated', note);
    assert.equal(page.url(), collaborate('/boards/plan'));
    assert.deepEqual(asked, ['/boards/plan'], 'no page in between');
    await isAna(page);
  });

  test('another site may begin it (third-party-initiated login)', async () => {
    const from = (target, iss = demo.address) => architect(`/login?${new URLSearchParams({ iss, organization: 'meridian', target_link_uri: target })}`);
    await page.goto(from(architect('/calendar')));
    assert.equal(page.url(), architect('/calendar'));
    await isAna(page);
  });

  test('it may ask silently, in no frame, while somebody is there', async () => {
    await page.goto(architect());
    await follow(page, 'Still signed in?');
    await page.getByText('you are still signed in there').waitFor();
    assert.equal(page.frames().length, 1);
    await isAna(page);
  });

  test('one of another company asks for consent; no is an answer', async () => {
    await openTile(page, 'meridian', /Ledger/);
    await heading(page, 'Let Ledger know who you are?');
    assert.match(await text(page), /Ana Duarte[^]*your e-mail address/);
    await look(page, 'consent');
    await press(page, 'Do not allow');
    await page.waitForURL(ledger('/callback?**'));
    assert.match(await text(page), /you changed your mind[^]*access_denied/);
    await shot(page, 'application-denied');
    assert.equal(await holds(ledger), false);
  });

  test('yes is remembered', async () => {
    await follow(page, 'Try again');
    await press(page, 'Allow');
    await page.waitForURL(ledger());
    await isAna(page);
    await page.goto(ledger('/login?' + new URLSearchParams({ iss: demo.address, target_link_uri: ledger('/documents/7') })));
    assert.equal(page.url(), ledger('/documents/7'), 'nothing is asked again');
  });

  test('My account lists it, and takes it back', async () => {
    await page.goto(at('/o/meridian/account'));
    await follow(page, 'Applications');
    assert.match(await text(page), /Ledger[^]*You allowed this on/);
    await look(page, 'account-applications');
    await press(page, 'Take back from Ledger');
    await page.waitForURL('**/account/applications?withdrawn');
    assert.match(await text(page), /Ledger\s+Last opened/, 'it may know nothing now');
    await letGo([ledger]); // no page was framed, so it was told by the back channel
    assert.ok(await holds(architect), 'another is not');
    await shot(page, 'account-applications-withdrawn');
    await page.goto(ledger());
    await heading(page, 'Let Ledger know who you are?');
    await press(page, 'Allow');
    await page.waitForURL(ledger());
  });

  test('signing out here reaches every application that is open', async () => {
    const told = [];
    const note = (answer) => new URL(answer.url()).pathname === '/frontchannel-logout' && told.push(`${answer.status()} ${new URL(answer.url()).origin}`);
    page.on('response', note);
    await page.goto(at('/o/meridian/home'));
    for (const application of [collaborate, architect, ledger]) assert.ok(await holds(application), application());
    await press(page, 'Sign out');
    await letGo([collaborate, architect, ledger]);
    await page.waitForURL('**/o/meridian?signed-out');
    page.off('response', note);
    assert.deepEqual(told.sort(), Object.values(demo.applications).map((origin) => `200 ${origin}`).sort());
  });

  test('and then a silent question gets a no', async () => {
    await page.goto(architect('/check'));
    assert.match(await text(page), /You are not signed in at the provider any more[^]*login_required/);
    await page.goto(architect()); // and somebody who comes by themselves signs in
    await page.waitForURL(attempt);
  });

  test('signing out in an application leaves here, and the others', async () => {
    await prove(page, ana);
    await page.waitForURL(architect());
    await page.goto(collaborate('/calendar'));
    await press(page, 'Sign out');
    await page.waitForURL(collaborate('/signed-out?**'));
    assert.match(await text(page), /Your session ended here and at the provider/);
    await letGo([architect]);
    await page.goto(at('/o/meridian/home'));
    await page.waitForURL(at('/o/meridian'));
  });
});

describe('a link into an application, by somebody signed out', { concurrency: false }, () => {
  test('leads through sign-in, which says where to, and back to the very page', async () => {
    await page.goto(collaborate('/documents/7'));
    await page.waitForURL(attempt);
    assert.match(await text(page), /Collaborate \/ Communicate/);
    await look(page, 'sign-in-toward');
    await prove(page, ana);
    await page.waitForURL(collaborate('/documents/7'));
    await isAna(page);
  });

  test('so it does for whoever comes as somebody else', async () => {
    await page.goto(architect('/login?' + new URLSearchParams({ iss: demo.address, as: 'another' })));
    await heading(page, 'Who opens Architect?');
    await look(page, 'choose');
    await press(page, 'Somebody else, or another organization');
    await page.waitForURL(attempt);
    await follow(page, 'More sign-in options');
    assert.match(await text(page), /Architect/);
    await page.locator('input[name=organization]').fill('lumen');
    await press(page, 'Continue');
    await prove(page, lin, 0);
    await page.waitForURL(architect());
    const { Organization, Level, 'Proven by': by } = await facts(page);
    assert.deepEqual([Organization, Level], ['Lumen Health (lumen)', 'aal2']);
    assert.match(by, /pwd.*otp.*mfa|mfa/);
  });
});

describe('two organizations in one browser, and three applications', { concurrency: false }, () => {
  const switchTo = async (organization, name) => {
    await page.locator('.switcher summary').click();
    await page.locator('.switcher').getByRole('button', { name }).click();
    await page.waitForURL(home(organization));
  };
  const isLin = async () => assert.equal((await facts(page)).Organization, 'Lumen Health (lumen)');

  test('applications get whoever was chosen last', async () => {
    await page.goto(at('/o/lumen/home'));
    await switchTo('meridian', /Meridian Freight/);
    await letGo([architect]);
    for (const application of [collaborate, architect, ledger]) { // Ledger was allowed above
      await page.goto(application());
      await isAna(page);
    }
  });

  test('who goes over to the other organization takes them along', async () => {
    await page.goto(at('/o/meridian/home'));
    await switchTo('lumen', /Lumen Health/);
    await letGo([collaborate, architect, ledger]);
    for (const application of [collaborate, architect]) {
      await page.goto(application());
      await isLin();
    }
    await page.goto(ledger()); // which Lumen does not have
    await isAna(page);
  });

  test('a tile in an old tab of the first asks before it closes what is open', async () => {
    await openTile(page, 'meridian', /Collaborate/);
    await heading(page, 'Open Collaborate / Communicate for Meridian Freight?');
    await look(page, 'switch');
    assert.ok(await holds(architect), 'nothing is closed yet');
    await press(page, 'Open Collaborate / Communicate');
    await page.waitForURL(collaborate());
    await isAna(page);
    await letGo([architect]);
    await page.goto(architect());
    await isAna(page);
  });

  test('one that is forbidden lets go, and says as whom it would open', async () => {
    const allow = async (standing) => {
      await page.goto(at('/o/meridian/admin/applications/architect'));
      await page.getByLabel(standing).check();
      await page.locator('#place').getByRole('button', { name: 'Save' }).click();
      if (standing === 'No, forbidden.') await confirm(page, 'Forbid it');
      await page.locator('h1.did').waitFor();
    };
    await allow('No, forbidden.');
    await letGo([architect]);
    const answer = await page.goto(architect('/login?' + new URLSearchParams({ iss: demo.address, organization: 'meridian' })));
    assert.equal(answer.status(), 403);
    await heading(page, 'Architect is not for you here');
    await look(page, 'denied');
    await page.getByRole('button', { name: /Lin Okafor/ }).click();
    await page.waitForURL(architect());
    await isLin();
    await allow('Yes. People are not asked first.');
  });

  test('an application that wants somebody else lets them choose', async () => {
    await page.goto(architect('/login?' + new URLSearchParams({ iss: demo.address, as: 'another', login_hint: ana })));
    await heading(page, 'Who opens Architect?');
    await look(page, 'choose');
    await page.getByRole('button', { name: /Lin Okafor/ }).click();
    await page.waitForURL(architect());
    await isLin();
  });

  test('by hand, signing out asks who leaves', async () => {
    await page.goto(at('/end-session'));
    await heading(page, 'Sign out?');
    await look(page, 'end-session');
    await page.getByRole('button', { name: /Lin Okafor/ }).click();
    await heading(page, 'You are signed out');
    await look(page, 'end-session-done');
    await letGo([architect]);
    await page.goto(at('/o/meridian/home'));
    await page.waitForURL(home('meridian')); // and Ana is still here
  });
});

// requestOf is what an application sends a browser with that is signed out there.
async function requestOf(page, application) {
  const sent = page.waitForRequest((r) => new URL(r.url()).pathname === '/authorize');
  await page.goto(application);
  return new URL((await sent).url());
}

test('a wrong address to come back to is explained, and never followed', async () => {
  const wrong = await requestOf(page, architect('/documents/7'));
  const address = wrong.searchParams.get('redirect_uri').replace('/callback', '/callbacK');
  wrong.searchParams.set('redirect_uri', address);
  const answer = await page.goto(wrong.href);
  assert.equal(answer.status(), 400);
  assert.equal(page.url(), wrong.href);
  assert.match(await text(page), new RegExp(`Architect sent you here[^]*capital and small letters, from character[^]*${address}`));
  assert.equal(await page.locator('meta[http-equiv=refresh]').count(), 0);
  await look(page, 'mismatch');
});

test('a request that waits no more says so', async () => {
  await page.goto(at('/authorize/consent?request=ask_none'));
  await heading(page, 'This has ended');
  await look(page, 'gone');
});

// post is what a device sends, which has no browser.
const post = async (path, form) => (await fetch(at(path), { method: 'POST', body: new URLSearchParams(form) })).json();
let scanner; // the client id of a device

test('a device is signed in by the code that it shows', async () => {
  await page.goto(at('/o/meridian/admin/applications/add?kind=native'));
  await page.locator('input[name=name]').fill('Scanner');
  await page.locator('textarea[name=redirect_uris]').fill('http://127.0.0.1/');
  await press(page, 'Add');
  scanner = await page.locator('#client-id').innerText();
  await follow(page, 'Go on to the application');
  await page.locator('#tokens summary').click();
  await page.getByRole('checkbox', { name: 'Sign-in of devices' }).check();
  await page.locator('#tokens').getByRole('button', { name: 'Save' }).click();
  await page.locator('h1.did').waitFor();

  const shown = await post('/device_authorization', { client_id: scanner, scope: 'openid profile email' });
  await page.goto(at('/device'));
  await look(page, 'device');
  await page.locator('input[name=user_code]').fill('BCDF-GHJK');
  await press(page, 'Next');
  await page.locator('#user_code-error').waitFor();
  await shot(page, 'device-unknown');
  await page.locator('input[name=user_code]').fill(shown.user_code.toLowerCase());
  await press(page, 'Next');
  await heading(page, 'Let Scanner on a device sign in as you?');
  assert.match(await text(page), new RegExp(shown.user_code));
  await look(page, 'device-ask');
  await press(page, 'Yes, sign it in');
  await heading(page, 'The device is signed in');
  await look(page, 'device-done');
  const got = await post('/token', { client_id: scanner, grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code: shown.device_code });
  assert.ok(got.id_token, JSON.stringify(got));
});

test('in French', async () => {
  const { page } = await person({ locale: 'fr-FR' });
  const again = await requestOf(page, ledger('/documents/7'));
  await page.waitForURL(attempt);
  await speak(page, 'fr');
  await prove(page, ana);
  await page.waitForURL(ledger('/documents/7'));
  again.searchParams.set('prompt', 'consent');
  await page.goto(again.href);
  await heading(page, 'Dire à Ledger qui vous êtes ?');
  await look(page, 'fr-consent');
  await page.goto((await post('/device_authorization', { client_id: scanner, scope: 'openid' })).verification_uri_complete);
  await heading(page, 'Laisser Scanner se connecter en votre nom sur un appareil ?');
  await look(page, 'fr-device-ask');
  await press(page, 'Non');
  await heading(page, 'L’appareil n’a pas été connecté');
  await page.goto(at('/end-session'));
  await look(page, 'fr-end-session');
  await page.locator('#main > ul .button').click();
  await page.waitForURL(at('/end-session/confirm?'));
  await shot(page, 'fr-end-session-done');
  await page.goto(at('/o/meridian'));
  await speak(page, 'en'); // hers for the tests that follow
  await prove(page, ana);
  await page.waitForURL('**/o/meridian/home');
});

test('without JavaScript', async () => {
  const { browser, page } = await person({ javaScriptEnabled: false });
  const again = await requestOf(page, ledger('/documents/7'));
  await page.waitForURL(attempt);
  await prove(page, ana);
  await page.waitForURL(ledger('/documents/7')); // which she allowed above
  again.searchParams.set('prompt', 'consent');
  await page.goto(again.href);
  await press(page, 'Do not allow');
  await page.waitForURL(ledger('/callback?**'));
  await openTile(page, 'meridian', /Architect/);
  await page.waitForURL(architect());
  await page.goto(at('/o/meridian/home'));
  await press(page, 'Sign out');
  await page.waitForURL('**/o/meridian?signed-out');
  await letGo([architect, ledger], browser);
});

test('a passkey signs in on the way to an application', async () => {
  const device = await authenticator(page, platform);
  await page.goto(at('/o/meridian/account/security/add'));
  await page.locator('input[name=device]').fill('Laptop');
  await page.getByLabel('Passkey').check();
  await press(page, 'Next');
  await press(page, 'Create the passkey');
  await page.waitForURL('**/account/security/codes?**');
  await follow(page, 'Later');
  await device.touch(false); // or the browser's own offer is taken, and the button is gone
  await page.goto(architect());
  await press(page, 'Sign out');
  await page.waitForURL(architect('/signed-out?**'));
  await page.goto(architect('/documents/7'));
  await page.waitForURL(attempt);
  await page.getByRole('button', { name: 'Sign in with a passkey' }).waitFor();
  await device.touch(true);
  await press(page, 'Sign in with a passkey');
  await page.waitForURL(architect('/documents/7'));
  const { Level, 'Proven by': by } = await facts(page);
  assert.equal(Level, 'aal2');
  assert.match(by, /hwk/);
});

test('no page broke its own policy', () => {
  assert.deepEqual(complaints.filter((line) => !/Failed to load resource.*(400|403|410|422)/.test(line)), []);
});
