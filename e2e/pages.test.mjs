// The judge of pages proves itself on pages with known faults, so that no fault elsewhere
// means good pages and not a judge that sleeps.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { judge } from './pages.mjs';

const page = (style, main) => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sign in</title><style>:root { color-scheme: light dark } ${style}</style></head>
<body><main><h1>Sign in</h1>${main}</main></body>
</html>
`;

// phone is a page with the link by which a page of ours is known; its style sheet comes after ours.
const phone = (style, main) => page('', main).replace('</head>', `<link rel="stylesheet" href="/assets/parvis.css"></head>`).replace('<main>', `<style>body { display: block } ${style}</style><main>`);

const bad = {
  'twice-the-same-id': [page('', '<p id="a">One</p><p id="a">Two</p>'), /nu: Duplicate ID/, /html-validate: no-dup-id/],
  'pale-in-the-dark': [page('p { color: #595959; background: #fff } @media (prefers-color-scheme: dark) { p { background: #666 } }', '<p class="dim">Forgotten?</p>'),
    /axe \(dark\): color-contrast/],
  'pale-in-the-light': [page('p { color: light-dark(#bbb, #fff) }', '<p class="pale">Forgotten?</p>'), /axe \(light\): color-contrast/],
  'too-small-to-hit': [page('button { font-size: 8px; padding: 0; border: 0; display: block; height: 10px }', '<form><button class="one">A</button><button class="two">B</button></form>'),
    /axe \(light\): target-size/],
  'too-wide-for-a-phone': [phone('p { margin: 2rem } div { width: 380px; margin: 1rem }', '<div><button>Wide</button><p>A line that fits no phone of 320 pixels, however it is held.</p></div>'),
    /phone \(320\): the page scrolls sideways/, /phone \(320\): it stands beyond the screen: <p>/],
  'a-strip-cut-off': [phone('nav { margin: 1rem; white-space: nowrap; overflow-x: auto }', '<nav><a href="/">People</a> <a href="/">Groups</a> <a href="/">Sign-in rules</a> <a href="/">Single sign-on</a> <a href="/">Audit log</a></nav>'),
    /phone \(390\): it is cut off: <nav>/],
  'at-the-edge': [phone('main { margin: 0 } p { margin: 1rem 0 }', '<p>Nothing keeps this line away from the edge.</p>'), /phone \(390\): it touches the edge: <p>/],
  'without-a-label': [page('', '<form><input name="email"></form>'), /axe \(light\): label/],
};

test('each kind of fault is found, and a sound page has none', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'parvis-pages-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const [name, [html]] of Object.entries(bad)) {
    await mkdir(join(folder, 'bad'), { recursive: true });
    await writeFile(join(folder, 'bad', `${name}.html`), html);
  }
  await mkdir(join(folder, 'good'));
  await writeFile(join(folder, 'good', 'sound.html'),
    page('p { margin: 2rem }', '<p>Here <a href="/">is the way</a></p><form><label for="email">E-mail</label> <input id="email" name="email" type="text"> <button>Go on</button></form>'));

  const { pages, faults } = await judge(folder);
  assert.equal(pages, Object.keys(bad).length + 1);
  for (const [name, [, ...wanted]] of Object.entries(bad)) {
    const said = faults.filter((fault) => fault.includes(name)).join('\n');
    for (const want of wanted) assert.match(said, want, name);
  }
  assert.deepEqual(faults.filter((fault) => fault.includes('sound')), []);
});
