// Meridian's staff directory in the demo, as its printed text tells it: people are hired,
// renamed, moved, let go and hired again there by a page with switches, and Parvis follows.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { accept, greeted, look, startDemo, text, until, watched } from './lib.mjs';

const complaints = []; // what the pages wrote to the console, policy violations among it
const cleanUp = [];
let demo;

before(async () => {
  demo = await startDemo();
  cleanUp.push(demo.stop);
});
after(async () => { for (const stop of cleanUp.reverse()) await stop(); });

const home = '**/o/meridian/home';

async function fresh() {
  const browser = await watched(complaints);
  cleanUp.push(() => browser.close());
  return browser.newPage();
}

describe('the staff directory', { concurrency: false }, () => {
  let directory;
  let bea;

  const followed = (what) => directory.locator('.last', { hasText: `${what} Parvis has followed.` }).waitFor();
  const turn = (name) => directory.getByRole('button', { name, exact: true }).click();

  test('who is hired there has a letter here, and joins', async () => {
    directory = await fresh();
    await directory.goto(demo.directory);
    await turn('Bea Lindqvist');
    await followed('Hired – Bea Lindqvist');
    await look(directory, 'staff-hired');
    const mailbox = await fresh();
    const letter = mailbox.getByRole('row').filter({ hasText: 'bea@meridian.example' }).getByRole('link');
    await until('a letter to Bea', async () => {
      await mailbox.goto(demo.mailbox);
      return (await letter.count()) > 0;
    });
    await letter.first().click();
    const link = (await mailbox.content()).match(new RegExp(`${demo.address}/invitation/[^"<\\s]+`))[0];
    bea = await fresh();
    await accept(bea, link);
    await bea.waitForURL(home);
    await greeted(bea, 'Bea Lindqvist');
  });

  test('another name and another department are seen here', async () => {
    const row = directory.getByRole('listitem').filter({ hasText: 'bea@meridian.example' });
    await row.getByText('Rename or move').click();
    await look(directory, 'staff-change');
    await row.getByLabel('Family name').fill('Berg');
    await row.getByLabel('Department').selectOption('Dispatch');
    await row.getByRole('button', { name: 'Save' }).click();
    await followed('Renamed and moved – Bea Berg');
    await bea.reload();
    await greeted(bea, 'Bea Berg');
  });

  test('who is let go is out at once, and Ana reads why', async () => {
    await turn('Bea Berg');
    await followed('Let go – Bea Berg');
    await bea.reload();
    assert.ok(!new URL(bea.url()).pathname.endsWith('/home'), `Bea is at ${bea.url()}`);
    const ana = await fresh();
    await accept(ana, demo.links.meridian);
    await ana.waitForURL(home);
    await ana.goto(await directory.getByRole('link', { name: 'See in Parvis what came of it.' }).getAttribute('href'));
    assert.ok((await text(ana)).includes('Staff directory'), 'the source is shown');
  });

  test('with Okta’s habits too, who comes back is let in', async () => {
    await directory.getByRole('button', { name: 'Okta’s habits' }).click();
    await turn('Bea Berg');
    await followed('Hired again – Bea Berg');
    assert.ok((await text(directory)).includes('"active": true'), 'a truth, not a text');
    await look(directory, 'staff-okta');
  });

  test('nobody was warned of a violated policy', () => assert.deepEqual(complaints, []));
});
