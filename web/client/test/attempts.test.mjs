// When it is tried, when it falls back, what is final: behaviours 1, 2, 5.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { client, pass, settle } from './harness.mjs';

test('three failed attempts in a row begin polling', async (t) => {
  const c = await client(t);
  c.hub.subscribe('s', 'c0');
  await c.failAttempts(2);
  assert.equal(c.hub.status, 'disconnected');
  assert.equal(c.polls.length, 0);
  await pass(3000);
  assert.equal(c.sockets.length, 3);
  await c.failAttempts(1);
  assert.deepEqual(c.statuses, ['connecting', 'disconnected', 'connecting', 'disconnected', 'connecting', 'polling']);
  assert.equal(c.poll.url.href, 'https://hub.example/api/events/poll/s?limit=500&wait=25&since=c0');
});

test('an attempt fails once, however many of error, close and timeout it raises', async (t) => {
  const c = await client(t, { failuresBeforePolling: 2 });
  const { onerror, onclose } = c.socket;
  onerror();
  onclose({ code: 1006, reason: '' });
  assert.equal(c.errors.length, 1);
  assert.equal(c.hub.status, 'disconnected');
  await pass(1500);
  assert.equal(c.sockets.length, 2);
  await pass(9900);
  assert.equal(c.hub.status, 'connecting');
  await pass(100); // connectTimeout
  assert.equal(c.hub.status, 'polling');
  assert.equal(c.sockets[1].closed, true);
});

test('success is the hello, not the open socket', async (t) => {
  const c = await client(t);
  c.socket.onopen?.();
  assert.equal(c.hub.status, 'connecting');
  c.socket.hello();
  assert.equal(c.hub.status, 'connected');
});

test('who closes in params has opened nothing', async (t) => {
  let asked = 0;
  const c = await client(t, { params: () => { if (++asked === 2) c.hub.close(); return {}; } });
  await settle();
  c.socket.end();
  await pass(3000);
  assert.deepEqual([asked, c.sockets.length, c.hub.status], [2, 1, 'disconnected']);
});

test('a rejection of params is one failed attempt, and params is asked each time', async (t) => {
  let asked = 0;
  const c = await client(t, {
    params: async () => { if (++asked === 1) throw Object.assign(new Error('no token'), { code: 401 }); return { token: 't' + asked, apiKey: 'ключ' }; },
  });
  assert.equal(c.sockets.length, 0);
  assert.equal(c.errors[0].message, 'no token');
  await pass(1500);
  assert.equal(c.socket.url, 'wss://hub.example/ws?token=t2');
  assert.deepEqual(c.socket.protocols, ['lifeline.v1', 'lifeline.key.0LrQu9GO0Yc']);
});

test('polls carry the key as a Bearer token', async (t) => {
  const c = await client(t, { transports: ['poll'], params: () => ({ apiKey: 'k', a: 'b' }) });
  c.hub.subscribe('a/b', 'c0');
  await pass(100);
  assert.equal(c.poll.url.pathname, '/api/events/poll/a%2Fb');
  assert.equal(c.poll.url.searchParams.get('a'), 'b');
  assert.equal(c.poll.url.searchParams.has('apiKey'), false);
  assert.equal(c.poll.headers.authorization, 'Bearer k');
});

test('while polling the socket is tried at growing intervals', async (t) => {
  const c = await client(t, { maxReconnectInterval: 20000 });
  c.hub.subscribe('s', 'c0');
  const pauses = [];
  for (let i = 0; i < 6; i++) {
    const failedAt = Date.now(), n = c.sockets.length;
    c.socket.end();
    while (c.sockets.length === n) await pass(100);
    pauses.push(c.socket.at - failedAt);
  }
  assert.deepEqual(pauses, [1500, 3000, 6000, 10000, 10000, 10000]); // half of it, the rest is drawn
  assert.deepEqual(c.statuses.at(-1), 'polling');
});

test('the socket that is back ends the running poll', async (t) => {
  const c = await client(t);
  c.hub.subscribe('s', 'c0');
  await c.failAttempts(3);
  const poll = c.poll;
  while (c.sockets.length < 4) await pass(100);
  assert.equal(poll.signal.aborted, false);
  c.socket.hello();
  assert.equal(poll.signal.aborted, true);
  assert.equal(c.hub.status, 'connected');
  await pass(5000);
  assert.equal(c.polls.length, 1);
  c.socket.end();
  assert.equal(c.hub.status, 'disconnected');
});

