// The recipes of docs/recipes.md: each command registers its application, and the
// settings of libraries that npm has are run as they stand there.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createSecure } from 'node:https';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as client from 'openid-client';
import { authenticator, platform, press, setUp, startServer, watched } from './lib.mjs';

const require = createRequire(import.meta.url);
const { Issuer, generators } = require('openid-client5');
const { Strategy } = require('passport-openidconnect');

const recipes = await readFile(fileURLToPath(new URL('../docs/recipes.md', import.meta.url)), 'utf8');
const complaints = [];
const cleanUp = [];
let server;
let page; // of Ada, who owns Meridian
let site; // where applications take their answers

before(async () => {
  server = await startServer();
  cleanUp.push(server.stop);
  site = await listen(createServer(async (request, response) => {
    if (request.url.endsWith('.js')) {
      response.setHeader('Content-Type', 'text/javascript').end(await readFile(new URL(`node_modules${request.url}`, import.meta.url)));
    } else {
      response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>Books</title>');
    }
  }));
  // The certificates of applications here are of this run alone.
  const browser = await watched(complaints, { ignoreHTTPSErrors: true });
  cleanUp.push(() => browser.close());
  page = await browser.newPage();
  await authenticator(page, platform);
  await setUp(page, server.setup);
});
after(async () => { for (const stop of cleanUp.reverse()) await stop(); });

// listen returns where a server is reached on loopback, and ends it with the tests.
async function listen(listening) {
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  cleanUp.push(() => new Promise((resolve) => { listening.close(resolve); listening.closeAllConnections(); }));
  return `${listening instanceof createSecure().constructor ? 'https' : 'http'}://127.0.0.1:${listening.address().port}`;
}

// A recipe is a section that registers something: its command, and the settings of the
// application in another language.
const written = recipes.split(/^## /m).slice(1).map((section) => ({
  name: section.slice(0, section.indexOf('\n')),
  command: section.match(/```sh\n(parvis application add [^]*?)```/)?.[1],
  settings: section.match(/```js\n([^]*?)```/)?.[1],
}));
const recipe = (name) => written.find((one) => one.name === name);

// register runs the command of a recipe, as its reader does.
function register({ command }, ADDRESS = site) {
  const said = execFileSync('bash', ['-euc', `parvis() { "$PARVIS_BINARY" "$@"; }\n${command}`], {
    cwd: server.folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ADDRESS },
  });
  return { ISSUER: server.address, ADDRESS, CLIENT_ID: said.match(/app_\w+/)[0], CLIENT_SECRET: said.match(/pcs_[\w-]+/)?.[0] };
}

// run runs the settings of a recipe with the names that they use, and returns result.
const AsyncFunction = (async () => {}).constructor;
const run = ({ settings }, names, result) => new AsyncFunction(...Object.keys(names), `${settings}\nreturn ${result};`)(...Object.values(names));

// back goes to an authorization request, and returns the address that the answer came to.
async function back(to, path = '/callback') {
  await page.goto(String(to));
  if (new URL(page.url()).pathname === '/authorize/consent') await press(page, 'Allow');
  await page.waitForURL((url) => url.hostname === '127.0.0.1' && url.pathname === path);
  return new URL(page.url());
}

