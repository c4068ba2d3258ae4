// The audit log is exported in a real browser, with script and without, and checked by a program
// that has nothing of ours: with the key, the checkpoint and the command that the console shows.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { accept, axe, follow, look, press, signIn, startDemo, text, until, watched } from './lib.mjs';

const run = promisify(execFile);
let demo;
let folder;
const complaints = [];

before(async () => {
  demo = await startDemo();
  folder = await mkdtemp(join(tmpdir(), 'parvis-audit-'));
});
after(async () => {
  await demo?.stop();
  await rm(folder, { recursive: true, force: true });
});

const at = (path) => `${demo.address}${path}`;

// verify runs the command that the page shows, on a file and with a checkpoint.
const verify = (key, file, old) => run('go', ['run', '../cmd/auditverify', '-key', key, ...(old ? ['-since', old] : []), file], { cwd: import.meta.dirname })
  .then(({ stdout }) => stdout, ({ stderr }) => stderr);

for (const javaScriptEnabled of [true, false]) {
  describe(javaScriptEnabled ? 'with script' : 'without script', { concurrency: false }, () => {
    let browser;
    let page;
    let key;
    const old = () => join(folder, 'old');

    before(async () => {
      browser = await watched(complaints, { javaScriptEnabled });
      page = await browser.newPage();
    });
    after(() => browser?.close());

    const exported = async (name) => {
      const [download] = await Promise.all([page.waitForEvent('download'), press(page, 'Download')]);
      const path = join(folder, name);
      await download.saveAs(path);
      return path;
    };

    test('the key and a checkpoint are shown', async () => {
      if (javaScriptEnabled) {
        await accept(page, demo.links.meridian);
      } else {
        await signIn(page, at('/o/meridian'), 'ana@meridian.example');
      }
      await page.waitForURL('**/o/meridian/home');
      await page.goto(at('/o/meridian/admin/audit'));
      await follow(page, 'Check this log');
      key = await page.locator('#key').innerText();
      await until('something is sealed', async () => {
        await page.reload();
        return !/\b0 entries/.test(await text(page));
      });
      await writeFile(old(), (await page.locator('#checkpoint').textContent()).trim());
      if (javaScriptEnabled) {
        await look(page, 'audit-check');
        await axe(page);
      }
    });

    test('the log is exported and verifies, until a letter of it is changed', async () => {
      await page.goto(at('/o/meridian/admin/audit'));
      await follow(page, 'Export');
      if (javaScriptEnabled) await look(page, 'audit-export');
      const file = await exported('all.jsonl');
      assert.match(await verify(key, file, old()), /^all there, nothing changed: .* it has grown out of the old checkpoint/);
      const lines = (await readFile(file, 'utf8')).split('\n');
      lines[3] = lines[3].replace('"result":"done"', '"result":"refused"');
      const altered = join(folder, 'altered.jsonl');
      await writeFile(altered, lines.join('\n'));
      assert.match(await verify(key, altered), /^line 4: event 2 /);
    });

    test('what is filtered is exported as a table', async () => {
      await page.goto(at('/o/meridian/admin/audit?action=signin.done'));
      await follow(page, 'Export');
      await page.getByRole('radio', { name: 'CSV' }).check();
      const table = await readFile(await exported('some.csv'), 'utf8');
      assert.match(table, /^\uFEFF"sequence","time_utc"/);
      assert.ok(table.includes('"signin.done"') && !table.includes('"user.created"'));
    });
  });
}

test('no page broke its policy', () => assert.deepEqual(complaints, []));
