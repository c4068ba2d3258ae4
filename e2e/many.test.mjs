// Many people are invited from a file, and exported into one, in a real browser: the file is
// chosen, previewed, corrected and sent as people do it, with script and without.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { accept, follow, look, press, signIn, startDemo, text, until, watched } from './lib.mjs';

let demo;
const complaints = [];

before(async () => { demo = await startDemo(); });
after(async () => { await demo?.stop(); });

const at = (path) => `${demo.address}${path}`;
const file = (content, name = 'people.csv') => ({ name, mimeType: 'text/csv', buffer: Buffer.from(content) });

for (const javaScriptEnabled of [true, false]) {
  describe(javaScriptEnabled ? 'with script' : 'without script', { concurrency: false }, () => {
    let browser;
    let page;
    const who = javaScriptEnabled ? 'script' : 'plain';

    before(async () => {
      browser = await watched(complaints, { javaScriptEnabled });
      page = await browser.newPage();
    });
    after(() => browser?.close());

    test('a file is previewed line by line, corrected in place and sent', async () => {
      if (javaScriptEnabled) {
        await accept(page, demo.links.meridian);
      } else {
        await signIn(page, at('/o/meridian'), 'ana@meridian.example');
      }
      await page.waitForURL('**/o/meridian/home');
      await page.goto(at('/o/meridian/admin/people/invite'));
      await follow(page, 'Many from a file');
      if (javaScriptEnabled) await look(page, 'many');
      await page.locator('input[type=file]').setInputFiles(file(`\uFEFFE-mail;Name;Role\r\n${who}.one@partner.example;"Novak; Kim";Auditor\r\n${who}.two@partner.example;Lin;chief\r\n`));
      await press(page, 'Preview');
      await page.getByRole('button', { name: 'Invite 1 person', exact: true }).waitFor();
      const rows = page.locator('tbody tr');
      assert.equal(await rows.count(), 2);
      assert.match(await rows.first().innerText(), new RegExp(`${who}\\.two@partner\\.example[^]*left out[^]*This role is not known`));
      assert.match(await rows.last().innerText(), /Novak; Kim[^]*Auditor[^]*will be invited/);
      if (javaScriptEnabled) await look(page, 'many-preview');

      const lines = page.locator('textarea[name=people]');
      await lines.fill((await lines.inputValue()).replace('chief', 'helpdesk'));
      await press(page, 'Invite 1 person'); // of a text that was changed since: previewed again, nobody is invited
      await page.getByRole('button', { name: 'Invite 2 people', exact: true }).waitFor();
      await press(page, 'Invite 2 people');
      assert.match(await text(page), /2 people were invited/);
      await follow(page, 'See who is invited');
      const listed = await text(page);
      for (const name of ['one', 'two']) assert.ok(listed.includes(`${who}.${name}@partner.example`), name);
    });

    test('a workbook is named, with what to do', async () => {
      await page.goto(at('/o/meridian/admin/people/invite/many'));
      await page.locator('input[type=file]').setInputFiles(file('PK\u0003\u0004', 'people.xlsx'));
      await press(page, 'Preview');
      await page.locator('[aria-invalid=true]').waitFor();
      assert.match(await text(page), /This is a workbook, not a CSV file/);
    });

    test('the people of a filter are downloaded, and can be invited again from that file', async () => {
      await page.goto(at(`/o/meridian/admin/people?state=invited&q=${who}`));
      await follow(page, 'Export as CSV');
      if (javaScriptEnabled) await look(page, 'export');
      const [saved] = await Promise.all([page.waitForEvent('download'), press(page, 'Download')]);
      assert.match(saved.suggestedFilename(), /^parvis-people-\d{4}-\d\d-\d\d\.csv$/);
      const content = await (await saved.createReadStream()).setEncoding('utf8').toArray().then((parts) => parts.join(''));
      assert.ok(content.startsWith('\uFEFF"email","name","role","state"'), content.slice(0, 60));
      assert.equal(content.trim().split('\r\n').length, 3);
      await page.goto(at('/o/meridian/admin/people/invite/many'));
      await page.locator('input[type=file]').setInputFiles(file(content));
      await press(page, 'Preview');
      await page.locator('tbody tr').first().waitFor();
      assert.match(await text(page), /An invitation to this address is waiting/);
      assert.match(await text(page), /These columns are not read: state, created_utc, last_sign_in_utc, given_name, family_name, external_id\./);
    });
  });
}

test('the list of people is searched while one types, and what is ticked gets its deeds', async () => {
  const browser = await watched(complaints, {});
  try {
    const page = await browser.newPage();
    await signIn(page, at('/o/meridian'), 'ana@meridian.example');
    await page.waitForURL('**/o/meridian/home');
    await page.goto(at('/o/meridian/admin/people'));
    const rows = page.locator('.people tbody tr');
    const all = await rows.count();
    assert.ok(all > 2, `${all} rows`);
    const search = page.locator('input[name=q]');
    await search.pressSequentially('ana@mer');
    await until('one row', async () => (await rows.count()) === 1);
    assert.match(page.url(), /\?q=ana%40mer$/);
    assert.ok(await search.evaluate((field) => field === document.activeElement), 'the field kept the focus');
    assert.match(await page.getByRole('link', { name: 'Export as CSV' }).getAttribute('href'), /q=ana%40mer/);

    const deeds = page.locator('.deeds > summary');
    assert.equal(await deeds.isVisible(), false, 'deeds before anything is ticked');
    const before = await rows.first().boundingBox();
    await page.getByRole('checkbox', { name: 'Ana Duarte' }).check();
    await page.getByText('1 ticked').waitFor();
    assert.deepEqual(await rows.first().boundingBox(), before, 'the list moved');
    await deeds.click();
    await look(page, 'people-deeds');
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('.deeds .item').first().isVisible(), false, 'open after Escape');
    await deeds.click();
    await page.locator('.deeds').getByRole('button', { name: 'End all sessions', exact: true }).click(); // her own: left out, and said so
    assert.match(await text(page), /Ana Duarte/);
    await search.waitFor({ state: 'detached' });
  } finally {
    await browser.close();
  }
});

test('no page broke its policy', () => assert.deepEqual(complaints.filter((line) => !/Failed to load resource.*(409|422)/.test(line)), []));
