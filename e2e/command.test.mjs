// 'parvis admin login' with a real browser: the page names what is asked, and
// the browser comes back to a port of this machine, whatever our pages allow.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { accept, axe, launch, press, shot, startDemo } from './lib.mjs';

describe('the command of administrators', () => {
  let demo;
  let browser;
  let folder;

  before(async () => {
    demo = await startDemo();
    browser = await launch();
    folder = await mkdtemp(join(tmpdir(), 'parvis-command-'));
  });
  after(async () => {
    await browser?.close();
    await demo?.stop();
    if (folder) await rm(folder, { recursive: true });
  });

  // parvis runs a command, and hands each address that it prints to visit.
  const parvis = (args, visit) =>
    new Promise((resolve, reject) => {
      const command = spawn(process.env.PARVIS_BINARY, ['admin', ...args], { env: { PATH: process.env.PATH, XDG_CONFIG_HOME: folder, BROWSER: 'true' } });
      let out = '';
      let notes = '';
      command.stdout.on('data', (chunk) => (out += chunk));
      command.stderr.on('data', (chunk) => {
        const before = notes;
        notes += chunk;
        const address = /^ {2}(http\S+)\n/m;
        if (visit && !address.test(before) && address.test(notes)) visit(address.exec(notes)[1]).catch(reject);
      });
      command.on('close', (code) => resolve({ code, out, notes }));
    });

  test('signs in through the browser, and acts', async () => {
    const page = await browser.newPage();
    await accept(page, demo.links.meridian, 'Ana');
    const signedIn = await parvis(['login', demo.address, '--organization', 'meridian'], async (address) => {
      await page.goto(address);
      await shot(page, 'command-consent');
      await axe(page);
      await press(page, 'Allow');
      await page.getByText('Done here. Go back to the terminal.').waitFor();
    });
    assert.equal(signedIn.code, 0, signedIn.notes);
    assert.match(signedIn.out, /^You are signed in to Meridian Freight as Ana .*\(owner\)/);
    const people = await parvis(['people', '--json']);
    assert.equal(people.code, 0, people.notes);
    assert.ok(JSON.parse(people.out).items.some((u) => u.role === 'owner'));
  });
});
