// Half-open sockets, hidden and offline pages, and what is left: behaviours 4 and 6.
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { client, page, pass, settle } from './harness.mjs';

test('silence is asked about, and any frame is an answer', async (t) => {
  const c = await client(t);
  await c.connect();
  await pass(29900);
  assert.deepEqual(c.socket.sent, [{ type: 'ping' }]);
  c.socket.say({ type: 'status', payload: {} });
  await pass(29900);
  assert.equal(c.socket.sent.length, 1);
  await pass(100);
  assert.equal(c.socket.sent.length, 2);
  assert.equal(c.hub.status, 'connected');
});

test('a socket without a sign of life is replaced without waiting for its close', async (t) => {
  const c = await client(t);
  await c.connect();
  await pass(29900 + 9900);
  assert.equal(c.hub.status, 'connected');
  await pass(100);
  assert.equal(c.hub.status, 'disconnected');
  assert.equal(c.socket.closed, true);
  await pass(1500);
  assert.equal(c.sockets.length, 2);
  c.sockets[0].say({ type: 'event', sessionId: 's', payload: { type: 'session:started', sessionId: 's', id: 'late' } });
  assert.deepEqual(c.events, []);
});

for (const [name, wake] of [
  ['visible', (p) => p.show(true)], ['online', (p) => p.online(true)], ['pageshow', (p) => p.emit('pageshow')],
]) {
  test(`${name} probes an open socket at once`, async (t) => {
    const c = await client(t);
    await c.connect();
    wake(c.page);
    assert.deepEqual(c.socket.sent, [{ type: 'ping' }]);
    await pass(10000);
    assert.equal(c.hub.status, 'disconnected');
  });

  test(`${name} tries at once what is waiting`, async (t) => {
    const c = await client(t);
    c.socket.end();
    wake(c.page);
    await settle();
    assert.equal(c.sockets.length, 2);
  });
}

for (const [name, sleep, wake] of [
  ['hidden', (p) => p.show(false), (p) => p.show(true)],
  ['offline', (p) => p.online(false), (p) => p.online(true)],
]) {
  test(`nothing is burnt while ${name}`, async (t) => {
    const c = await client(t, { failuresBeforePolling: 2 });
    c.hub.subscribe('s', 'c0');
    await c.connect();
    sleep(c.page);
    c.socket.end();
    await pass(60000);
    assert.equal(c.sockets.length, 1);
    wake(c.page);
    await settle();
    assert.equal(c.sockets.length, 2);
    sleep(c.page);
    c.socket.end(); // fails, but counts for nothing
    await pass(60000);
    wake(c.page);
    await settle();
    c.socket.end();
    assert.equal(c.hub.status, 'disconnected'); // the first failure that counts
    await pass(1500);
    c.socket.end();
    await pass(100);
    assert.equal(c.hub.status, 'polling');
    sleep(c.page);
    c.poll.events([], 'c0');
    await pass(60000);
    assert.equal(c.polls.length, 1);
    wake(c.page);
    await pass(100);
    assert.equal(c.polls.length, 2);
  });
}

for (const [name, prepare] of [
  ['connecting', async () => {}],
  ['connected', async (c) => { await c.connect(); }],
  ['waiting', async (c) => { c.socket.end(); }],
  ['polling', async (c) => { c.hub.subscribe('s', 'c'); await c.failAttempts(3); }],
  ['subscribing', async (c) => { await settle(); c.socket.hello(); c.hub.subscribe('a'); }],
  ['postponed', async (c) => {
    c.hub.subscribe('s');
    await c.connect();
    c.socket.say({ type: 'error', code: 'unavailable', sessionId: 's', payload: '' });
  }],
]) {
  test(`close leaves no socket, poll, timer or listener while ${name}`, async (t) => {
    const { signal } = new AbortController();
    const c = await client(t, { signal });
    assert.equal(c.page.listeners(), 3);
    await prepare(c);
    c.hub.close();
    await settle();
    assert.equal(c.hub.status, 'disconnected');
    assert.equal(c.hub.send({ type: 'ping' }), false);
    assert.deepEqual([c.timers.size, c.page.listeners(), getEventListeners(signal, 'abort').length], [0, 0, 0]);
    const { length } = c.sockets;
    c.page.emit('online');
    await pass(60000);
    assert.equal(c.sockets.length, length);
    assert.ok(c.polls.every((p) => p.signal.aborted));
  });
}

test('an abort closes', async (t) => {
  const stop = new AbortController();
  const c = await client(t, { signal: stop.signal });
  await c.connect();
  stop.abort();
  assert.deepEqual([c.hub.status, c.socket.closed, c.timers.size], ['disconnected', true, 0]);
});

test('who is aborted already opens nothing', async (t) => {
  const c = await client(t, { signal: AbortSignal.abort() });
  assert.deepEqual([c.hub.status, c.sockets.length, c.page.listeners()], ['disconnected', 0, 0]);
});

test('who closes at once has opened nothing, as in StrictMode', async (t) => {
  const c = await client(t);
  const { createSessionEvents } = await import('../dist/client.js');
  const before = c.sockets.length;
  createSessionEvents({ WebSocket: c.socket.constructor }).close();
  await settle();
  assert.equal(c.sockets.length, before);
});

test('addresses', async (t) => {
  const { createSessionEvents } = await import('../dist/client.js');
  page();
  for (const [options, socket, poll] of [
    [{}, 'wss://hub.example/ws', 'https://hub.example/api/events/poll/s'],
    [{ url: 'ws://other.example:8/p/ws?x=1' }, 'ws://other.example:8/p/ws?x=1', 'http://other.example:8/p/api/events/poll/s'],
    [{ url: '/hub/ws' }, 'wss://hub.example/hub/ws', 'https://hub.example/hub/api/events/poll/s'],
    [{ pollingFallbackUrl: '/x/api/events/' }, 'wss://hub.example/ws', 'https://hub.example/x/api/events/poll/s'],
  ]) {
    const seen = await new Promise((resolve) => {
      const got = [];
      const note = (url) => { if (got.push(String(url).replace(/\?limit.*/, '')) === 2) resolve(got); };
      for (const transports of [['websocket'], ['poll']]) {
        const hub = createSessionEvents({
          ...options, transports,
          WebSocket: class { constructor(url) { note(url); } close() {} },
          fetch: (url) => { note(url); return new Promise(() => {}); },
        });
        hub.subscribe('s', 'c');
        t.after(hub.close);
      }
    });
    assert.deepEqual(seen.sort(), [socket, poll].sort());
  }
});
