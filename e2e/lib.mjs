// What the browser journeys have in common: the built program, Debian's Chromium,
// pictures of the pages and a check of their accessibility.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

// --- The program --------------------------------------------------------------

// demoArguments is the one place that knows the flags of 'parvis demo'.
function demoArguments() {
  return ['demo', '--port', '0', '--other-port', '0', '--mailbox-port', '0', '--application-port', '0', '--company-port', '0', '--directory-port', '0', '--json'];
}

// addressesIn reads the line of JSON that the demo prints: address, that of the other
// region, mailbox and the owners' links; nothing while the line is not whole.
function addressesIn(output) {
  return output.includes('\n') ? JSON.parse(output.slice(0, output.indexOf('\n'))) : undefined;
}

// startDemo starts the demo of the binary named by PARVIS_BINARY in an empty folder.
// It returns its addresses, its folder, everything it has printed so far, and stop.
export function startDemo({ args = demoArguments(), env = {} } = {}) {
  return start(args, env, addressesIn);
}

// startServer starts an installation that has nothing yet, with what the environment
// configures: its address, and the link that makes its first organization.
export async function startServer(env = {}) {
  const port = await freePort();
  const address = `http://localhost:${port}`;
  const args = ['serve', '--data', 'data', '--public-address', address, '--listen', `127.0.0.1:${port}`];
  return start(args, env, (output, log) => {
    const setup = output.match(/http:\S+\/setup\/\S+/)?.[0];
    return setup && log.includes('"serving"') ? { address, setup } : undefined;
  });
}

