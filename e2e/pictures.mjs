// Makes the picture book out of pages that Go tests wrote to a folder, and of our letters:
// each state on a desk and a phone, light and dark, in each language, in one HTML file to
// browse. ./pictures is the command.
//
//   node e2e/pictures.mjs PAGES LETTERS [FILTER] [OUT.html] [--against OLD.html]

import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join, relative, resolve } from 'node:path';
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { executablePath, flags } from './lib.mjs';
import { whole } from './letters.mjs';

const schemes = ['light', 'dark'];
// Pictures are drawn at the size at which the book has room for a desk; all are about 30 MB.
const pageSizes = { desk: { width: 1280, height: 800, scale: 0.75 }, phone: { width: 390, height: 844, scale: 0.75 } };
const letterSizes = { desk: { width: 640, height: 480, scale: 1 }, phone: { width: 320, height: 480, scale: 1 } };
const tallest = 2400; // what is below that is cut off: lists go on as they began
const tabs = 2;

// --- States -------------------------------------------------------------------

// pagesIn returns the states of PAGES/LANGUAGE/NAME.html. A name with a folder is of the
// group that the folder names.
export async function pagesIn(folder) {
  const states = new Map();
  for (const language of (await readdir(folder)).filter((name) => /^[a-z]{2}$/.test(name)).sort()) {
    const inside = join(folder, language);
    for (const file of await readdir(inside, { recursive: true })) {
      if (file.endsWith('.html')) add(states, file.slice(0, -5), file.includes('/') ? file.split('/')[0] : 'pages', pageSizes, language, join(inside, file));
    }
  }
  return inOrder(states);
}

// lettersIn returns the states of LETTERS/KIND.LANGUAGE.html.
export async function lettersIn(folder) {
  const states = new Map();
  for (const file of await readdir(folder)) {
    const [, kind, language] = file.match(/^(.+)\.([a-z]{2})\.html$/) ?? [];
    if (kind) add(states, `letters/${kind}`, 'letters', letterSizes, language, join(folder, file));
  }
  return inOrder(states);
}

function add(states, name, group, sizes, language, file) {
  if (!states.has(name)) states.set(name, { name, group, sizes, files: {} });
  states.get(name).files[language] = file;
}

const inOrder = (states) => [...states.values()].sort((a, b) => (a.name < b.name ? -1 : 1));

// --- Pictures -----------------------------------------------------------------

// paint gives each state its titles and its pictures, which are WebP by their hash.
async function paint(states) {
  const browser = await chromium.launch({ executablePath, args: flags });
  try {
    const pictures = {};
    const left = [...states].reverse();
    await Promise.all(Array.from({ length: tabs }, () => paintSome(browser, left, pictures)));
    return pictures;
  } finally {
    await browser.close();
  }
}

