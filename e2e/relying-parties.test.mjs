// Parvis as applications know it that we did not write: npm's openid-client for every
// grant, Debian's mod_auth_openidc before a page, and the examples of docs/integrate.md.
// Applications are at 127.0.0.1 and Parvis at localhost, so each is another site.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose';
import * as client from 'openid-client';
import { startApache } from './apache.mjs';
import { authenticator, freePort, heading, platform, press, setUp, signOut, startServer, until, watched } from './lib.mjs';

const repository = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const guide = await readFile(repository('docs/integrate.md'), 'utf8');

const complaints = []; // what pages wrote to the console, violations of a policy among it
const cleanUp = [];
let server;
let browser; // of Ada, who owns Meridian
let page;
let device;
let folder;
let site; // where the applications of openid-client take their answers

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parvis-relying-'));
  cleanUp.push(() => rm(folder, { recursive: true, force: true }));
  [server, site] = await Promise.all([startServer(), startSite()]);
  cleanUp.push(server.stop, site.stop);
  browser = await watched(complaints);
  cleanUp.push(() => browser.close());
  page = await browser.newPage();
  device = await authenticator(page, platform);
  await setUp(page, server.setup);
});
after(async () => { for (const stop of cleanUp.reverse()) await stop(); });

// register adds an application of the installation, as the operator does.
const register = (...flags) => registered(execFileSync(process.env.PARVIS_BINARY, ['application', 'add', ...flags], { cwd: server.folder, encoding: 'utf8' }));

const registered = (said) => ({ CLIENT_ID: said.match(/app_\w+/)[0], CLIENT_SECRET: said.match(/pcs_[\w-]+/)?.[0] });

// shell runs the one command of the guide that says what is meant, as its reader does.
function shell(meant, variables) {
  const found = [...guide.matchAll(/```sh\n([^]*?)```/g)].map((block) => block[1]).filter((block) => block.includes(meant));
  assert.equal(found.length, 1, meant);
  return execFileSync('bash', ['-euc', `parvis() { "$PARVIS_BINARY" "$@"; }\n${found[0]}`], {
    cwd: server.folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ISSUER: server.address, ...variables },
  });
}

// startSite has a page at every path, whose scripts may import openid-client. It keeps
// what was posted to it.
async function startSite() {
  const posted = [];
  const imports = {
    'openid-client': '/openid-client/build/index.js', oauth4webapi: '/oauth4webapi/build/index.js',
    'jose/jwe/compact/decrypt': '/jose/dist/webapi/jwe/compact/decrypt.js', 'jose/errors': '/jose/dist/webapi/util/errors.js',
  };
  const listening = createServer(async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    if (request.method === 'POST') posted.push({ path: request.url, form: new URLSearchParams(body) });
    if (request.url.endsWith('.js')) {
      response.setHeader('Content-Type', 'text/javascript').end(await readFile(repository(`e2e/node_modules${request.url}`)));
    } else {
      response.setHeader('Content-Type', 'text/html').end(`<!doctype html><title>Books</title><script type="importmap">${JSON.stringify({ imports })}</script>`);
    }
  }).listen(0, '127.0.0.1');
  await once(listening, 'listening');
  return {
    address: `http://127.0.0.1:${listening.address().port}`, posted,
    stop: () => new Promise((resolve) => { listening.close(resolve); listening.closeAllConnections(); }),
  };
}

// signedOut waits for the page of Parvis that asks who it is, and signInAgain lets the
// passkey answer there: from the beginning, lest two answers cross.
async function signedOut() {
  await page.waitForURL(`${server.address}/**`);
  await page.locator('input[name=password]').waitFor();
}
async function signInAgain() {
  const asking = page.url();
  await page.goto('about:blank');
  await device.touch(true);
  await page.goto(asking);
}

