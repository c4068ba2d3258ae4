// The scaffolding proves itself on a page of its own, so that a failing journey
// means the program and not the tools.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { axe, foreign, launch, ours, shot, startDemo } from './lib.mjs';

const pages = {
  '/good': `<!doctype html><html lang="en"><head><title>Sign in</title><link rel="stylesheet" href="/style.css"></head>
    <body><main><h1>Sign in</h1><form><label for="email">E-mail</label> <input id="email" name="email"></form></main></body></html>`,
  // One fault that shows always and one that shows in the dark only.
  '/bad': `<!doctype html><html lang="en"><head><title>Sign in</title><link rel="stylesheet" href="/style.css"></head>
    <body><main><h1>Sign in</h1><input name="email"><p class="faint">Forgotten?</p></main></body></html>`,
  '/picture': '<!doctype html><html lang="en"><head><title>Sign in</title></head><body><main><h1>Sign in</h1><img src="OTHER/seen.png" alt=""><a href="OTHER/good">Other</a></main></body></html>',
};
const style = `:root { color-scheme: light dark }
  .faint { color: #595959; background: #fff }
  @media (prefers-color-scheme: dark) { .faint { background: #666 } }`;

let server, address, folder;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parvis-lib-'));
  server = createServer((request, response) => {
    response.setHeader('Content-Security-Policy', "default-src 'none'; img-src *; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
    if (request.url === '/style.css') return response.setHeader('Content-Type', 'text/css').end(style);
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.setHeader('Set-Cookie', 'seen=yes; Max-Age=3600; HttpOnly; SameSite=Lax');
    response.statusCode = pages[request.url] ? 200 : 404;
    response.end(pages[request.url]?.replaceAll('OTHER', address.replace('localhost', '127.0.0.1')) ?? 'Not here');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  address = `http://localhost:${server.address().port}`;
});

after(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true, force: true });
});

test('a profile folder keeps cookies for the next launch', async () => {
  const profile = join(folder, 'profile');
  const first = await launch({ profile });
  await (await first.newPage()).goto(`${address}/good`);
  await first.close();
  const second = await launch({ profile });
  const cookies = await second.cookies(address);
  await second.close();
  assert.equal(cookies.find((cookie) => cookie.name === 'seen')?.value, 'yes');
});

test('axe accepts a good page and names the faults of a bad one, under a strict policy', async () => {
  const context = await launch();
  try {
    const page = await context.newPage();
    await page.goto(`${address}/good`);
    await axe(page);
    await page.goto(`${address}/bad`);
    await assert.rejects(axe(page), (error) => {
      assert.match(error.message, /label \(light\)/);
      assert.match(error.message, /color-contrast \(dark\)/);
      assert.doesNotMatch(error.message, /color-contrast \(light\)/);
      return true;
    });
  } finally {
    await context.close();
  }
});

test('what a page fetches from another origin is noticed, and where it leads is not', async () => {
  const context = await launch();
  try {
    const page = await context.newPage();
    await page.goto(`${address}/picture`);
    await page.waitForLoadState();
    assert.deepEqual(foreign, [], 'a page of somebody else');
    ours.add(address);
    await page.goto(`${address}/picture`);
    await page.getByRole('link').click();
    await page.waitForURL('**/good');
    assert.deepEqual(foreign.splice(0), [`${address}/picture fetched ${address.replace('localhost', '127.0.0.1')}/seen.png`]);
  } finally {
    await context.close();
  }
});

test('shot stores four pictures where PARVIS_SHOTS says, and none without it', async () => {
  const shots = process.env.PARVIS_SHOTS;
  const context = await launch();
  try {
    const page = await context.newPage();
    await page.goto(`${address}/good`);
    delete process.env.PARVIS_SHOTS;
    await shot(page, 'nowhere');
    process.env.PARVIS_SHOTS = join(folder, 'shots');
    await shot(page, 'good');
    assert.deepEqual((await readdir(process.env.PARVIS_SHOTS)).sort(),
      ['good-desk-dark.png', 'good-desk-light.png', 'good-phone-dark.png', 'good-phone-light.png']);
    for (const name of await readdir(process.env.PARVIS_SHOTS)) {
      assert.ok((await stat(join(process.env.PARVIS_SHOTS, name))).size > 1000, name);
    }
    assert.deepEqual(page.viewportSize(), { width: 1280, height: 800 });
  } finally {
    if (shots === undefined) delete process.env.PARVIS_SHOTS;
    else process.env.PARVIS_SHOTS = shots;
    await context.close();
  }
});

test('startDemo reads the addresses, and stop ends the program', async (t) => {
  const binary = process.env.PARVIS_BINARY;
  t.after(() => {
    if (binary === undefined) delete process.env.PARVIS_BINARY;
    else process.env.PARVIS_BINARY = binary;
  });
  process.env.PARVIS_BINARY = join(folder, 'program');

  const stub = async (body) => {
    await writeFile(process.env.PARVIS_BINARY, `#!/bin/sh\n${body}\n`);
    await chmod(process.env.PARVIS_BINARY, 0o755);
  };
  await stub(`echo '{"address":"http://localhost:4711","links":{"meridian":"http://localhost:4711/x"}}'\nexec sleep 60`);
  const demo = await startDemo();
  assert.equal(demo.address, 'http://localhost:4711');
  assert.equal(demo.links.meridian, 'http://localhost:4711/x');
  assert.match(demo.output(), /4711/);
  await demo.stop();

  await stub("echo 'no such flag' >&2\nexit 2");
  await assert.rejects(startDemo(), /named no address:\nno such flag/);
});
