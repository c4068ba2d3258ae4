// A reverse proxy that we did not write: Debian's Apache with mod_auth_openidc on
// loopback, with everything of this run in a folder that ends with it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './lib.mjs';

const folderOfModules = '/usr/lib/apache2/modules';
const modules = ['mpm_event', 'authn_core', 'authz_core', 'authz_user', 'proxy', 'proxy_http', 'auth_openidc'];

// startApache serves a port as the configuration says that it includes, with its variables.
export async function startApache({ port, include, variables }) {
  if (!existsSync(join(folderOfModules, 'mod_auth_openidc.so'))) throw new Error("Debian's libapache2-mod-auth-openidc is not installed; ./check all installs it");
  const folder = await mkdtemp(join(tmpdir(), 'parvis-apache-'));
  await writeFile(join(folder, 'apache.conf'), [
    `ServerRoot ${folder}`, `DefaultRuntimeDir ${folder}`, `PidFile ${folder}/pid`, `ErrorLog ${folder}/log`, 'ServerName 127.0.0.1', `Listen 127.0.0.1:${port}`,
    // Whoever is root says whom Apache is to be instead.
    ...(process.getuid() === 0 ? ['User www-data', 'Group www-data'] : []),
    ...modules.map((name) => `LoadModule ${name}_module ${folderOfModules}/mod_${name}.so`), `Include ${include}`, '',
  ].join('\n'));

  const child = spawn('/usr/sbin/apache2', ['-f', join(folder, 'apache.conf'), '-DFOREGROUND'], {
    cwd: folder, env: { PATH: process.env.PATH, ...variables }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { output += text; });
  let ended = false;
  child.once('close', () => { ended = true; });
  const log = async () => output + await readFile(join(folder, 'log'), 'utf8').catch(() => '');
  const stop = async () => {
    if (!ended) {
      child.kill();
      await once(child, 'close');
    }
    process.removeListener('exit', kill);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await until('Apache answers', () => ended || fetch(`http://127.0.0.1:${port}/`, { redirect: 'manual' }).then(() => true, () => false));
    if (ended) throw new Error('Apache ended');
  } catch (error) {
    error.message += `\n${await log()}`;
    await stop();
    throw error;
  }
  return { log, stop };
}