describe('openid-client', { concurrency: false }, () => {
  let web;
  let config;

  // enableNonRepudiationChecks has it look at signatures of ID tokens too.
  const discover = (id, authentication) => client.discovery(new URL(server.address), id, undefined, authentication, {
    execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks],
  });
  before(async () => {
    web = register('--name', 'Books of openid-client', '--kind', 'web', '--refresh', '--redirect-uri', `${site.address}/callback`,
      '--post-logout-uri', `${site.address}/bye`, '--back-channel-logout', `${site.address}/logout`);
    config = await discover(web.CLIENT_ID, client.ClientSecretBasic(web.CLIENT_SECRET));
  });

  // allow answers the page that asks about an application without a secret whose answer
  // goes to this machine: anybody may listen there (RFC 8252 §8.6).
  async function allow() {
    if (new URL(page.url()).pathname === '/authorize/consent') await press(page, 'Allow');
  }

  // authorize goes the way of the browser, and exchanges the code.
  async function authorize(config, { parameters = {}, pushed, dpop } = {}) {
    const verifier = client.randomPKCECodeVerifier();
    const [state, nonce] = [client.randomState(), client.randomNonce()];
    const asked = {
      redirect_uri: `${site.address}/callback`, scope: 'openid profile email', state, nonce,
      code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...parameters,
    };
    const to = pushed ? await client.buildAuthorizationUrlWithPAR(config, asked, { DPoP: dpop }) : client.buildAuthorizationUrl(config, asked);
    await page.goto(String(to));
    await allow();
    await page.waitForURL(`${site.address}/callback?*`);
    return client.authorizationCodeGrant(config, new URL(page.url()), { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true },
      undefined, { DPoP: dpop });
  }

  test('a code: the ID token says what the guide lists, UserInfo and introspection the rest', async () => {
    const tokens = await authorize(config);
    const claims = tokens.claims();
    const listed = guide.match(/\n\| claim \|[^]*?\n\n/)[0].matchAll(/^\| `(\w+)` \|/gm);
    assert.deepEqual(Object.keys(claims).sort(), [...listed].map((row) => row[1]).sort());
    assert.deepEqual({ iss: claims.iss, aud: claims.aud, org: claims.org.short_name, acr: claims.acr }, { iss: server.address, aud: web.CLIENT_ID, org: 'meridian', acr: 'aal2' });
    assert.equal(claims.at_hash, createHash('sha256').update(tokens.access_token).digest().subarray(0, 16).toString('base64url'));

    const told = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
    assert.equal(told.email, 'ada@meridian.example');
    const known = await client.tokenIntrospection(config, tokens.access_token);
    assert.deepEqual([known.active, known.client_id, known.sub], [true, web.CLIENT_ID, claims.sub]);
    // As an API checks one by itself.
    const { payload } = await jwtVerify(tokens.access_token, createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri)), {
      issuer: server.address, audience: server.address, typ: 'at+jwt',
    });
    assert.equal(payload.client_id, web.CLIENT_ID);
  });

  test('refresh tokens rotate, and one that is shown again later ends everything', async () => {
    const first = await authorize(config);
    const second = await client.refreshTokenGrant(config, first.refresh_token);
    assert.notEqual(second.refresh_token, first.refresh_token);
    assert.deepEqual([second.claims().sub, second.claims().sid, second.claims().auth_time], [first.claims().sub, first.claims().sid, first.claims().auth_time]);
    // A lost answer: the same one comes again.
    assert.equal((await client.refreshTokenGrant(config, first.refresh_token)).refresh_token, second.refresh_token);
    const third = await client.refreshTokenGrant(config, second.refresh_token);
    await assert.rejects(client.refreshTokenGrant(config, first.refresh_token), { error: 'invalid_grant' });
    await assert.rejects(client.refreshTokenGrant(config, third.refresh_token), { error: 'invalid_grant' });
    assert.equal((await client.tokenIntrospection(config, third.access_token)).active, false);
  });

  test('a revoked grant is over at once', async () => {
    const tokens = await authorize(config);
    await client.tokenRevocation(config, tokens.refresh_token);
    assert.equal((await client.tokenIntrospection(config, tokens.access_token)).active, false);
    await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token), { error: 'invalid_grant' });
    await assert.rejects(client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub), { code: 'OAUTH_WWW_AUTHENTICATE_CHALLENGE' });
  });

  test('a pushed request', async () => {
    const tokens = await authorize(config, { pushed: true, parameters: { organization: 'meridian' } });
    assert.equal(tokens.claims().org.name, 'Meridian Freight');
  });

  test('no page is shown under prompt=none, and an error comes back', async () => {
    await assert.rejects(authorize(config, { parameters: { prompt: 'none', login_hint: 'bo@meridian.example' } }), { error: 'login_required' });
    assert.ok(await authorize(config, { parameters: { prompt: 'none' } }));
  });

  test('DPoP binds the tokens of an application without a secret to its key', async () => {
    const phone = register('--name', 'Phone', '--kind', 'native', '--refresh', '--redirect-uri', `${site.address}/callback`);
    const config = await discover(phone.CLIENT_ID, client.None());
    const dpop = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
    const other = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
    const tokens = await authorize(config, { pushed: true, dpop });
    assert.equal(tokens.token_type, 'dpop');
    assert.equal(decodeJwt(tokens.access_token).cnf.jkt, await dpop.calculateThumbprint());
    const { sub } = tokens.claims();
    assert.equal((await client.fetchUserInfo(config, tokens.access_token, sub, { DPoP: dpop })).sub, sub);
    await assert.rejects(client.fetchUserInfo(config, tokens.access_token, sub, { DPoP: other }));
    await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP: other }), { error: 'invalid_dpop_proof' });
    assert.ok(await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP: dpop }));
  });

  test('a machine proves itself by a key', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const file = join(folder, 'keys.json');
    await writeFile(file, JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256', use: 'sig' }] }));
    const machine = register('--name', 'Nightly with a key', '--kind', 'machine', '--scope', 'orders:read', '--audience', 'https://orders.example', '--keys', file);
    assert.equal(machine.CLIENT_SECRET, undefined);
    const key = await crypto.subtle.importKey('jwk', privateKey.export({ format: 'jwk' }), { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
    const config = await discover(machine.CLIENT_ID, client.PrivateKeyJwt({ key, kid: 'one' }));
    const tokens = await client.clientCredentialsGrant(config, { scope: 'orders:read', organization: 'meridian' });
    assert.equal(tokens.refresh_token, undefined);
    const { payload } = await jwtVerify(tokens.access_token, createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri)), {
      issuer: server.address, audience: 'https://orders.example', typ: 'at+jwt',
    });
    assert.deepEqual([payload.sub, payload.scope, payload.org.short_name], [machine.CLIENT_ID, 'orders:read', 'meridian']);
    await assert.rejects(client.clientCredentialsGrant(config, { scope: 'openid' }), { error: 'invalid_scope' });
  });

  test('a machine as the guide has it', () => {
    const machine = registered(shell('--kind machine'));
    const { access_token: TOKEN } = JSON.parse(shell('grant_type=client_credentials', machine));
    const known = JSON.parse(shell('/introspect', { ...machine, TOKEN }));
    assert.deepEqual([known.active, known.sub, known.aud, known.org.name], [true, machine.CLIENT_ID, ['https://orders.example'], 'Meridian Freight']);
  });

  test('a device comes in by a code that is typed elsewhere', async () => {
    const screen = register('--name', 'Screen', '--kind', 'native', '--device', '--redirect-uri', `${site.address}/callback`);
    const config = await discover(screen.CLIENT_ID, client.None());
    const [asked, refused] = await Promise.all([1, 2].map(() => client.initiateDeviceAuthorization(config, { scope: 'openid' })));
    const answers = Promise.allSettled([asked, refused].map((one) => client.pollDeviceAuthorizationGrant(config, one)));
    await page.goto(asked.verification_uri);
    await page.locator('input[name=user_code]').fill(asked.user_code.toLowerCase());
    await press(page, 'Next');
    await heading(page, 'Let Screen on a device sign in as you?');
    await page.locator('button[value=allow]').click();
    await heading(page, 'The device is signed in');
    await page.goto(refused.verification_uri_complete);
    await page.locator('button[value=deny]').click();
    const [given, none] = await answers;
    assert.equal(given.value.claims().org.short_name, 'meridian');
    assert.equal(none.reason.error, 'access_denied');

    const device = JSON.parse(shell('/device_authorization', screen));
    assert.match(device.user_code, /^[A-Z]{4}-[A-Z]{4}$/);
    assert.equal(JSON.parse(shell('device_code=', { ...screen, DEVICE_CODE: device.device_code })).error, 'authorization_pending');
  });

  test('a single-page application asks from its own origin, and from no other', async () => {
    const app = register('--name', 'App', '--kind', 'single_page', '--refresh', '--redirect-uri', `${site.address}/app`);
    const run = (at) => page.evaluate(async ({ issuer, id, at, kept }) => {
      const client = await import('openid-client');
      const config = await client.discovery(new URL(issuer), id, undefined, client.None(), { execute: [client.allowInsecureRequests] });
      if (!at) {
        const verifier = client.randomPKCECodeVerifier();
        const url = client.buildAuthorizationUrl(config, {
          redirect_uri: location.origin + location.pathname, scope: 'openid email', state: 'here',
          code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
        });
        return { url: String(url), verifier };
      }
      const dpop = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
      const tokens = await client.authorizationCodeGrant(config, new URL(at), { expectedState: 'here', pkceCodeVerifier: kept }, undefined, { DPoP: dpop });
      const again = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP: dpop });
      return client.fetchUserInfo(config, again.access_token, again.claims().sub, { DPoP: dpop });
    }, { issuer: server.address, id: app.CLIENT_ID, ...at });

    await page.goto(`${site.address}/app`);
    const { url, verifier } = await run();
    await page.goto(url);
    await allow();
    await page.waitForURL(`${site.address}/app?*`);
    assert.equal((await run({ at: page.url(), kept: verifier })).email, 'ada@meridian.example');

    // Of another origin, the same call is not readable.
    const elsewhere = await startSite();
    try {
      await page.goto(elsewhere.address);
      const read = await page.evaluate(([to, id]) => fetch(to, { method: 'POST', body: new URLSearchParams({ grant_type: 'refresh_token', client_id: id }) })
        .then((answer) => answer.status, String), [config.serverMetadata().token_endpoint, app.CLIENT_ID]);
      assert.match(String(read), /Failed to fetch/);
    } finally {
      await elsewhere.stop();
    }
  });

  test('signing out ends the session, tells the application, and comes back', async () => {
    const tokens = await authorize(config);
    await device.touch(false);
    await page.goto(String(client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: `${site.address}/bye`, state: 'later' })));
    await page.waitForURL(`${site.address}/bye?state=later`);
    await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token), { error: 'invalid_grant' });
    await until('the application is told', () => site.posted.some((post) => post.path === '/logout'), 5);
    const { form } = site.posted.find((post) => post.path === '/logout');
    const { payload } = await jwtVerify(form.get('logout_token'), createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri)), {
      issuer: server.address, audience: web.CLIENT_ID, typ: 'logout+jwt', requiredClaims: ['jti', 'events'],
    });
    assert.equal(payload.sid, tokens.claims().sid);
    await page.goto(`${server.address}/o/meridian`);
    await signedOut();
    await signInAgain();
    await page.waitForURL('**/o/meridian/home');
  });
});

