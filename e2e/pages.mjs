// Judges pages that were written to a folder: every state that the Go tests saw, in the
// languages that they saw it in, and our letters. Three programs that are not ours read
// them: Nu (the checker of the HTML standard's editors), html-validate, and axe in
// Chromium, on a phone, light and dark. Prints one line for each fault.
//
//   node e2e/pages.mjs FOLDER [FOLDER...]

import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, join, resolve } from 'node:path';
import { argv, exit } from 'node:process';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { HtmlValidate } from 'html-validate';
import { flags } from './lib.mjs';

const require = createRequire(import.meta.url);

// judge returns what is wrong with the pages below these folders, and how many there are.
export async function judge(...folders) {
  const files = [];
  for (const folder of folders) {
    for (const name of await readdir(folder, { recursive: true })) {
      if (name.endsWith('.html')) files.push(resolve(folder, name));
    }
  }
  files.sort();
  const pages = await Promise.all(files.map(async (file) => ({ file, html: await readFile(file, 'utf8') })));
  const found = await Promise.all([nu(files), validate(pages), axe(pages)]);
  return { pages: files.length, faults: [...new Set(found.flat())].sort() };
}

// --- Nu -----------------------------------------------------------------------

// One Java machine reads all files. Its exit code says nothing that its output does not.
// What a person typed stands in its field again, however wrong it is for it.
const typed = /^Bad value .* for attribute .value. on element .input.|^Forbidden code point/s;

async function nu(files) {
  const jar = require.resolve('vnu-jar/build/dist/vnu.jar');
  const child = spawn('java', ['-jar', jar, '--stdout', '--format', 'json', '--exit-zero-always', ...files], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => { output += text; });
  const code = await new Promise((done, failed) => child.once('error', failed).once('close', done));
  if (code !== 0) throw new Error(`Nu ended with ${code}: ${output}`);
  return JSON.parse(output).messages.filter((m) => !typed.test(m.message)).map((m) => `${short(m.url)}:${m.lastLine ?? 0} nu: ${m.message}`);
}

// --- html-validate ------------------------------------------------------------

const rules = {
  extends: ['html-validate:recommended'],
  rules: {
    // House style that has nothing to do with what browsers and people meet.
    'void-style': 'off', 'no-trailing-whitespace': 'off', 'attribute-boolean-style': 'off', 'attribute-empty-style': 'off', 'doctype-style': 'off',
    'no-implicit-button-type': 'off', // a button of a form sends it (HTML §4.10.6)
    'long-title': 'off', // a title holds what people called things
    'form-dup-name': ['error', { shared: ['radio', 'button', 'submit'] }], // of buttons only the pressed one is sent
    'wcag/h32': 'off', // a button may stand outside of its form, which names it
    'no-inline-style': 'off', // letters have no other; pages have the policy, and TestEveryPageIsSound
  },
};

async function validate(pages) {
  const judgement = new HtmlValidate(rules);
  const found = [];
  for (const { file, html } of pages) {
    const { results } = await judgement.validateString(html, file);
    for (const m of results.flatMap((r) => r.messages)) found.push(`${short(file)}:${m.line} html-validate: ${m.ruleId}: ${m.message}`);
  }
  return found;
}

// --- axe ----------------------------------------------------------------------

const phone = { width: 390, height: 844 };
const axeSource = await readFile(require.resolve('axe-core/axe.min.js'), 'utf8');
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

async function axe(pages) {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: flags });
  try {
    const left = [...pages];
    const found = await Promise.all([1, 2, 3, 4].map(() => look(browser, left)));
    return found.flat();
  } finally {
    await browser.close();
  }
}

// look takes pages from those that are left until there is none.
async function look(browser, left) {
  const context = await browser.newContext({ viewport: phone });
  let shown;
  await context.route('**', async (route) => {
    const { pathname } = new URL(route.request().url());
    const asset = await ours(pathname);
    if (pathname === '/page') await route.fulfill({ contentType: 'text/html; charset=utf-8', body: shown });
    else await route.fulfill(asset ?? { status: 404, body: '' });
  });
  const tab = await context.newPage();
  const found = [];
  for (let next = left.pop(); next; next = left.pop()) {
    const { file, html } = next;
    // What leads on by itself would lead away from under axe.
    shown = html.replace(/<meta http-equiv="refresh"[^>]*>/, '').replace(/<script[^>]*post-out[^>]*><\/script>/, '');
    // The scheme changes colours and nothing else.
    for (const [scheme, runOnly] of [['light', { type: 'tag', values: tags }], ['dark', { type: 'rule', values: ['color-contrast'] }]]) {
      await tab.emulateMedia({ colorScheme: scheme });
      if (scheme === 'light') {
        await tab.goto('http://pages.invalid/page', { waitUntil: 'load' });
        await tab.evaluate(axeSource);
      }
      const { violations } = await tab.evaluate((only) => globalThis.axe.run(document, { runOnly: only, resultTypes: ['violations'] }), runOnly);
      for (const { id, help, nodes } of violations) {
        for (const node of nodes) found.push(`${short(file)} axe (${scheme}): ${id}: ${help}: ${node.target.join(' ')}`);
      }
    }
  }
  return found;
}

// ours are the files that pages load, as the server makes them: the parts of the script
// in blocks (pageScript in internal/page/assets.go).
const assets = new URL('../internal/page/assets/', import.meta.url);
const read = (name) => readFile(new URL(name, assets), 'utf8').catch(() => undefined);

async function ours(pathname) {
  if (pathname === '/mailbox.css') {
    return { contentType: 'text/css', body: await readFile(new URL('../internal/mailbox/mailbox.css', import.meta.url), 'utf8') };
  }
  const [, name, ending] = pathname.match(/^\/assets\/([a-z-]+)\.[0-9a-f]+\.(css|js|svg)$/) ?? [];
  if (!name) return undefined;
  if (ending === 'js') return { contentType: 'text/javascript', body: `{\n${await read('parvis.js')}}\n{\n${await read('passkey.js')}}\n` };
  return { contentType: ending === 'css' ? 'text/css' : 'image/svg+xml', body: await read(`${name}.${ending}`) };
}

// short is a file's name with its language's folder.
function short(file) {
  return join(...file.replace(/^file:/, '').split('/').slice(-2));
}

// --- The command --------------------------------------------------------------

if (import.meta.url === pathToFileURL(argv[1]).href) {
  const { pages, faults } = await judge(...argv.slice(2));
  for (const fault of faults) console.log(fault);
  console.log(`note: ${pages} pages, ${faults.length} faults (${argv.slice(2).map((folder) => basename(folder)).join(', ')})`);
  exit(faults.length > 0 || pages === 0 ? 1 : 0);
}