test('polls that are not held come every pollInterval, others at once', async (t) => {
  const c = await client(t, { transports: ['poll'], pollInterval: 5000 });
  c.hub.subscribe('s', 'c0');
  await pass(100);
  c.poll.events(['1'], 'c1'); // nobody knows whether it would have been held
  await pass(4900);
  assert.equal(c.polls.length, 1);
  await pass(200);
  assert.equal(c.polls.length, 2);
  await pass(2000); // held
  c.poll.events(['2'], 'c2');
  await pass(100);
  assert.equal(c.polls.length, 3);
  assert.equal(c.poll.url.searchParams.get('since'), 'c2');
  assert.deepEqual(c.events, ['1', '2']);
});

test('a hub that has said that it holds polls is asked again at once', async (t) => {
  const c = await client(t);
  c.hub.subscribe('s', 'c0');
  await c.connect();
  c.socket.end();
  await pass(1500);
  await c.failAttempts(3);
  c.poll.events(['1'], 'c1');
  await pass(100);
  assert.equal(c.polls.length, 2);
  c.poll.events([], 'c1'); // ended at once, by another page of the same client
  await pass(1000);
  assert.equal(c.polls.length, 2);
});

test('a poll that is never answered is given up', async (t) => {
  const c = await client(t, { transports: ['poll'] });
  c.hub.subscribe('s', 'c0');
  await pass(34900);
  assert.equal(c.polls.length, 1);
  await pass(300);
  assert.equal(c.polls.length, 2);
  assert.equal(c.polls[0].signal.aborted, true);
});

test('the late answer of a poll that was given up changes nothing', async (t) => {
  const answers = [];
  const signals = [];
  const fetch = (_, { signal }) => { // deaf to its signal
    signals.push(signal);
    return new Promise((resolve) => { answers.push((body) => resolve(new Response(JSON.stringify(body)))); });
  };
  const c = await client(t, { transports: ['poll'], fetch });
  c.hub.subscribe('a', 'ca');
  await pass(100);
  c.hub.subscribe('b', 'cb');
  await pass(100);
  answers[0]({ events: [{ id: '1', type: 'a:b' }], cursor: 'ca1' });
  await pass(10000);
  assert.deepEqual(c.events, []);
  assert.deepEqual(signals.map((s) => s.aborted), [true, false]);
});

test('a session that is added is polled at once, and one that is removed no longer', async (t) => {
  const c = await client(t, { transports: ['poll'] });
  c.hub.subscribe('a', 'ca');
  await pass(100);
  const undo = c.hub.subscribe('b', 'cb');
  await pass(100);
  assert.equal(c.polls[0].signal.aborted, true);
  assert.deepEqual(c.poll.url.searchParams.getAll('session'), ['a', 'b']);
  undo();
  await pass(100);
  assert.equal(c.polls[1].signal.aborted, true);
  assert.equal(c.poll.url.pathname, '/api/events/poll/a');
});

test('hasMore goes on at once', async (t) => {
  const c = await client(t, { transports: ['poll'] });
  c.hub.subscribe('s', 'c0');
  await pass(100);
  c.poll.events(['1'], 'c1', { hasMore: true });
  await pass(100);
  assert.equal(c.polls.length, 2);
});

test('several sessions are asked for in one poll', async (t) => {
  const c = await client(t, { transports: ['poll'] });
  c.hub.subscribe('a', 'ca');
  c.hub.subscribe('b', 'cb');
  await pass(100);
  assert.equal(c.polls.length, 1);
  assert.equal(decodeURIComponent(c.poll.url.search), '?limit=500&wait=25&session=a&since[a]=ca&session=b&since[b]=cb');
  c.poll.answer({ sessions: { a: { events: [{ id: '1', type: 'a:b' }], cursor: 'ca1' }, b: { events: [], cursor: 'cb1', gap: true } } });
  await pass(5100);
  assert.deepEqual(c.events, ['1']);
  assert.deepEqual(c.resets, ['b gap']);
  assert.equal(c.poll.url.searchParams.get('since[a]'), 'ca1');
});

