// A web application whose people sign in at Parvis. Sessions are in memory: after a
// restart people are led to Parvis and back, mostly without seeing a page.

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as client from 'openid-client';

const { ISSUER, CLIENT_ID, CLIENT_SECRET, ADDRESS, PORT } = process.env; // ADDRESS of this application, such as https://books.example
const config = await client.discovery(new URL(ISSUER), CLIENT_ID, undefined, client.ClientSecretBasic(CLIENT_SECRET), {
  execute: ISSUER.startsWith('http:') ? [client.allowInsecureRequests] : [], // on your own machine only
});
const keys = createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri));
const sessions = new Map(); // random text in a cookie: session

const routes = {
  'GET /': (request, response) => {
    const session = sessions.get(cookie(request, 'session'));
    if (!session) return redirect(response, '/login');
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(`<!doctype html><title>Books</title><h1>Signed in</h1><pre>${escape(JSON.stringify(session.claims, null, 2))}</pre>
<form method="post" action="/sign-out"><button>Sign out</button></form>`);
  },

  // It is also where Parvis's own home page sends people, with the organization that
  // they are to come in for.
  'GET /login': async (request, response, url) => {
    const state = client.randomState();
    const nonce = client.randomNonce();
    const verifier = client.randomPKCECodeVerifier();
    setCookie(response, `state_${state}`, `${nonce}.${verifier}`, 600);
    redirect(response, client.buildAuthorizationUrl(config, {
      redirect_uri: `${ADDRESS}/callback`, scope: 'openid profile email', state, nonce,
      code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
      ...(url.searchParams.has('organization') && { organization: url.searchParams.get('organization') }),
    }));
  },

  'GET /callback': async (request, response, url) => {
    const state = url.searchParams.get('state');
    const kept = cookie(request, `state_${state}`);
    if (!kept) return fail(response, 400, 'This browser did not ask to sign in, or too long ago.');
    setCookie(response, `state_${state}`, '', -1);
    const [nonce, verifier] = kept.split('.');
    let tokens;
    try {
      tokens = await client.authorizationCodeGrant(config, url, { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier });
    } catch (error) {
      return fail(response, 403, `Nobody signed in: ${error.error ?? error.code}: ${error.error_description ?? error.message}`);
    }
    const name = randomBytes(24).toString('base64url');
    sessions.set(name, { idToken: tokens.id_token, claims: tokens.claims() });
    setCookie(response, 'session', name);
    redirect(response, '/');
  },

  // It ends the session here, then the one at Parvis, which tells the other
  // applications and sends the person back.
  'POST /sign-out': (request, response) => {
    if (!['same-origin', undefined].includes(request.headers['sec-fetch-site'])) return fail(response, 403, 'This form is from another site.');
    const session = sessions.get(cookie(request, 'session'));
    sessions.delete(cookie(request, 'session'));
    redirect(response, client.buildEndSessionUrl(config, {
      post_logout_redirect_uri: `${ADDRESS}/`, ...(session && { id_token_hint: session.idToken }),
    }));
  },

  // Parvis tells, without a browser, that a session has ended.
  'POST /back-channel-logout': async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    try {
      const { payload } = await jwtVerify(new URLSearchParams(body).get('logout_token') ?? '', keys, {
        issuer: ISSUER, audience: CLIENT_ID, typ: 'logout+jwt', requiredClaims: ['sid', 'iat', 'exp', 'jti', 'events'],
      });
      for (const [name, { claims }] of sessions) if (claims.sid === payload.sid) sessions.delete(name);
    } catch (error) {
      return fail(response, 400, error.message);
    }
    response.end();
  },
};

createServer(async (request, response) => {
  const url = new URL(request.url, ADDRESS);
  const route = routes[`${request.method} ${url.pathname}`];
  if (!route) return fail(response, 404, 'There is nothing here.');
  try {
    await route(request, response, url);
  } catch (error) {
    console.error(error);
    fail(response, 500, 'Something went wrong.');
  }
}).listen(PORT, '127.0.0.1');

function redirect(response, to) {
  response.writeHead(303, { Location: String(to) }).end();
}

function fail(response, status, text) {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(text);
}

function cookie(request, name) {
  return request.headers.cookie?.split('; ').find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1);
}

function setCookie(response, name, value, seconds) {
  const secure = ADDRESS.startsWith('https:') ? '; Secure' : '';
  const age = seconds ? `; Max-Age=${seconds}` : '';
  response.appendHeader('Set-Cookie', `${name}=${value}; Path=/; HttpOnly; SameSite=Lax${age}${secure}`);
}

function escape(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
