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
import { HtmlValidate, StaticConfigLoader } from 'html-validate';
import { executablePath, flags } from './lib.mjs';

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
  const found = await Promise.all([nu(files), validate(pages), axe(pages), fits(pages)]);
  return { pages: files.length, faults: [...new Set(found.flat())].sort() };
}

// --- Nu -----------------------------------------------------------------------

// One Java machine reads all files, and ends before Java's second compiler would spare what it
// costs. The first one's code needs a larger stack. Its exit code says nothing that its output does not.
// What a person typed stands in its field again, however wrong it is for it. And of a page with few
// words and a random reference Nu guesses the language wrongly now and then.
const typed = /^Bad value .* for attribute .value. on element .input.|^Forbidden code point|^This document appears to be written in/s;

async function nu(files) {
  const jar = require.resolve('vnu-jar/build/dist/vnu.jar');
  const machine = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xss4m'];
  const child = spawn('java', [...machine, '-jar', jar, '--stdout', '--format', 'json', '--exit-zero-always', ...files], { stdio: ['ignore', 'pipe', 'inherit'] });
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
    'long-title': 'off', // a title holds what people called things
    'form-dup-name': ['error', { shared: ['radio', 'button', 'submit'] }], // of buttons only the pressed one is sent
    // A page that waits for applications to sign people out, or for what another tab opens,
    // goes on by itself after some seconds, and has a button for it.
    'meta-refresh': 'off',
    'wcag/h32': 'off', // a button may stand outside of its form, which names it
    // Letters have styles in their tags, since many mail programs drop all others; tables to
    // lay them out, and comments that only Outlook reads. Pages have the policy, and
    // TestEveryPageIsSound.
    'no-inline-style': 'off',
    'no-conditional-comment': 'off',
    'prefer-tbody': 'off',
  },
};

// It would work the rules out again for each page, which takes nearly as long as to judge it.
class Once extends StaticConfigLoader {
  getConfigFor(...asked) { return this.known ??= super.getConfigFor(...asked); }
}

async function validate(pages) {
  const judgement = new HtmlValidate(new Once(rules));
  // A button without a type sends its form (HTML §4.10.6), which it does not know.
  const found = [];
  for (const { file, html } of pages) {
    const { results } = await judgement.validateString(html.replace(/<button(?![^>]* type=)/g, '<button type="submit"'), file);
    for (const m of results.flatMap((r) => r.messages)) found.push(`${short(file)}:${m.line} html-validate: ${m.ruleId}: ${m.message}`);
  }
  return found;
}

// --- axe ----------------------------------------------------------------------

const phone = { width: 390, height: 844 };
const axeSource = await readFile(require.resolve('axe-core/axe.min.js'), 'utf8');
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
const tabs = 2;

async function axe(pages) {
  const browser = await chromium.launch({ executablePath, args: flags });
  try {
    const left = distinct(pages);
    const colours = new Set(distinct(left, () => 'any'));
    const found = await Promise.all(Array.from({ length: tabs }, () => look(browser, left, colours)));
    return found.flat();
  } finally {
    await browser.close();
  }
}