// freePort returns a port on which nobody listens, another one at each call, for programs that
// cannot choose themselves. It is below those that the system gives to connections and to listeners
// on port 0 (from 32768 on), so nobody gets it before the program does. Test files, each in a
// process of its own, begin far from each other.
let nextPort = (process.pid * 131) % 21000;
export async function freePort() {
  for (;;) {
    const port = 11000 + nextPort;
    nextPort = (nextPort + 1) % 21000;
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch {
      continue;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}

// start starts the program and waits until found sees its addresses in what it prints.
async function start(args, env, found) {
  const binary = process.env.PARVIS_BINARY;
  if (!binary) throw new Error('PARVIS_BINARY does not name the built program; ./check all sets it');
  const folder = await mkdtemp(join(tmpdir(), 'parvis-e2e-'));
  const child = spawn(binary, args, { cwd: folder, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  // A test run that is cut short must not leave a server behind.
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  let output = '';
  let complaints = '';
  const ended = new Promise((resolve) => child.once('close', resolve).once('error', resolve));

  const stop = async () => {
    // A server that does not end by itself is a fault, but not one to wait for.
    const late = setTimeout(kill, 10_000);
    child.kill('SIGTERM');
    await ended;
    clearTimeout(late);
    process.removeListener('exit', kill);
    await rm(folder, { recursive: true, force: true });
  };

  const listening = new Promise((resolve) => {
    const look = () => {
      const addresses = found(output, complaints);
      if (addresses) resolve(addresses);
    };
    child.stderr.setEncoding('utf8').on('data', (text) => { complaints += text; look(); });
    child.stdout.setEncoding('utf8').on('data', (text) => { output += text; look(); });
  });
  const addresses = await Promise.race([listening, ended.then(() => undefined), after(30_000)]);
  if (!addresses) {
    await stop();
    throw new Error(`parvis ${args.join(' ')} named no address:\n${output}${complaints}`);
  }
  for (const address of [addresses.address, addresses.other]) if (address) ours.add(new URL(address).origin);
  return { ...addresses, folder, output: () => output + complaints, stop };
}

function after(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds).unref());
}

// --- The browser --------------------------------------------------------------

// Everything Chromium does for itself is off: on a closed network each look-up of
// its maker's hosts is an error, and none of it is ours to test.
export const flags = [
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-gpu',
  '--disable-quic',
  '--disable-sync',
  '--no-first-run',
  // Chromium's sandbox refuses to run as root, which CI is.
  ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
];

// Chromium's own engine without what makes its windows, which would take as much time again.
export const executablePath = '/usr/bin/chromium-headless-shell';

// launch starts Chromium and returns a browser context. A profile folder keeps
// cookies for a second launch; without one the profile ends with the context.
export async function launch({ profile, ...options } = {}) {
  const folder = profile ?? (await mkdtemp(join(tmpdir(), 'parvis-profile-')));
  const context = await chromium.launchPersistentContext(folder, {
    executablePath,
    headless: true,
    args: flags,
    viewport: desk,
    locale: 'en-GB',
    ...options,
  });
  context.on('request', (request) => {
    const from = fetchedElsewhere(request);
    if (from) foreign.push(`${from} fetched ${request.url()}`);
  });
  if (!profile) context.once('close', () => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return context;
}

// fetchedElsewhere returns the page that fetched something of another origin, whose operator would
// learn who is there: a picture, a style, a script, a call. Where a page leads is another matter.
function fetchedElsewhere(request) {
  if (request.isNavigationRequest() || request.serviceWorker()) return undefined;
  const to = new URL(request.url());
  if (['data:', 'blob:'].includes(to.protocol)) return undefined;
  const from = new URL(request.frame().url());
  return from.origin === to.origin || !ours.has(from.origin) ? undefined : `${from.origin}${from.pathname}`;
}

// ours are the origins of the servers of this run; pages of applications may call whom they like.
export const ours = new Set();

// foreign is what any page of ours in this run fetched of another origin (R-WEB-07). It makes the run fail
// when it ends, so that no journey has to ask.
export const foreign = [];
process.once('exit', () => {
  if (foreign.length === 0) return;
  console.error(`pages fetched from another origin:\n${foreign.join('\n')}`);
  process.exitCode = 1;
});

// watched is a browser whose pages write to complaints what they say on the console,
// violations of their policy among it.
export async function watched(complaints, options) {
  const browser = await launch(options);
  browser.setDefaultTimeout(10_000);
  browser.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(`${message.text()} ${message.location().url}`));
  browser.on('weberror', (error) => complaints.push(String(error.error())));
  return browser;
}

// --- What a person does and sees ----------------------------------------------

export const password = 'Seven zebras ride 9 trams!';

export const press = (page, name) => page.getByRole('button', { name, exact: true }).click();
// confirm presses the button of the page that asks first.
export const confirm = (page, name) => page.locator('.confirm').getByRole('button', { name, exact: true }).click();
export const follow = (page, name) => page.getByRole('link', { name, exact: true }).click();
export const text = (page) => page.locator('main').innerText();
export const heading = (page, name) => page.getByRole('heading', { level: 1, name, exact: true }).waitFor();

// greeted waits for the home page of a person, who is greeted by the time of day.
export const greeted = (page, name) => page.getByRole('heading', { level: 1, name: new RegExp(`, ${name}$`) }).waitFor();

// until asks again until what it asks is so.
export async function until(what, asked, seconds = 15) {
  for (const end = Date.now() + 1000 * seconds; !(await asked());) {
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// accept follows an invitation's or a set-up link; the name is filled in where none is given.
export async function accept(page, link, name) {
  await page.goto(link);
  if (name) await page.locator('input[name=name]').fill(name);
  await page.locator('input[name=password]').fill(password);
  await page.locator('input[name=repetition]').fill(password);
  await page.locator('#main button:not([type=button])').last().click();
}

// setUp makes the first organization by its link: Meridian, whose owner Ada keeps the
// passkey of the authenticator that is plugged in.
export async function setUp(page, link) {
  await page.goto(link);
  for (const [name, value] of Object.entries({
    organization: 'Meridian Freight', short_name: 'meridian', name: 'Ada Lovelace', email: 'ada@meridian.example', password, repetition: password,
  })) await page.locator(`input[name=${name}]`).fill(value);
  await page.locator('#main button:not([type=button])').last().click();
  await heading(page, 'Protect your account');
  await page.locator('input[name=device]').fill('Laptop');
  await page.getByLabel('Passkey').check();
  await press(page, 'Next');
  await press(page, 'Create the passkey');
  await page.waitForURL('**/account/security/codes?**');
  await follow(page, 'Later');
  await page.waitForURL('**/o/meridian/home');
}

// signIn proves the first factor on the page of an organization.
export async function signIn(page, organization, email) {
  await page.goto(organization);
  await page.locator('input[name=email]').fill(email);
  await page.locator('input[name=password]').fill(password);
  await press(page, 'Sign in');
}

export async function signOut(page, organization) {
  await page.goto(`${organization}/sign-out`);
  await page.locator('#main button:not([type=button])').first().click();
  await page.waitForURL(`${organization}?signed-out`);
}

// --- Pictures -----------------------------------------------------------------

const desk = { width: 1280, height: 800 };
const phone = { width: 390, height: 844 };
const schemes = ['light', 'dark'];

// shot stores the page on a desk and on a phone, light and dark, as
// NAME-desk-light.png and so on in the folder of PARVIS_SHOTS. Without that
// variable it does nothing, so journeys may call it wherever a page is worth seeing.
export async function shot(page, name) {
  const folder = process.env.PARVIS_SHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  const before = page.viewportSize();
  for (const [device, size] of Object.entries({ desk, phone })) {
    await page.setViewportSize(size);
    await inEachScheme(page, (scheme) =>
      page.screenshot({ path: join(folder, `${name}-${device}-${scheme}.png`), fullPage: true, animations: 'disabled' }));
  }
  await page.setViewportSize(before);
}

async function inEachScheme(page, work) {
  try {
    for (const scheme of schemes) {
      await page.emulateMedia({ colorScheme: scheme });
      await work(scheme);
    }
  } finally {
    await page.emulateMedia({ colorScheme: null });
  }
}

// --- Accessibility ------------------------------------------------------------

const axeSource = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// axe fails on whatever breaks WCAG A or AA on the page as it stands, light and
// dark, because contrast differs. The debugger hands axe over, so the page's
// Content-Security-Policy stays in force.
export async function axe(page, { tags = ['wcag2a', 'wcag2aa'] } = {}) {
  const broken = [];
  await inEachScheme(page, async (scheme) => {
    await page.evaluate(axeSource);
    const { violations } = await page.evaluate(
      (values) => globalThis.axe.run(document, { runOnly: { type: 'tag', values }, resultTypes: ['violations'] }), tags);
    for (const { id, help, nodes } of violations) {
      broken.push(`${id} (${scheme}): ${help}\n${nodes.map((node) => `  ${node.target.join(' ')}: ${node.html}`).join('\n')}`);
    }
  });
  if (broken.length > 0) throw new Error(`${page.url()} breaks WCAG:\n${broken.join('\n')}`);
}

// --- Both ---------------------------------------------------------------------

// look takes the picture of a page and checks what every page owes.
export async function look(page, name) {
  await shot(page, name);
  await axe(page);
  const before = page.viewportSize();
  for (const width of [390, before.width]) {
    await page.setViewportSize({ ...before, width });
    // A panel that is too wide scrolls by itself, and nobody sees that it does.
    const hidden = await page.locator('.panel :is(a, button, input)').evaluateAll((all) => all
      .filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > document.documentElement.clientWidth).map((e) => e.outerHTML));
    assert.deepEqual(hidden, [], `${name} at ${width}`);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0, `${name} at ${width} does not scroll sideways`);
  }
}

// --- The second step ----------------------------------------------------------

// codeOf is the code that an app shows for a secret, by Debian's oathtool: of the
// step of 30 seconds before (-1), now or after. The server takes those three, each
// once, so a test that signs in twice waits for nothing. Near the end of a step it
// waits for the next, lest the code be a step older when it arrives.
export async function codeOf(secret, step = 0) {
  const inStep = () => Date.now() % 30_000;
  if (inStep() > 26_000) await new Promise((resolve) => setTimeout(resolve, 30_000 - inStep()));
  const at = new Date(Date.now() + step * 30_000).toISOString().replace('T', ' ').replace(/\..*/, ' UTC');
  return run('oathtool', ['--totp', '--base32', '--now', at, secret.replaceAll(/\s/g, '')]);
}

// readQR is what a camera reads in an element, by Debian's zbarimg, from a picture
// of it as it is shown.
export async function readQR(element) {
  const folder = await mkdtemp(join(tmpdir(), 'parvis-qr-'));
  try {
    const path = join(folder, 'qr.png');
    await element.screenshot({ path });
    return run('zbarimg', ['--quiet', '--raw', '--nodbus', path]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function run(program, args) {
  return execFileSync(program, args, { encoding: 'utf8' }).trim();
}

// authenticator plugs one into the page's tab. A touch is either there all the time
// or, as touch(false) has it, never comes.
export async function authenticator(page, options) {
  const debug = await page.context().newCDPSession(page);
  await debug.send('WebAuthn.enable', { enableUI: false });
  const { authenticatorId } = await debug.send('WebAuthn.addVirtualAuthenticator', {
    options: { protocol: 'ctap2', ctap2Version: 'ctap2_1', automaticPresenceSimulation: true, ...options },
  });
  const send = (method, values = {}) => debug.send(`WebAuthn.${method}`, { authenticatorId, ...values });
  return {
    touch: (enabled) => send('setAutomaticPresenceSimulation', { enabled }),
    verify: (isUserVerified) => send('setUserVerified', { isUserVerified }),
    remember: (credential) => send('addCredential', { credential }),
    credentials: async () => (await send('getCredentials')).credentials,
  };
}
export const platform = { transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true };

// enrolApp goes through the second step that a page of signing in asks for, and
// returns the secret. It leaves the page that offers recovery codes by Later.
export async function enrolApp(page) {
  await page.locator('input[name=device]').fill('Phone');
  await page.locator('#main button:not([type=button])').first().click();
  const secret = await page.locator('.spell').innerText();
  await page.locator('input[name=code]').fill(await codeOf(secret, -1));
  await page.locator('#main button:not([type=button])').first().click();
  await page.waitForURL('**/account/security/codes?**');
  await page.locator('#main .second').click();
  return secret;
}
