// An OpenID Provider that we did not write: npm's oidc-provider on loopback, for the
// Go tests (internal/federation/providertest) and the browser's.
//
//   node provider.mjs '{"clients": […], "accounts": {"ann": {"email": "…"}}}'
//
// prints one line of JSON with its issuer and ends with its standard input.

import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Provider } from 'oidc-provider';

// startProvider takes clients as in dynamic registration, accounts with their claims,
// which UserInfo gives, and the host and port of the issuer.
export async function startProvider({ host = '127.0.0.1', port = 0, clients = [], accounts = {} } = {}) {
  const server = createServer();
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const issuer = `http://${host}:${server.address().port}`;
  const names = [...new Set(Object.values(accounts).flatMap(Object.keys))];
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys: keys() },
    claims: { openid: ['sub', 'amr'], email: names },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'] },
    cookies: { keys: ['of a test'] },
    features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true }, claimsParameter: { enabled: false } },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (ctx, id) => (accounts[id] ? { accountId: id, claims: () => ({ sub: id, ...accounts[id] }) } : undefined),
    // A client that may refresh need not ask for offline_access, which would want consent.
    issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
    // Its own guard would refuse to reach loopback, where this all is.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    // Nobody is asked for consent.
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope('openid email');
      await grant.save();
      return grant;
    },
  });
  const rest = provider.callback();
  server.on('request', (request, response) => {
    if (!request.url.startsWith('/interaction/')) rest(request, response);
    else if (request.method === 'POST') signIn(provider, request, response).catch((error) => response.writeHead(500).end(String(error)));
    else response.setHeader('Content-Type', 'text/html').end(form);
  });
  return { issuer, stop: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }) };
}

const form = '<!doctype html><title>Provider</title><form method="post"><label>Account <input name="account"></label><button>Sign in</button></form>';

async function signIn(provider, request, response) {
  let body = '';
  for await (const part of request) body += part;
  const accountId = new URLSearchParams(body).get('account');
  await provider.interactionFinished(request, response, accountId
    ? { login: { accountId, amr: ['pwd'] } }
    : { error: 'access_denied', error_description: '<b>nobody</b>' });
}

function keys() {
  return [['rsa', { modulusLength: 2048 }], ['ec', { namedCurve: 'P-256' }], ['ed25519']].map(([kind, options]) => ({
    ...generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' }), use: 'sig', kid: kind,
  }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { issuer } = await startProvider(JSON.parse(process.argv[2] ?? '{}'));
  console.log(JSON.stringify({ issuer }));
  process.stdin.resume().on('end', () => process.exit());
}
