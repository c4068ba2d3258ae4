// A SAML provider that we did not write: Debian's SimpleSAMLphp on loopback, run by
// PHP's own web server, with everything of this run in a folder that ends with it.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, until } from './lib.mjs';

const program = '/usr/share/simplesamlphp';
const persistent = 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent';

// startSAMLProvider takes accounts as {name: {attribute: value}}; a name is its own
// password. What set changes of its metadata counts at the next request.
export async function startSAMLProvider(accounts) {
  const folder = await mkdtemp(join(tmpdir(), 'parvis-saml-'));
  const at = (...names) => join(folder, ...names);
  await Promise.all(['metadata', 'log', 'temp', 'data', 'sessions'].map((name) => mkdir(at(name))));
  const port = await freePort();
  const address = `http://127.0.0.1:${port}`;

  const php = (name, variable, value) => writeFile(at(name), `<?php\n$${variable} = ${literal(value)};\n`);
  await php('config.php', 'config', {
    baseurlpath: `${address}/`,
    certdir: folder, loggingdir: at('log'), datadir: at('data'), tempdir: at('temp'), metadatadir: at('metadata'),
    secretsalt: 'of a test', 'auth.adminpassword': 'of a test', 'technicalcontact_email': 'nobody@example.org', timezone: 'UTC',
    'logging.handler': 'file', 'store.type': 'phpsession', 'session.phpsession.savepath': at('sessions'),
    // Loopback speaks no TLS.
    'session.cookie.secure': false, 'session.cookie.samesite': 'Lax', 'language.cookie.secure': false, 'language.cookie.samesite': 'Lax',
    'enable.saml20-idp': true, 'module.enable': { exampleauth: true, core: true, saml: true },
    'trusted.url.domains': [`127.0.0.1:${port}`],
    'metadata.sources': [{ type: 'flatfile' }, { type: 'xml', file: at('parvis.xml') }],
  });
  await php('authsources.php', 'config', {
    people: {
      0: 'exampleauth:UserPass',
      ...Object.fromEntries(Object.entries(accounts).map(([name, claims]) => [`${name}:${name}`, { uid: [name], ...claims }])),
    },
  });
  const key = async (name) => {
    await promisify(execFile)('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '90', '-subj', `/CN=${name}`,
      '-keyout', at(`${name}.key`), '-out', at(`${name}.crt`)]);
    return { privatekey: `${name}.key`, certificate: `${name}.crt` };
  };
  let metadata = {
    host: '__DEFAULT__', auth: 'people', ...await key('first'), NameIDFormat: persistent, 'sign.logout': true,
    authproc: { 3: { class: 'saml:AttributeNameID', attribute: 'uid', Format: persistent } },
  };
  const set = (change) => {
    metadata = Object.fromEntries(Object.entries({ ...metadata, ...change }).filter(([, value]) => value !== undefined));
    return writeFile(at('metadata', 'saml20-idp-hosted.php'), `<?php\n$metadata['__DYNAMIC:1__'] = ${literal(metadata)};\n`);
  };
  // trust takes the metadata of the one service provider that it answers.
  const trust = (xml) => writeFile(at('parvis.xml'), xml);
  await trust('<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata"/>');
  await set({});

  // A cache of compiled files would keep for seconds what set has changed.
  const child = spawn('php', ['-d', 'opcache.enable=0', '-S', `127.0.0.1:${port}`, '-t', join(program, 'www')], {
    cwd: folder, env: { ...process.env, SIMPLESAMLPHP_CONFIG_DIR: folder }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { output += text; });
  const stop = async () => {
    if (child.exitCode === null) {
      child.kill();
      await once(child, 'exit');
    }
    process.removeListener('exit', kill);
    await rm(folder, { recursive: true, force: true });
  };
  const entityID = `${address}/saml2/idp/metadata.php`;
  const published = async () => {
    const answer = await fetch(entityID);
    return answer.ok ? answer.text() : Promise.reject(new Error(`${entityID}: ${answer.status}\n${await answer.text()}${output}`));
  };
  try {
    await until('SimpleSAMLphp answers', () => fetch(`${address}/robots.txt`).then(() => true, () => false));
    await published();
  } catch (error) {
    await stop();
    throw error;
  }
  return { address, entityID, published, key, set, trust, stop, output: () => output };
}

// literal writes a value as PHP does.
function literal(value) {
  if (value === null || typeof value !== 'object') return typeof value === 'string' ? `'${value.replace(/[\\']/g, '\\$&')}'` : String(value);
  return `[${Object.entries(value).map(([name, inner]) => `${literal(/^\d+$/.test(name) ? Number(name) : name)} => ${literal(inner)}`).join(', ')}]`;
}