// distinct leaves out what would show axe nothing new. Each pair of neighbouring elements, with
// their classes and attributes, is on some page that it keeps, in each language that has it. Pages
// with the most pairs that none before had come first, so these are few.
function distinct(pages, languageOf = (html) => html.match(/<html [^>]*lang="([a-z]+)/)?.[1]) {
  const kept = [];
  let left = pages.map((page) => ({ page, pairs: pairsIn(page.html, languageOf(page.html)) }));
  while (left.length > 0) {
    const best = left.reduce((most, one) => (one.pairs.size > most.pairs.size ? one : most));
    kept.push(best.page);
    left = left.filter((one) => one !== best);
    for (const { pairs } of left) for (const pair of best.pairs) pairs.delete(pair);
    left = left.filter(({ pairs }) => pairs.size > 0);
  }
  return kept;
}

function pairsIn(html, language) {
  const pairs = new Set();
  let before = language;
  for (const [, tag, attributes] of html.matchAll(/<([a-z][a-z0-9]*)((?:[^>"]|"[^"]*")*)>/g)) {
    const told = [...attributes.matchAll(/\s([a-z-]+)(?:="([^"]*)")?/g)]
      .map(([, name, value]) => (['class', 'type', 'role', 'aria-invalid'].includes(name) ? `${name}=${value}` : name));
    const element = [tag, ...told].join(' ');
    pairs.add(`${language} ${before} > ${element}`);
    before = element;
  }
  return pairs;
}

// look takes pages from those that are left until there is none. They are written into
// one document, one after the other, so that axe is read once and nothing is loaded:
// styles are put into the page, what only a script shows is shown, and no script runs.
async function look(browser, left, colours) {
  const context = await browser.newContext({ viewport: phone });
  await context.route('**', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>Empty</title>' }));
  const tab = await context.newPage();
  await tab.goto('http://pages.invalid/');
  await tab.evaluate(axeSource);
  const found = [];
  for (let next = left.pop(); next; next = left.pop()) {
    await tab.evaluate((html) => {
      document.open();
      document.write(html);
      document.close();
      for (const hidden of document.querySelectorAll('[hidden]')) hidden.hidden = false;
      for (const closed of document.querySelectorAll('[popover]')) closed.removeAttribute('popover');
    }, still(next.html));
    // The scheme changes colours and nothing else, and the language no colours.
    const coloured = colours.has(next);
    const light = { runOnly: { type: 'tag', values: tags }, rules: { 'color-contrast': { enabled: coloured } } };
    const dark = { runOnly: { type: 'rule', values: ['color-contrast'] } };
    for (const [scheme, what] of coloured ? [['light', light], ['dark', dark]] : [['light', light]]) {
      await tab.emulateMedia({ colorScheme: scheme });
      const broken = await tab.evaluate(async (asked) => {
        const { violations } = await globalThis.axe.run(document, { ...asked, resultTypes: ['violations'], iframes: false });
        return violations.flatMap(({ id, help, nodes }) => nodes.map(({ target }) => `${id}: ${help}: ${target.join(' ')}`));
      }, what);
      for (const fault of broken) found.push(`${short(next.file)} axe (${scheme}): ${fault}`);
    }
  }
  return found;
}

// --- Phones -------------------------------------------------------------------

const widths = [320, 390];
const edge = 4;

// fits measures every page, not only the distinct ones: a longer word can be what does not fit.
export async function fits(pages) {
  const browser = await chromium.launch({ executablePath, args: flags });
  try {
    const left = pages.filter(({ html }) => html.includes('href="/assets/parvis')); // letters are measured elsewhere
    const found = await Promise.all(widths.map((width) => measureAll(browser, left, width)));
    return found.flat();
  } finally {
    await browser.close();
  }
}

// A tab keeps its width: to change it takes longer than to write the page once more.
async function measureAll(browser, pages, width) {
  const context = await browser.newContext({ viewport: { width, height: 844 } });
  await context.route('**', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>Empty</title>' }));
  const tab = await context.newPage();
  await tab.goto('http://pages.invalid/');
  const found = [];
  for (const next of pages) {
    await tab.evaluate((html) => {
      document.open();
      document.write(html);
      document.close();
    }, still(next.html));
    for (const fault of await tab.evaluate(measure, edge)) found.push(`${short(next.file)} phone (${width}): ${fault}`);
  }
  return found;
}

// measure runs in the page, and again with each thing open that can be opened.
function measure(edge) {
  const width = document.documentElement.clientWidth;
  const faults = new Set();
  const name = (element) => {
    const words = (element.textContent ?? '').trim().replace(/\s+/g, ' ').slice(0, 40);
    return `<${element.localName}${element.className && typeof element.className === 'string' ? ` class="${element.className}"` : ''}> ${words}`;
  };
  // A table of figures may scroll by itself, inside .scrolls.
  const unseen = (element) => element.closest('.unseen, .cards > thead, .scrolls, svg') !== null;
  const judge = (element, { left, right, width: wide }) => {
    if (wide <= 1 || (right <= width - edge + 0.5 && left >= edge - 0.5) || unseen(element)) return;
    faults.add(`it ${right > width + 0.5 || left < -0.5 ? 'stands beyond the screen' : 'touches the edge'}: ${name(element)}`);
  };
  const look = (root) => {
    if (document.documentElement.scrollWidth > width) faults.add(`the page scrolls sideways: ${document.documentElement.scrollWidth}`);
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
      const parent = text.parentElement;
      if (text.data.trim() === '' || ['SCRIPT', 'STYLE', 'NOSCRIPT', 'OPTION'].includes(parent.tagName) || parent.closest('summary')) continue;
      const range = document.createRange();
      range.selectNodeContents(text);
      for (const box of range.getClientRects()) judge(parent, box);
    }
    for (const element of root.querySelectorAll('input, select, textarea, button, img, summary, .panel, .card > *')) judge(element, element.getBoundingClientRect());
    for (const element of [root, ...root.querySelectorAll('*')]) {
      const cut = element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 1;
      if (cut && !unseen(element) && !['INPUT', 'SELECT', 'TEXTAREA', 'SUMMARY', 'IFRAME'].includes(element.tagName) && getComputedStyle(element).overflowX !== 'visible') faults.add(`it is cut off: ${name(element)}`);
    }
  };
  look(document.body);
  for (const popover of document.querySelectorAll('[popover]')) {
    if (document.querySelector(`[popovertarget="${popover.id}"]`).checkVisibility() === false) continue;
    document.querySelector(`[popovertarget="${popover.id}"]`).click();
    judge(popover, popover.getBoundingClientRect());
    look(popover); // it lies above the rest, which stays where it is
    popover.hidePopover();
  }
  const folded = [...document.querySelectorAll('details:not([open])')];
  for (const details of folded) details.open = true;
  if (folded.length > 0) look(document.body);
  for (const details of folded) details.open = false;
  return [...faults];
}

// still is a page that neither loads anything nor leads on by itself. What has no
// background of its own gets the browser's, which axe takes for white in the dark too.
function still(html) {
  const links = /<link rel="stylesheet" href="\/(assets\/parvis|assets\/hall|mailbox)[^>]*>/g;
  const sheets = [...html.matchAll(links)].map(([, sheet]) => styles[sheet]);
  const style = `<style>:where(html) { background: Canvas }\n${sheets.join('\n')}</style>`;
  return html.replace(links, '').replace('</head>', () => `${style}</head>`)
    .replace(/<meta http-equiv="refresh"[^>]*>/, '')
    .replace(/<script [^>]*src=[^>]*><\/script>/g, '')
    .replace(/(<i(?:frame|mg)\b[^>]*?) src="(?!data:)[^"]*"/g, '$1');
}

const styles = {
  'assets/parvis': await readFile(new URL('../internal/page/assets/parvis.css', import.meta.url), 'utf8'),
  'assets/hall': await readFile(new URL('../internal/page/assets/hall.css', import.meta.url), 'utf8'),
  mailbox: await readFile(new URL('../internal/mailbox/mailbox.css', import.meta.url), 'utf8'),
};

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
