// A page follows numbered events while its connection is troubled: it gets each one
// once and in order, and says how it is connected.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openPage, openTab, patience, Redis, Server, startBrowser, startReports, until } from './harness.mjs';

let server, browser;
before(async () => {
  browser = await startBrowser();
  server = await Server.start();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const log = (page) => page.evaluate(() => window.log);
const status = (page, want) => page.waitForFunction((s) => window.hub.status === s, want, { timeout: patience, polling: 20 });
const more = async (page, n = 10) => {
  const had = (await log(page)).events.length;
  await page.waitForFunction((all) => window.log.events.length >= all, had + n, { timeout: patience, polling: 20 });
};

/** Follows a stream of numbered events of a hub through a trouble, and answers what the page said. */
async function follow(t, name, options, trouble, hub = server) {
  const page = await openPage(t, browser, hub.url + '/core.html');
  const publisher = hub.publish(name);
  t.after(() => publisher.stop());
  await page.evaluate((o) => window.start(o), { sessions: [name], since: new Date(0).toISOString(), ...options });
  await trouble(page);
  const n = await publisher.stop();
  await page.waitForFunction((all) => window.log.events.length >= all, n, { timeout: patience, polling: 20 })
    .catch(async (e) => { throw new Error(`${n} events were posted: ${JSON.stringify(await log(page))}`, { cause: e }); });
  const said = await log(page);
  assert.deepEqual(said.events, Array.from({ length: n }, (_, i) => i + 1));
  assert.deepEqual(page.problems, []);
  if (hub === server) assert.deepEqual(said.resets, []);
  return said;
}

test('sockets are refused, and let in again', async (t) => {
  const said = await follow(t, 'refused', {}, async (page) => {
    await status(page, 'connected');
    await more(page);
    await server.proxy.refuse();
    await status(page, 'polling'); // and the polls fail too
    await server.proxy.accept();
    await status(page, 'connected');
    await more(page);
  });
  assert.deepEqual(said.statuses, ['connecting', 'connected', 'disconnected', 'connecting', 'disconnected', 'connecting', 'disconnected', 'connecting', 'polling', 'connected']);
});

test('sockets are dropped, again and again', async (t) => {
  const said = await follow(t, 'dropped', {}, async (page) => {
    for (let i = 0; i < 5; i++) {
      await status(page, 'connected');
      await more(page, 5);
      server.proxy.cut();
      await status(page, 'disconnected');
    }
    await status(page, 'connected');
  });
  assert.deepEqual(said.statuses, ['connecting', ...Array(5).fill(['connected', 'disconnected', 'connecting']).flat(), 'connected']);
});

test('the server freezes, and goes on', async (t) => {
  t.after(() => server.thaw());
  const said = await follow(t, 'frozen', {}, async (page) => {
    await status(page, 'connected');
    await more(page);
    server.freeze();
    const begun = Date.now();
    await status(page, 'disconnected'); // noticed though nothing was closed
    assert.ok(Date.now() - begun < 5000, `noticed after ${Date.now() - begun} ms`);
    await status(page, 'polling');
    server.thaw();
    await status(page, 'connected');
    await more(page);
  });
  assert.ok(said.statuses.includes('polling'));
});

for (const signal of ['SIGTERM', 'SIGKILL']) {
  test(`the server is restarted after ${signal}`, async (t) => {
    await follow(t, 'restarted-' + signal, {}, async (page) => {
      await status(page, 'connected');
      await more(page);
      await server.end(signal);
      await status(page, 'polling');
      await server.launch();
      await status(page, 'connected');
      await more(page);
    });
  });
}

test('the way to the WebSocket is blocked from the beginning', async (t) => {
  t.after(() => server.proxy.block(undefined));
  server.proxy.block('/ws');
  const said = await follow(t, 'blocked', {}, async (page) => {
    await status(page, 'polling');
    await more(page);
    server.proxy.block(undefined);
    await status(page, 'connected');
    await more(page);
    server.proxy.block('/ws');
    server.proxy.cut();
    await status(page, 'polling');
    await more(page);
  });
  assert.deepEqual(said.statuses.filter((s) => s === 'connected' || s === 'polling'), ['polling', 'connected', 'polling']);
  assert.ok(said.at.polling < 20000);
});

test('the page is offline, and online again', async (t) => {
  await follow(t, 'offline', {}, async (page) => {
    await status(page, 'connected');
    await more(page);
    await page.context().setOffline(true);
    server.proxy.cut();
    await status(page, 'disconnected');
    const tried = page.sockets.length;
    await until('there was time to try', () => page.evaluate(() => performance.now() - window.log.at.disconnected > 1500));
    assert.equal(page.sockets.length, tried); // nothing is burnt
    await page.context().setOffline(false);
    await status(page, 'connected');
    await more(page);
  });
});

test('the page is hidden behind another tab, and shown again', async (t) => {
  const reports = await startReports(t);
  const publisher = server.publish('hidden');
  t.after(() => publisher.stop());
  const tab = await openTab(t, `${server.url}/reporting.html?session=hidden&to=${encodeURIComponent(reports.url)}`);
  const last = (kind, want) => until(`${kind} is ${want}`, () => reports.of(kind).at(-1) === want);
  await last('status', 'connected');
  await tab.hide();
  await last('visibility', 'hidden');
  const seen = reports.of('event').length;
  await until('a hidden page goes on', () => reports.of('event').length > seen + 10);
  server.proxy.cut();
  await last('status', 'disconnected');
  const tried = server.proxy.tried;
  const until1500ms = Date.now() + 1500;
  await until('there was time to try', () => Date.now() > until1500ms);
  assert.equal(server.proxy.tried, tried); // nothing is burnt
  await tab.show();
  await last('status', 'connected');
  const n = await publisher.stop();
  await until('all events have come', () => reports.of('event').length >= n);
  assert.deepEqual(reports.of('event'), Array.from({ length: n }, (_, i) => i + 1));
  assert.deepEqual(reports.of('visibility'), ['hidden', 'visible']);
});

test('polls alone, several sessions, and none is lost when one is added', async (t) => {
  const other = server.publish('alone-2');
  t.after(() => other.stop());
  const page = await openPage(t, browser, server.url + '/core.html');
  await page.evaluate(() => {
    const bySession = window.bySession = { 'alone-1': [], 'alone-2': [] };
    window.start({ sessions: ['alone-1'], since: new Date(0).toISOString(), transports: ['poll'], onEvent: (e) => { bySession[e.sessionId].push(e.number); window.log.events.push(0); } });
  });
  const publisher = server.publish('alone-1');
  t.after(() => publisher.stop());
  await more(page);
  await page.evaluate(() => window.hub.subscribe('alone-2'));
  await more(page, 40);
  const counts = [await publisher.stop(), await other.stop()];
  await page.waitForFunction((all) => window.log.events.length >= all, counts[0] + counts[1], { timeout: patience });
  const got = await page.evaluate(() => window.bySession);
  assert.deepEqual(Object.values(got), counts.map((n) => Array.from({ length: n }, (_, i) => i + 1)));
  assert.equal(page.sockets.length, 0);
});

test('Redis is killed, the sockets are dropped meanwhile, and Redis comes back empty', async (t) => {
  const redis = await Redis.start();
  t.after(() => redis.kill());
  const hub = await Server.start(`redis redis://127.0.0.1:${redis.port}`);
  t.after(() => hub.stop());
  const said = await follow(t, 'redis', {}, async (page) => {
    await status(page, 'connected');
    await more(page);
    await redis.kill();
    await more(page); // nobody has to wait for Redis
    hub.proxy.cut();
    await status(page, 'disconnected');
    await status(page, 'connected');
    await more(page);
    await redis.launch();
    await page.waitForFunction(() => window.log.resets.includes('epoch'), undefined, { timeout: patience, polling: 20 });
    await more(page);
  }, hub);
  assert.ok(!said.statuses.includes('polling'));
});