// walk goes through an application with a browser: in from nowhere and from its tile,
// who it is, out on both sides.
async function walk(application, address, shown) {
  await page.goto(address);
  assert.match(await shown(), /"short_name": ?"meridian"/);
  await browser.clearCookies({ domain: '127.0.0.1' });
  const asked = page.waitForRequest((request) => request.url().startsWith(`${server.address}/authorize?`));
  await page.goto(`${server.address}/o/meridian/open/${application.CLIENT_ID}`);
  assert.equal(new URL((await asked).url()).searchParams.get('organization'), 'meridian');
  await shown();

  // Its button: both sides are left, and the way back leads to signing in.
  await device.touch(false);
  await page.getByText('Sign out').click();
  await signedOut();
  await signInAgain();
  await shown();

  // At Parvis: the application hears of it.
  await device.touch(false);
  await signOut(page, `${server.address}/o/meridian`);
  await until('the application asks again', async () => {
    await page.goto(address);
    return page.url().startsWith(server.address);
  });
  await signInAgain();
  await shown();
}

describe('the examples', { concurrency: false }, () => {
  const shown = async () => {
    await heading(page, 'Signed in');
    return page.locator('pre').innerText();
  };

  // started runs an example on a port of its own, registered as the guide says.
  async function started(t, command, args, cwd) {
    const PORT = await freePort();
    const ADDRESS = `http://127.0.0.1:${PORT}`;
    const application = registered(shell('--kind web \\\n', { ADDRESS }));
    // The next one has the same name, which two must not have.
    t.after(() => execFileSync(process.env.PARVIS_BINARY, ['application', 'remove', application.CLIENT_ID], { cwd: server.folder }));
    const child = spawn(command, args, { cwd, env: { ...process.env, ...application, ISSUER: server.address, ADDRESS, PORT }, stdio: 'inherit' });
    t.after(() => child.kill());
    await until(`${command} answers`, () => fetch(ADDRESS, { redirect: 'manual' }).then(() => true, () => false));
    return [application, ADDRESS];
  }

  test('Go', async (t) => {
    const binary = join(folder, 'books');
    execFileSync('go', ['build', '-o', binary, '.'], { cwd: repository('examples/go') });
    await walk(...await started(t, binary, [], folder), shown);
  });

  test('Node', async (t) => {
    const copy = join(folder, 'node');
    await cp(repository('examples/node'), copy, { recursive: true, filter: (path) => !path.includes('node_modules') });
    await symlink(repository('e2e/node_modules'), join(copy, 'node_modules'));
    const [own, tested] = await Promise.all(['examples/node', 'e2e'].map(async (at) => JSON.parse(await readFile(repository(`${at}/package.json`), 'utf8'))));
    for (const [name, version] of Object.entries(own.dependencies)) assert.equal(tested.devDependencies[name], version, name);
    await walk(...await started(t, process.execPath, ['main.mjs'], copy), shown);
  });
});