test('more than 50 sessions are asked for in portions that are not held', async (t) => {
  const c = await client(t, { transports: ['poll'] });
  for (let i = 0; i < 60; i++) c.hub.subscribe('s' + i, 'c');
  await pass(100);
  const page = (poll) => poll.answer({ sessions: Object.fromEntries(poll.url.searchParams.getAll('session').map((s) => [s, { events: [], cursor: 'c' }])) });
  assert.equal(c.poll.url.searchParams.getAll('session').length, 50);
  assert.equal(c.poll.url.searchParams.has('wait'), false);
  page(c.poll);
  await pass(100);
  assert.equal(c.polls.length, 2);
  page(c.poll);
  await pass(4900);
  assert.equal(c.polls.length, 2);
  await pass(200);
  assert.equal(c.polls.length, 3);
});

for (const status of [401, 403, 404]) {
  test(`HTTP ${status} is final`, async (t) => {
    const c = await client(t);
    c.hub.subscribe('s', 'c0');
    await c.failAttempts(3);
    c.poll.answer({ error: 'no', message: 'go away' }, status);
    await settle();
    assert.equal(c.hub.status, 'error');
    assert.equal(c.errors.at(-1).message, 'go away');
    assert.equal(c.errors.at(-1).code, status);
    await pass(60000);
    assert.deepEqual([c.sockets.length, c.polls.length, c.timers.size], [3, 1, 0]);
  });
}

for (const code of [4401, 4403]) {
  test(`a close with ${code} is final`, async (t) => {
    const c = await client(t);
    c.socket.end(code, 'not you');
    assert.equal(c.hub.status, 'error');
    assert.deepEqual([c.errors[0].message, c.errors[0].code], ['not you', code]);
    await pass(60000);
    assert.deepEqual([c.sockets.length, c.timers.size], [1, 0]);
  });
}

test('one refused session of several is left out, the others go on', async (t) => {
  const c = await client(t, { transports: ['poll'] });
  c.hub.subscribe('a', 'ca');
  c.hub.subscribe('b', 'cb');
  await pass(100);
  c.poll.answer({ error: 'forbidden', details: { sessionId: 'a' } }, 403);
  await pass(100);
  assert.equal(c.hub.status, 'polling');
  assert.equal(c.errors[0].sessionId, 'a');
  assert.equal(c.poll.url.pathname, '/api/events/poll/b');
});

for (const status of [429, 503]) {
  test(`HTTP ${status} honours Retry-After`, async (t) => {
    const c = await client(t, { transports: ['poll'] });
    c.hub.subscribe('s', 'c0');
    await pass(100);
    c.poll.answer({ error: 'later' }, status, { 'retry-after': '20' });
    await pass(10000);
    c.page.emit('pageshow'); // no reason to come sooner
    await pass(9900);
    assert.equal(c.polls.length, 1);
    await pass(200);
    assert.equal(c.polls.length, 2);
    assert.equal(c.hub.status, 'polling');
  });
}

for (const [code, wait] of [[4429, 20], [1001, 7]]) {
  test(`a close with ${code} honours retryAfter`, async (t) => {
    const c = await client(t);
    await c.connect();
    c.socket.end(code, JSON.stringify({ retryAfter: wait }));
    c.page.emit('online');
    await pass(wait * 1000 - 100);
    assert.equal(c.sockets.length, 1);
    await pass(100);
    assert.equal(c.sockets.length, 2);
  });
}

test('4408 and 1001 reconnect with the cursor, and count for nothing', async (t) => {
  const c = await client(t, { failuresBeforePolling: 1 });
  c.hub.subscribe('s');
  await c.connect();
  c.socket.confirm('s', 'c0');
  for (const code of [4408, 1001]) {
    c.socket.event('s', String(code), 'c' + code);
    c.socket.end(code);
    assert.equal(c.hub.status, 'disconnected');
    await pass(1500);
    await c.connect();
    assert.deepEqual(c.socket.sent, [{ type: 'subscribe', sessionId: 's', since: 'c' + code }]);
    c.socket.confirm('s', 'c' + code, { recovered: true });
  }
});
