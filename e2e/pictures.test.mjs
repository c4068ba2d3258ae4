// The picture book holds every state that it is given, in every way, and can be browsed with
// the keyboard. Which states there are is for the Go tests that write them.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { lettersIn, make, pagesIn, unbind } from './pictures.mjs';
import { launch } from './lib.mjs';

const page = (language, title, more = '') => `<!doctype html>
<html lang="${language}">
<head><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=/elsewhere"><link rel="stylesheet" href="/assets/parvis.0123456789ab.css"><title>${title}</title></head>
<body><main><h1>${title}</h1>${more}</main></body>
</html>
`;

async function write(folder, files) {
  for (const [name, html] of Object.entries(files)) {
    await mkdir(join(folder, name, '..'), { recursive: true });
    await writeFile(join(folder, name), html);
  }
}

test('the book has every state in every way, says what changed, and is turned with keys', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'parvis-pictures-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const [pages, letters] = [join(folder, 'pages'), join(folder, 'letters')];
  await write(pages, {
    'en/home.html': page('en', 'Home'), 'fr/home.html': page('fr', 'Accueil'),
    'en/admin/people.html': page('en', 'People', '<p>usr_aa2b3c4d5e6f7a</p>'), 'fr/admin/people.html': page('fr', 'Personnes'),
    'journeys/en/0123456789-home-200.html': page('en', 'Not in the book'),
  });
  await write(letters, { 'invitation.en.html': page('en', 'Come in'), 'invitation.fr.html': page('fr', 'Entrez'), 'invitation.en.txt': 'Come in' });
  const states = async () => [...await pagesIn(pages), ...await lettersIn(letters)];

  const first = join(folder, 'first.html');
  await make(await states(), { out: first });
  const bound = unbind(await readFile(first, 'utf8'));
  assert.deepEqual(bound.states.map((s) => s.name), ['admin/people', 'home', 'letters/invitation']);
  for (const { name, pictures } of bound.states) {
    const ways = ['en', 'fr'].flatMap((language) => ['desk', 'phone'].flatMap((size) => ['light', 'dark'].map((scheme) => `${language} ${size} ${scheme}`)));
    assert.deepEqual(Object.keys(pictures), ways, name);
    assert.equal(new Set(Object.values(pictures)).size, ways.length, `${name}: no two ways look the same`);
    for (const key of Object.values(pictures)) assert.match(bound.pictures[key], /^UklGR/, `${name} is WebP`);
  }

  await write(pages, {
    'en/admin/people.html': page('en', 'People', '<p>usr_bz2b3c4d5e6f7a</p>'), 'en/home.html': page('en', 'Home', '<p>Something new</p>'), 'en/account.html': page('en', 'Account') });
  const second = join(folder, 'second.html');
  await make(await states(), { out: second, against: first });
  const marks = Object.fromEntries(unbind(await readFile(second, 'utf8')).states.map(({ name, mark, before }) => [name, [mark, Object.keys(before ?? {}).length]]));
  assert.deepEqual(marks, { account: ['new', 0], 'admin/people': [undefined, 0], home: ['changed', 4], 'letters/invitation': [undefined, 0] });

  await assert.rejects(make(await states(), { filter: 'nobody', out: second }), /no state has nobody/);

  const browser = await launch();
  t.after(() => browser.close());
  const tab = await browser.newPage();
  const asked = [];
  tab.on('request', (request) => asked.push(request.url().slice(0, 5)));
  await tab.goto(pathToFileURL(second).href);
  const shown = async () => [await tab.locator('#name').innerText(), await tab.locator('figcaption').allInnerTexts()];
  assert.deepEqual(await shown(), ['account', ['en · desk · light', 'en · phone · light']]);
  await tab.keyboard.press('ArrowDown');
  await tab.keyboard.press('ArrowDown');
  await tab.keyboard.press('c');
  assert.deepEqual(await shown(), ['home', ['en · desk · dark · changed', 'en · phone · dark · changed']]);
  await tab.keyboard.press('l');
  assert.deepEqual(await shown(), ['home', ['fr · desk · dark', 'fr · phone · dark']]);
  await tab.keyboard.press('/');
  await tab.keyboard.type('entrez');
  assert.deepEqual(await tab.locator('#list a').allInnerTexts(), ['invitation']);
  await tab.reload();
  assert.equal((await shown())[0], 'home', 'the address says what is shown');
  assert.deepEqual(asked.filter((kind) => kind !== 'data:' && kind !== 'file:'), [], 'nothing comes from elsewhere');
});
