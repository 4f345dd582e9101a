// Keys, prefixes, other origins, the React hook and the example, in a real browser.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort, openPage, patience, Server, startBrowser, startCaddy } from './harness.mjs';

let server, browser;
before(async () => {
  browser = await startBrowser();
  server = await Server.start();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const status = (page, want) => page.waitForFunction((s) => window.hub.status === s, want, { timeout: patience, polling: 20 });
const open = async (t, options, path = '/core.html') => {
  const page = await openPage(t, browser, server.url + path);
  await page.evaluate((o) => window.start(o), { sessions: ['s'], ...options });
  return page;
};
const keyed = () => ({ url: `ws://127.0.0.1:${server.keyed}/ws` });

for (const transports of [['websocket', 'poll'], ['poll']]) {
  test(`a wrong key ends in error by ${transports[0]}, without a further attempt`, async (t) => {
    const page = await open(t, { ...keyed(), key: 'wrong', transports });
    await status(page, 'error');
    const { at, errors } = await page.evaluate(() => window.log);
    assert.ok(at.error < 2000, `after ${at.error} ms`);
    assert.deepEqual(errors, [transports[0] === 'poll' ? '401' : '4401']);
    assert.equal(page.sockets.length, transports[0] === 'poll' ? 0 : 1);
    assert.deepEqual(await page.evaluate(() => window.left()), { timers: 0, listeners: 0 }); // so nothing will happen
  });

  test(`the right key of a listed origin comes in by ${transports[0]}`, async (t) => {
    const session = 'keyed-' + transports[0];
    const page = await open(t, { ...keyed(), key: 'secret', sessions: [session], since: new Date(0).toISOString(), transports });
    assert.ok(await server.post({ type: 'a:b', sessionId: session, number: 7 }));
    await page.waitForFunction(() => window.log.events.length === 1, undefined, { timeout: patience });
    assert.deepEqual(await page.evaluate(() => window.log.events), [7]);
  });
}

test('a page of an origin that is not listed is refused for good', async (t) => {
  const page = await openPage(t, browser, `http://127.0.0.1:${server.port}/core.html`); // past the proxy: another port
  await page.evaluate((o) => window.start(o), { ...keyed(), key: 'secret' });
  await status(page, 'error');
  assert.deepEqual(await page.evaluate(() => window.log.errors), ['4403']);
});

test('under a prefix the client finds its hub by itself', async (t) => {
  for (const transports of [['websocket'], ['poll']]) {
    const session = 'prefix-' + transports[0];
    const page = await open(t, { sessions: [session], since: new Date(0).toISOString(), transports }, '/core.html?hub=/hub');
    await server.post({ type: 'a:b', sessionId: session, number: 1 });
    await page.waitForFunction(() => window.log.events.length === 1, undefined, { timeout: patience });
    for (const w of page.sockets) assert.equal(new URL(w.url()).pathname, '/hub/ws');
  }
});

for (const react of [18, 19]) {
  test(`the hook as the original dashboard used it, with React ${react}: StrictMode opens one socket, unmount leaves nothing`, (t) => useHook(t, react));
}

async function useHook(t, react) {
  const [session, other] = ['hook-' + react, 'other-' + react];
  const page = await openPage(t, browser, `${server.url}/hook${react}.html?session=${session}`);
  assert.match(await page.evaluate(() => window.react), new RegExp(`^${react}\\.`));
  const idle = await page.evaluate(() => window.left());
  const shows = (selector, text) => page.waitForFunction(
    ([s, want]) => document.querySelector(s)?.textContent === want, [selector, text], { timeout: patience, polling: 20 });
  await page.evaluate(() => window.mount());
  await shows('#status', 'connected');
  // Subscribed when an event is shown: what was posted before was not for us.
  for (let n = 1; await page.locator('li').count() === 0; n++) await server.post({ type: 'a:b', sessionId: session, number: n });
  await page.locator('button').click();
  await page.evaluate((o) => window.follow(o), other);
  const before = await page.locator('li').count();
  for (let n = 1; await page.locator('li').count() === before; n++) await server.post({ type: 'a:b', sessionId: other, number: 'o' + n });
  const answer = await fetch(`http://127.0.0.1:${server.port}/api/sessions/${session}/input?wait=10`);
  assert.deepEqual((await answer.json()).inputs.map((i) => i.input), ['hello']);
  assert.equal(page.sockets.length, 1);
  await page.evaluate(() => window.unmount());
  await page.waitForFunction(
    (want) => JSON.stringify(window.left()) === want, JSON.stringify(idle), { timeout: patience, polling: 20 });
  assert.ok(page.sockets[0].isClosed() || await page.sockets[0].waitForEvent('close', { timeout: patience }).then(() => true));
  assert.deepEqual(page.problems, []);
}

test('the example, with its own Caddyfile', async (t) => {
  const [port, root] = [await freePort(), fileURLToPath(new URL('../..', import.meta.url))];
  const site = `http://localhost:${port}`;
  const config = readFileSync(join(root, 'examples/dashboard/Caddyfile'), 'utf8');
  assert.equal(config.match(/^http:\/\/localhost:8080 \{$/mg).length, 1);
  await startCaddy(t, '{\n\tadmin off\n}\n' + config.replace('http://localhost:8080 {', site + ' {'), root, site + '/health');
  const page = await openPage(t, browser, site + '/?session=demo', () => document.querySelector('#status').textContent === 'connected');
  const event = { type: 'step:started', sessionId: 'demo', action: 'hello' };
  const answer = await fetch(site + '/api/events', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(event) });
  assert.equal(answer.status, 201);
  await page.locator('li').filter({ hasText: 'step:started {"action":"hello"}' }).waitFor({ timeout: patience });
  assert.equal(await page.locator('#session').textContent(), 'demo');
  assert.deepEqual(page.problems, []);
});

test('the example shows what has happened and what happens', async (t) => {
  const event = (n) => server.post({ type: 'step:started', sessionId: 'demo', id: 'example-' + n, action: 'action ' + n });
  await event(1);
  const page = await openPage(t, browser, server.url + '/example.html', () => document.querySelector('#status').textContent === 'connected');
  const shows = (n) => page.locator('li').filter({ hasText: 'step:started {"action":"action ' + n + '"}' }).waitFor({ timeout: patience });
  await shows(1);
  await event(2);
  await shows(2);
  assert.equal(await page.locator('li').count(), 2);
  server.proxy.cut();
  await page.locator('#status', { hasText: 'disconnected' }).waitFor({ timeout: patience });
  await page.locator('#status', { hasText: /^connected$/ }).waitFor({ timeout: patience });
  await event(3);
  await shows(3);
  assert.deepEqual(await page.locator('li').count(), 3);
  assert.deepEqual(page.problems, []);
  if (process.env.LIFELINE_SHOTS) await page.screenshot({ path: join(process.env.LIFELINE_SHOTS, 'example.png') });
});