const assets = new URL('../internal/page/assets/', import.meta.url);
const types = { css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' };
const logo = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><rect width="40" height="40" rx="8" fill="#0e7c66"/><path d="M10 28V13l10 9 10-9v15" fill="none" stroke="#fff" stroke-width="4"/></svg>';

// answer stands for the server: it has the page, its real style sheet and scripts, and one
// picture for every logo and portrait. Nothing leads away from the page.
async function answer(route, html) {
  const request = route.request();
  const { pathname } = new URL(request.url());
  const asset = pathname.match(/^\/assets\/([a-z-]+)(?:\.[0-9a-f]+)?\.(css|js|svg)$/);
  if (asset) return route.fulfill({ contentType: types[asset[2]], body: await readFile(new URL(`${asset[1]}.${asset[2]}`, assets)) });
  if (request.resourceType() === 'image') return route.fulfill({ contentType: types.svg, body: logo });
  if (pathname === '/page') return route.fulfill({ contentType: 'text/html; charset=utf-8', body: html });
  return route.abort();
}

async function paintSome(browser, left, pictures) {
  const context = await browser.newContext();
  let html = '';
  await context.route('**', (route) => answer(route, html));
  const tab = await context.newPage();
  const debug = await context.newCDPSession(tab);
  for (let state = left.pop(); state; state = left.pop()) {
    state.titles = {};
    state.pictures = {};
    for (const [language, file] of Object.entries(state.files)) {
      html = still(await whole(file));
      await tab.goto('https://pages.invalid/page');
      state.titles[language] = await tab.title();
      for (const [size, { scale, ...viewport }] of Object.entries(state.sizes)) {
        await tab.setViewportSize(viewport);
        for (const scheme of schemes) {
          await tab.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
          const picture = await capture(tab, debug, viewport, scale);
          const key = createHash('sha256').update(picture).digest('hex').slice(0, 12);
          pictures[key] = picture;
          state.pictures[`${language} ${size} ${scheme}`] = key;
        }
      }
    }
  }
  await context.close();
}

// still is a page that does not lead on by itself, with the same letters for every id and
// reference that is another each time.
function still(html) {
  return html.replace(/<meta http-equiv="refresh"[^>]*>/, '')
    .replace(/\b([a-z]{2,4})_[a-z2-7]{10,}\b/g, (id, kind) => kind + '_' + 'a'.repeat(id.length - kind.length - 1));
}

async function capture(tab, debug, { width, height }, scale) {
  const all = await tab.evaluate(() => document.documentElement.scrollHeight);
  const { data } = await debug.send('Page.captureScreenshot', {
    format: 'webp', quality: 40, optimizeForSpeed: true, captureBeyondViewport: true,
    clip: { x: 0, y: 0, width, height: Math.min(Math.max(all, height), tallest), scale },
  });
  return data;
}

// --- The book -----------------------------------------------------------------

// bind returns the book: the viewer of pictures.html, the list of states, and each picture as
// a text that the viewer makes an image of when it is looked at.
export async function bind(states, pictures, old) {
  const viewer = await readFile(new URL('pictures.html', import.meta.url), 'utf8');
  const list = states.map(({ name, group, titles, pictures: shown }) => ({ name, group, titles, pictures: shown, ...compared(name, shown, old) }));
  const kept = { ...pictures };
  for (const key of list.flatMap(({ before }) => Object.values(before ?? {}))) kept[key] = old.pictures[key];
  const json = JSON.stringify(list).replaceAll('<', '\\u003c');
  return viewer.replace('<!-- states -->', () => `<script type="application/json" id="states">${json}</script>`)
    .replace('<!-- pictures -->', () => Object.entries(kept).map(([key, data]) => `<script type="text/plain" id="p${key}">${data}</script>`).join('\n'));
}

// compared returns what is different in another book: nothing, or how the state was before.
function compared(name, shown, old) {
  if (!old) return {};
  const was = old.states.find((s) => s.name === name);
  if (!was) return { mark: 'new' };
  const before = Object.fromEntries(Object.entries(was.pictures).filter(([variant, key]) => shown[variant] !== key));
  return Object.keys(before).length > 0 ? { mark: 'changed', before } : {};
}

// unbind reads a book that bind made.
export function unbind(book) {
  const states = JSON.parse(book.match(/<script type="application\/json" id="states">(.*?)<\/script>/s)[1]);
  const pictures = Object.fromEntries([...book.matchAll(/<script type="text\/plain" id="p([0-9a-f]+)">([^<]*)</g)].map(([, key, data]) => [key, data]));
  return { states, pictures };
}

// make paints the states whose name has the filter, and writes the book.
export async function make(states, { filter = '', out, against }) {
  const chosen = states.filter(({ name }) => name.includes(filter));
  if (chosen.length === 0) throw new Error(`no state has ${filter} in its name`);
  const pictures = await paint(chosen);
  await writeFile(out, await bind(chosen, pictures, against && unbind(await readFile(against, 'utf8'))));
  return chosen;
}

// --- The command --------------------------------------------------------------

if (import.meta.url === pathToFileURL(argv[1]).href) {
  const { values, positionals: [pages, letters, ...rest] } = parseArgs({ allowPositionals: true, options: { against: { type: 'string' } } });
  const out = rest.find((word) => word.endsWith('.html')) ?? 'pictures.html';
  const filter = rest.find((word) => !word.endsWith('.html'));
  const states = await make([...await pagesIn(pages), ...await lettersIn(letters)], { filter, out, against: values.against });
  console.log(`${states.length} states: ${relative('.', resolve(out))}`);
}
