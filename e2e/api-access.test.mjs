// Who may call the administration's API, in a real browser: a machine that gets rights, a token
// that is shown once, and the command line that asks for consent.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { accept, confirm, follow, heading, look, press, startDemo, text, watched } from './lib.mjs';

let demo;
let page;
const cleanUp = [];
const complaints = [];

before(async () => {
  demo = await startDemo();
  cleanUp.push(demo.stop);
  const browser = await watched(complaints);
  cleanUp.push(() => browser.close());
  page = await browser.newPage();
  await accept(page, demo.links.meridian);
  await page.waitForURL('**/o/meridian/home');
});
after(async () => { for (const stop of cleanUp.reverse()) await stop(); });

const at = (path) => `${demo.address}/o/meridian/admin${path}`;

describe('access to the API', () => {
  test('a machine gets rights, and loses them', async () => {
    await page.goto(at('/applications/add?kind=machine'));
    await page.locator('input[name=name]').fill('Payroll');
    await press(page, 'Add');
    await page.goto(at('/access'));
    await look(page, 'access-begin');
    await follow(page, 'Payroll');
    await look(page, 'access-machine-new');
    await page.getByLabel('see people and invitations').check();
    await page.getByLabel('invite people, change').check();
    await page.getByLabel('Administrator', { exact: true }).check();
    await press(page, 'Give these rights');
    await page.getByText('The rights were given.').waitFor();
    await look(page, 'access-machine');
    await press(page, 'Take the rights away');
    await look(page, 'access-machine-end');
    await confirm(page, 'Take the rights away');
    await page.getByText('The rights were taken away.').waitFor();
    await follow(page, 'Payroll');
    await page.getByLabel('see people and invitations').check();
    await press(page, 'Give these rights');
  });

  test('a token is shown once, and revoked', async () => {
    await page.goto(at('/access'));
    await follow(page, 'Make a token');
    await look(page, 'access-add');
    await page.locator('input[name=name]').fill('Nightly export');
    await page.getByLabel('see people and invitations').check();
    await page.getByLabel('read the audit log').check();
    await press(page, 'Make the token');
    await page.getByText('The token was made.').waitFor();
    await look(page, 'access-made');
    const token = await page.locator('#token').innerText();
    assert.match(token, /^pak_[\w-]{43}$/);
    await follow(page, 'To the list');
    await look(page, 'access');
    assert.ok(!(await page.content()).includes(token));
    await follow(page, 'Nightly export');
    await look(page, 'access-token');
    await press(page, 'Revoke');
    await confirm(page, 'Revoke');
    await page.getByText('The token was revoked.').waitFor();
    assert.doesNotMatch(await text(page), /Nightly export/);
  });

  test('the command line asks, and names what it asks for', async () => {
    const challenge = createHash('sha256').update('a'.repeat(43)).digest('base64url');
    const asked = new URLSearchParams({
      client_id: 'parvis-cli', redirect_uri: 'http://127.0.0.1:1/callback', response_type: 'code', scope: 'parvis.people.read parvis.people.write',
      state: 's', code_challenge: challenge, code_challenge_method: 'S256',
    });
    await page.goto(`${demo.address}/authorize?${asked}`);
    await heading(page, 'Let parvis admin act for you?');
    await look(page, 'access-consent');
    assert.match(await text(page), /see people and invitations/);
    await page.goto(at('/access'));
    await page.getByRole('checkbox', { name: 'Also without a browser, to read' }).check();
    await press(page, 'Save');
    await page.getByText('Saved.').waitFor();
    const begun = await fetch(`${demo.address}/device_authorization`, {
      method: 'POST', body: new URLSearchParams({ client_id: 'parvis-cli', scope: 'parvis.people.read' }),
    });
    await page.goto((await begun.json()).verification_uri_complete);
    await look(page, 'access-device');
    assert.match(await text(page), /The device asked from/);
  });

  test('no page complained', () => assert.deepEqual(complaints, []));
});
