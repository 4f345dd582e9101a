// What the dashboard shows of the hub: well, without its storage, operated by hand, with
// a watcher that has failed, and gone.
import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { caddyfile, look, openDashboard, part, password, says, seen, work } from './dashboard.mjs';
import { Redis, Server, startBrowser, until } from './harness.mjs';

let redis, server, browser;
before(async () => {
  redis = await Redis.start();
  browser = await startBrowser();
  server = await Server.start(`redis redis://127.0.0.1:${redis.port}`, caddyfile);
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await redis?.kill();
});

const alice = () => ({ httpCredentials: { username: 'alice', password } });
const users = () => `http://127.0.0.1:${server.users}`;
const breaker = (page) => part(page, 'Circuit breakers').locator('.card').filter({ has: page.getByRole('heading', { name: /^redis/ }) });

test('Redis goes and comes back: Live, Degraded with reasons and what waits, Live', async (t) => {
  const page = await openDashboard(t, browser, server.url);
  await says(page, 'Live');
  t.after(work(server, 40));
  await seen(part(page, 'Live events').locator('li').nth(20));
  assert.equal(await page.getByRole('button', { name: 'Trip' }).count(), 0); // a local client is no user
  await look(page, 'live');

  await redis.kill();
  await says(page, 'Degraded');
  await seen(page.locator('.badge').getByText(/circuit breaker|breaker/));
  await seen(page.locator('.badge').getByText(/\d events wait to be stored/));
  await seen(page.locator('.tile', { hasText: 'Journal depth' }).locator('.value', { hasText: /[1-9]/ }));
  await seen(breaker(page).getByRole('heading', { name: /Open|Half-open/ }));
  await seen(breaker(page).getByText('Last error'));
  const rows = part(page, 'Live events').locator('li');
  await until('events go on to come', async () => await rows.count() > 60);
  await look(page, 'degraded');

  await redis.launch();
  await says(page, 'Live');
  await seen(breaker(page).getByRole('heading', { name: /Closed/ }));
  await breaker(page).getByText(/transitions, the last to closed/).click();
  await seen(breaker(page).locator('li').filter({ hasText: /closed → open/ }));
  await look(page, 'recovered', part(page, 'Circuit breakers'));
});

test('alice trips the breaker, holds it, releases it and resets it', async (t) => {
  const page = await openDashboard(t, browser, users(), alice());
  await says(page, 'Live');
  await seen(page.locator('header').getByText('connected by WebSocket'));
  const button = (name) => breaker(page).getByRole('button', { name });

  await button('Trip').click();
  await look(page, 'trip');
  await page.getByLabel('Cause').fill('maintenance at night');
  await page.getByRole('button', { name: 'Trip it' }).click();
  await seen(page.getByText('redis was tripped.'));
  await breaker(page).locator('summary').click();
  await seen(breaker(page).locator('li').filter({ hasText: 'trip: maintenance at night' }));

  await button('Hold').click();
  await page.getByLabel('For').selectOption('10m');
  await page.getByRole('button', { name: 'Hold it' }).click();
  await seen(breaker(page).getByRole('heading', { name: 'redis Open' }));
  await seen(breaker(page).getByText(/forced-open, for another (10|9) min/));
  assert.ok(await server.post({ type: 'step:started', sessionId: 'release-2.4', action: 'publish' }));
  await says(page, 'Degraded');
  await look(page, 'held', part(page, 'Circuit breakers'));

  await button('Release').click();
  await seen(page.getByText('redis was released.'));
  await says(page, 'Live');
  await button('Reset').click();
  await seen(page.getByText('redis was reset.'));
  await seen(breaker(page).getByText('0 in a row'));
});

test('a watcher fails, and watches again', async (t) => {
  const page = await openDashboard(t, browser, server.url);
  const session = part(page, 'Sessions').locator('li', { hasText: 'website' });
  await seen(session.getByText('watching'));
  t.after(() => mkdirSync(join(server.dir, 'project'), { recursive: true }));
  rmSync(join(server.dir, 'project'), { recursive: true });
  await seen(session.getByText(/retrying, [12] of 2/));
  await seen(session.getByText('failed after 2 retries'));
  await seen(part(page, 'Live events').getByText('watcher:failed'));
  await look(page, 'watcher', part(page, 'Sessions'));
  mkdirSync(join(server.dir, 'project'));
  await seen(session.getByText('watching'));
});

test('the hub goes and comes back', async (t) => {
  const page = await openDashboard(t, browser, server.url);
  await says(page, 'Live');
  await server.end();
  await says(page, 'Down');
  await seen(page.locator('.badge').getByText('what is below is from before'));
  await look(page, 'down');
  await server.launch();
  await says(page, 'Live');
  await seen(page.locator('header').getByText('connected by WebSocket'));
});

test('the hub freezes: it is down as long as it says nothing', async (t) => {
  const page = await openDashboard(t, browser, server.url);
  await says(page, 'Live');
  t.after(() => server.thaw());
  server.freeze();
  await says(page, 'Down');
  server.thaw();
  await says(page, 'Live');
});
