// The dashboard in hands: its stream of events, the keyboard, keys, and a thousand events
// a second.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { caddyfile, look, openDashboard, part, password, says, seen } from './dashboard.mjs';
import { patience, Server, startBrowser, until } from './harness.mjs';

let server, browser;
before(async () => {
  browser = await startBrowser();
  server = await Server.start(undefined, caddyfile);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const stream = (page) => part(page, 'Live events');
const rows = (page) => stream(page).locator('li');
const shows = (page, text, n = 1) => until(`${n} rows show ${text}`, async () => await rows(page).filter({ hasText: text }).count() === n);
const file = (session, relativePath) => server.post({ type: 'file:modified', sessionId: session, relativePath });
const keyed = () => `http://127.0.0.1:${server.keyed}`;
const users = () => `http://127.0.0.1:${server.users}`;

test('the stream: what was, what comes, filters, pause, and all bounded', async (t) => {
  for (const s of ['red', 'blue']) await file(s, `src/before-${s}.ts`);
  const page = await openDashboard(t, browser, server.url);
  await shows(page, 'src/before-', 2);
  await file('green', 'src/new.ts'); // a session that comes to be
  await server.post({ type: 'step:started', sessionId: 'green', action: 'compile' });
  await shows(page, 'green', 2);
  await shows(page, 'action: compile');

  const field = (name) => stream(page).getByLabel(name);
  for (const [name, value, left] of [['Type', 'STEP:', 1], ['Session', 'blue', 1], ['Path', 'before-', 2]]) {
    await field(name).fill(value);
    await until(`${name} is chosen`, async () => await rows(page).count() === left);
    await field(name).fill('');
  }
  await part(page, 'Sessions').getByRole('button', { name: 'red' }).click();
  await until('the session is chosen', async () => await field('Session').inputValue() === 'red' && await rows(page).count() === 1);
  await shows(page, 'before-red');
  await field('Session').fill('');

  const toggle = stream(page).getByRole('button', { name: /Pause|Resume/ });
  await toggle.click();
  for (let n = 1; n <= 3; n++) await file('blue', `src/paused-${n}.ts`);
  await seen(stream(page).getByRole('button', { name: 'Resume (3 new)' }));
  assert.equal(await rows(page).filter({ hasText: 'paused' }).count(), 0);
  await toggle.click();
  await shows(page, 'paused', 3);

  await fetch(`http://127.0.0.1:${server.port}/api/events`, {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify(Array.from({ length: 900 }, (_, n) => ({ type: 'test:many', sessionId: 'blue', number: n }))),
  });
  await shows(page, 'number: 899');
  await seen(stream(page).getByText('the last 500'));
  await until('500 are drawn', async () => await rows(page).count() === 500);
  await look(page, 'stream');
  await stream(page).getByRole('button', { name: 'Clear' }).click();
  await seen(stream(page).getByText('Nothing that matches.'));
});

test('an event is copied as the command that posts it again', async (t) => {
  const page = await openDashboard(t, browser, server.url);
  await server.post({ type: 'step:started', sessionId: 'copied', id: 'original', action: "it's here" });
  const row = rows(page).filter({ hasText: 'copied' }).first();
  await row.click();
  await row.getByRole('button', { name: 'Copy as curl' }).click();
  await seen(stream(page).getByText('Copied.'));
  const command = await page.evaluate(() => navigator.clipboard.readText());
  const answer = JSON.parse((await promisify(execFile)('bash', ['-c', command], { timeout: patience })).stdout);
  assert.ok(answer.success && !answer.duplicate, JSON.stringify(answer));
  await shows(page, "it's here", 2);
});

test('a session that is not listed is followed by its name', async (t) => {
  const page = await openDashboard(t, browser, server.url);
  await says(page, 'Live');
  await stream(page).getByLabel('Session').fill('not there yet');
  await page.keyboard.press('Enter');
  await seen(part(page, 'Sessions').getByText('not there yet'));
  await file('not there yet', 'first.txt');
  await shows(page, 'first.txt');
});

test('an event that is listed only when the next status comes is shown', async (t) => {
  const page = await openDashboard(t, browser, server.url);
  await file('late', 'listed-late.ts'); // it is stored, and then listed
  const status = await (await fetch(server.url + '/lifeline/status')).json();
  const told = [{ ...status, sessions: [] }, status].map((s) => `data: ${JSON.stringify(s)}\n\n`).join('');
  await page.route('**/lifeline/status/stream', (route) => route.fulfill({ contentType: 'text/event-stream', body: told }), { times: 1 });
  await page.reload();
  await shows(page, 'listed-late.ts');
});

test('by keyboard alone: a row is opened, a breaker is held, and the focus comes back', async (t) => {
  const page = await openDashboard(t, browser, users(), { httpCredentials: { username: 'alice', password } });
  await file('keys', 'src/keyboard.ts');
  await shows(page, 'keyboard.ts');
  const focused = (text) => page.evaluate((want) => document.activeElement.textContent.includes(want), text);
  const reach = async (text) => {
    for (let n = 0; !await focused(text) || await page.evaluate(() => document.activeElement === document.body); n++) {
      assert.ok(n < 60, `${text} cannot be reached`);
      await page.keyboard.press('Tab');
    }
  };
  await reach('Hold…');
  await page.keyboard.press('Enter');
  await seen(page.getByRole('dialog', { name: 'Hold disk' }));
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached', timeout: patience });
  assert.ok(await focused('Hold…'));
  await page.evaluate(() => document.querySelector('.events summary').focus());
  await page.keyboard.press('Enter');
  await seen(stream(page).locator('pre'));
});

test('an API key is asked for, kept in the tab, and stands in no address', async (t) => {
  const page = await openDashboard(t, browser, keyed());
  const addresses = [];
  page.on('request', (r) => addresses.push(r.url()));
  page.on('websocket', (w) => addresses.push(w.url()));
  await seen(page.getByText('Not signed in'));
  await look(page, 'key');
  const enter = async (key) => {
    await page.getByLabel('API key').fill(key);
    await page.getByRole('button', { name: 'Open' }).click();
  };
  await enter('wrong');
  await seen(page.getByText('This key is not valid'));
  await enter('secret');
  await says(page, 'Live');
  await seen(page.locator('header').getByText('connected by WebSocket'));
  await file('by key', 'src/keyed.ts');
  await shows(page, 'keyed.ts');
  await page.reload();
  await says(page, 'Live');
  assert.equal(await page.evaluate(() => localStorage.length), 0);
  assert.deepEqual(addresses.filter((a) => a.includes('secret') || a.includes('c2VjcmV0')), []);
  await page.getByRole('button', { name: 'Forget the key' }).click();
  await seen(page.getByText('Not signed in'));
});

test('with a password; who may not see the whole hub is told so', async (t) => {
  const page = await openDashboard(t, browser, users(), { httpCredentials: { username: 'alice', password } });
  await says(page, 'Live');
  await seen(part(page, 'Clients').locator('li', { hasText: 'alice' }).first());
  const other = await openDashboard(t, browser, users(), { httpCredentials: { username: 'bob', password } });
  await seen(other.getByText('the status of the whole hub is for'));
});

test('under a prefix', async (t) => {
  const page = await openDashboard(t, browser, server.url + '/hub');
  await says(page, 'Live');
  await seen(page.locator('header').getByText('connected by WebSocket'));
  await file('prefixed', 'src/prefix.ts');
  await shows(page, 'prefix.ts');
});

test('where WebSockets fail, events come by polls, and the page says so', async (t) => {
  t.after(() => server.proxy.block(undefined));
  server.proxy.block('/ws');
  await file('polled', 'src/before-polls.ts');
  const page = await openDashboard(t, browser, server.url);
  await seen(page.locator('header').getByText('connected by polls'));
  await file('polled', 'src/by-polls.ts');
  await shows(page, 'by-polls.ts');
});

test('a thousand events a second do not stall the page: long tasks are few, frames add little', async (t) => {
  const page = await openDashboard(t, browser, server.url);
  await says(page, 'Live');
  await file('busy', 'src/first.ts');
  await shows(page, 'src/first.ts');
  await page.evaluate(() => { // rows that are added at once; the observer is told before the next frame
    window.most = 0;
    const added = (records) => { window.most = Math.max(window.most, records.flatMap((r) => [...r.addedNodes]).filter((n) => n.matches?.('li')).length); };
    new MutationObserver(added).observe(document.querySelector('.events'), { childList: true });
  });
  // A task's own time on the processor: its wall time also has what other processes took.
  const cdp = await page.context().newCDPSession(page);
  const trace = [];
  cdp.on('Tracing.dataCollected', ({ value }) => trace.push(...value));
  await cdp.send('Tracing.start', { transferMode: 'ReportEvents', traceConfig: { includedCategories: ['devtools.timeline', 'disabled-by-default-devtools.timeline'] } });
  const begun = Date.now();
  const posts = [];
  for (let n = 0; n < 5000;) {
    posts.push(fetch(`http://127.0.0.1:${server.port}/api/events`, {
      method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify(Array.from({ length: 50 }, () => ({ type: 'file:modified', sessionId: 'busy', relativePath: `src/part-${++n}.ts` }))),
    }));
    await pause(Math.max(0, begun + n - Date.now())); // the pace
  }
  await Promise.all(posts);
  await shows(page, 'part-5000.ts');
  const ended = new Promise((resolve) => { cdp.once('Tracing.tracingComplete', resolve); });
  await cdp.send('Tracing.end');
  await ended;
  assert.ok(await rows(page).count() <= 500, 'what is drawn is bounded');
  const most = await page.evaluate(() => window.most);
  assert.ok(most > 0 && most <= 20, `at most ${most} rows were added in a frame`);
  // Of all tasks of the page, whatever they do, fewer may be long than one for twenty frames: a
  // single one says only what else the machine did.
  const at = (e) => e.pid + '/' + e.tid;
  const frames = trace.filter((e) => e.name === 'FireAnimationFrame');
  const threads = new Set(frames.map(at));
  const times = trace.filter((e) => e.name === 'RunTask' && e.tdur && threads.has(at(e))).map((e) => e.tdur / 1000).sort((a, b) => b - a);
  const long = times.filter((ms) => ms >= 50).length;
  t.diagnostic(`${long} of ${times.length} tasks took 50 ms, in ${frames.length} frames; the longest ${times.slice(0, 5)} ms`);
  assert.ok(frames.length > 100, 'frames were seen');
  assert.ok(20 * long < frames.length, `${long} tasks took 50 ms, in ${frames.length} frames; the longest ${times.slice(0, 5)} ms`);
});
