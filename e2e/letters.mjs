// Looks at our letters: as narrow as the smallest phone and as wide as a mail program's
// window, light and dark, and as they are where no picture is shown. Prints what does not
// fit its width.
//
//   node e2e/letters.mjs [FOLDER [NAME...]]
//
// With FOLDER it takes pictures of them, or of those whose names begin with NAME.

import { mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { executablePath, flags } from './lib.mjs';

const testdata = fileURLToPath(new URL('../internal/mail/testdata/', import.meta.url));

const widths = [320, 640];
const looks = ['light', 'dark', 'without pictures'];

// whole returns the HTML of a letter with the picture inside it that a mail program finds
// beside it: KIND.png, or the logo that most have.
export async function whole(file) {
  const html = await readFile(file, 'utf8');
  if (!html.includes('cid:logo')) return html;
  const own = file.replace(/\.[a-z]{2}\.html$/, '.png');
  const picture = await readFile(own).catch(() => readFile(join(dirname(file), 'logo.png')));
  return html.replaceAll('cid:logo', `data:image/png;base64,${picture.toString('base64')}`);
}

async function letters() {
  const names = (await readdir(testdata)).filter((name) => name.endsWith('.html')).sort();
  return Promise.all(names.map(async (name) => ({
    name: name.replace(/\.html$/, ''), html: await whole(join(testdata, name)), bare: await readFile(join(testdata, name), 'utf8'),
  })));
}

// look returns what is wider than its window, and takes a picture of each letter in each look
// if there is a folder for them.
async function look(folder, chosen = () => true) {
  if (folder) await mkdir(folder, { recursive: true });
  const browser = await chromium.launch({ executablePath, args: flags });
  const faults = [];
  try {
    const all = (await letters()).filter(chosen);
    for (const width of widths) {
      const page = await browser.newPage({ viewport: { width, height: 400 } });
      await page.route('**', (route) => route.abort());
      for (const { name, html, bare } of all) {
        for (const seen of folder ? looks : ['light']) {
          await page.emulateMedia({ colorScheme: seen === 'dark' ? 'dark' : 'light' });
          await page.setContent(seen === 'without pictures' ? bare : html);
          const wide = await page.evaluate(() => document.documentElement.scrollWidth);
          if (wide > width) faults.push(`${name} is ${wide} px wide at ${width} px`);
          if (folder) await page.screenshot({ path: join(folder, `${name}-${width}-${seen.replace(' ', '-')}.png`), fullPage: true });
        }
      }
      await page.close();
    }
    if (all.length === 0) faults.push('there are no letters');
  } finally {
    await browser.close();
  }
  return faults;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, ...beginnings] = argv.slice(2);
  const faults = await look(folder, ({ name }) => beginnings.length === 0 || beginnings.some((b) => name.startsWith(b)));
  for (const fault of faults) console.log(fault);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