describe('recipes', { concurrency: false }, () => {
  test('Passport: passport-openidconnect', async () => {
    const application = register(recipe('Passport'));
    const strategy = await run({ settings: `const strategy = ${recipe('Passport').settings}` }, { Strategy, ...application }, 'strategy');
    const session = {};
    // As passport calls it: a strategy of its own for each request.
    const authenticate = (query) => new Promise((resolve, reject) => {
      const one = Object.create(strategy);
      Object.assign(one, { redirect: resolve, success: resolve, error: reject, fail: (why) => reject(new Error(JSON.stringify(why))) });
      one.authenticate({ query, session, headers: { host: new URL(site).host }, connection: {}, url: '/callback', method: 'GET' });
    });
    const answer = await back(await authenticate({}));
    const person = await authenticate(Object.fromEntries(answer.searchParams));
    assert.deepEqual([person.displayName, person.emails], ['Ada Lovelace', [{ value: 'ada@meridian.example' }]]);
  });

  test('openid-client 5', async () => {
    const [state, nonce] = [generators.state(), generators.nonce()];
    const { books, code_verifier, to } = await run(recipe('openid-client 5'), { Issuer, generators, state, nonce, ...register(recipe('openid-client 5')) }, '{ books, code_verifier, to }');
    const parameters = Object.fromEntries((await back(to)).searchParams);
    const tokens = await books.callback(`${site}/callback`, parameters, { code_verifier, state, nonce });
    assert.equal((await books.userinfo(tokens)).email, 'ada@meridian.example');
  });

  // As any of its libraries does it: a port that was free, and the answer there.
  test('A native app', async () => {
    const { CLIENT_ID } = register(recipe('A native app'));
    const config = await client.discovery(new URL(server.address), CLIENT_ID, undefined, client.None(), { execute: [client.allowInsecureRequests] });
    const pkceCodeVerifier = client.randomPKCECodeVerifier();
    const to = client.buildAuthorizationUrl(config, {
      redirect_uri: `${site}/callback`, scope: 'openid email', code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256',
    });
    const tokens = await client.authorizationCodeGrant(config, await back(to), { pkceCodeVerifier, idTokenExpected: true });
    assert.equal((await client.refreshTokenGrant(config, tokens.refresh_token)).claims().sub, tokens.claims().sub);
  });

  test('oidc-client-ts', async () => {
    const application = register(recipe('oidc-client-ts'));
    const { settings } = recipe('oidc-client-ts');
    const manager = async (at, call) => {
      if (at) await page.goto(at);
      await page.addScriptTag({ url: '/oidc-client-ts/dist/browser/oidc-client-ts.min.js' });
      await page.evaluate(([settings, names]) => {
        window.users = new Function('UserManager', ...Object.keys(names), `${settings}\nreturn users;`)(window.oidc.UserManager, ...Object.values(names));
      }, [settings, application]);
      return call && page.evaluate(call);
    };
    await manager(site);
    await Promise.all([page.waitForURL(`${server.address}/**`), page.evaluate(() => { window.users.signinRedirect(); })]);
    await press(page, 'Allow');
    await page.waitForURL(`${site}/callback?*`);
    const [email, again] = await manager(undefined, async () => {
      const user = await window.users.signinCallback();
      return [user.profile.email, (await window.users.signinSilent()).profile.sub === user.profile.sub];
    });
    assert.deepEqual([email, again], ['ada@meridian.example', true]);
  });

  // It takes the answer by a form and redirects on, often to another host. Chromium
  // holds the form's page to its form-action on that way too.
  test('ASP.NET Core: its request, and a redirect to another host behind the posted answer', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'parvis-recipes-'));
    cleanUp.push(() => rm(folder, { recursive: true, force: true }));
    const [keyFile, certificate] = ['key.pem', 'certificate.pem'].map((name) => join(folder, name));
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=books', '-keyout', keyFile, '-out', certificate], { stdio: 'ignore' });
    const own = { key: await readFile(keyFile), cert: await readFile(certificate) };
    const elsewhere = (await listen(createSecure(own, (request, response) => response.end('elsewhere')))).replace('127.0.0.1', 'localhost');
    let posted;
    const books = await listen(createSecure(own, async (request, response) => {
      let body = '';
      for await (const part of request) body += part;
      if (request.method === 'POST') posted = new URLSearchParams(body);
      response.writeHead(302, { Location: `${elsewhere}/in` }).end();
    }));

    const { CLIENT_ID, CLIENT_SECRET } = register(recipe('ASP.NET Core'), books);
    const config = await client.discovery(new URL(server.address), CLIENT_ID, CLIENT_SECRET, client.ClientSecretPost(CLIENT_SECRET), { execute: [client.allowInsecureRequests] });
    const pkceCodeVerifier = client.randomPKCECodeVerifier();
    const parameters = {
      redirect_uri: `${books}/signin-oidc`, response_type: 'code', scope: 'openid profile email', response_mode: 'form_post',
      code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256',
      nonce: '639000000000000000.Zm9v', state: 'CfDJ8'.padEnd(1500, 'x'), 'x-client-SKU': 'ID_NET9_0', 'x-client-ver': '8.0.1.0',
    };
    for (const to of [client.buildAuthorizationUrl(config, parameters), await client.buildAuthorizationUrlWithPAR(config, parameters)]) {
      posted = undefined;
      await page.goto(String(to));
      await page.waitForURL(`${elsewhere}/in`);
      assert.equal(posted.get('state'), parameters.state);
      const answer = new Request(parameters.redirect_uri, { method: 'POST', body: posted });
      const tokens = await client.authorizationCodeGrant(config, answer, { pkceCodeVerifier, expectedState: parameters.state, expectedNonce: parameters.nonce });
      assert.equal((await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub)).email, 'ada@meridian.example');
    }
  });

  test('every command registers its application', () => {
    const run = ['Passport', 'openid-client 5', 'A native app', 'oidc-client-ts', 'ASP.NET Core'];
    const rest = written.filter((one) => !run.includes(one.name));
    assert.ok(rest.length > 7, 'recipes are looked past');
    for (const one of rest) assert.ok(register(one, 'https://books.example').CLIENT_ID, one.name);
  });

  test('no page broke its policy', () => {
    assert.deepEqual(complaints.filter((line) => /Content Security Policy/i.test(line)), []);
  });
});