describe('mod_auth_openidc', { concurrency: false }, () => {
  let apache;
  let application;
  let address;
  let seen; // by the application behind it

  before(async () => {
    const behind = createServer((request, response) => {
      seen = request.headers;
      response.setHeader('Content-Type', 'text/html').end(`<!doctype html><title>Books</title><h1>Signed in</h1><pre>${seen['x-parvis-org']}</pre>
        <a href="/parvis?logout=${encodeURIComponent(`${address}/`)}">Sign out</a>`);
    }).listen(0, '127.0.0.1');
    await once(behind, 'listening');
    cleanUp.push(() => behind.close());
    const port = await freePort();
    address = `http://127.0.0.1:${port}`;
    application = registered(shell('?logout=backchannel', { ADDRESS: address }));
    apache = await startApache({
      port, include: repository('examples/proxy/parvis.conf'),
      variables: { ...application, ISSUER: server.address, ADDRESS: address, UPSTREAM: `http://127.0.0.1:${behind.address().port}`, COOKIE_KEY: 'of a test' },
    });
    cleanUp.push(apache.stop);
  });

  test('it protects a page, and signs out on both sides', async () => {
    await walk(application, address, async () => {
      await heading(page, 'Signed in');
      return page.locator('pre').innerText();
    });
  });

  test('the application behind it learns who it is, and nobody can say so in its place', async () => {
    await page.goto(address);
    const { 'x-parvis-sub': sub } = seen;
    assert.deepEqual([seen['x-parvis-email'], seen['x-parvis-name'], seen['x-parvis-aud']], ['ada@meridian.example', 'Ada Lovelace', application.CLIENT_ID]);
    const spellings = ['X-Parvis-Sub', 'x-parvis-email', 'X-Parvis-Role', 'X_Parvis_Email', 'X-Parvis_Sub', 'x.parvis.sub'];
    await page.setExtraHTTPHeaders(Object.fromEntries(spellings.map((name) => [name, 'mallory'])));
    await page.goto(address);
    await page.setExtraHTTPHeaders({});
    assert.equal(seen['x-parvis-sub'], sub);
    assert.deepEqual(Object.entries(seen).filter(([, value]) => value === 'mallory'), []);
  });
});

test('no page broke its policy', () => {
  assert.deepEqual(complaints.filter((line) => /Content Security Policy/i.test(line)), []);
});
