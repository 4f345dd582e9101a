// Each event once, across transports: behaviour 3. And the iterator.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { client, pass, settle } from './harness.mjs';

test('the position goes from socket to poll and back', async (t) => {
  const c = await client(t);
  c.hub.subscribe('s');
  await c.connect();
  assert.deepEqual(c.socket.sent, [{ type: 'subscribe', sessionId: 's' }]);
  c.socket.confirm('s', 'c0');
  c.socket.event('s', '1', 'c1');
  c.socket.end();
  await pass(1500);
  await c.failAttempts(3);
  assert.equal(c.poll.url.searchParams.get('since'), 'c1');
  c.poll.events(['2', '3'], 'c3');
  while (c.hub.status !== 'connected') {
    await pass(100);
    if (!c.socket.closed) c.socket.hello();
  }
  await pass(100);
  assert.equal(c.socket.sent[0].since, 'c3');
  c.socket.confirm('s', 'c3', { recovered: true });
  c.socket.event('s', '4', 'c4');
  assert.deepEqual(c.events, ['1', '2', '3', '4']);
  assert.deepEqual(c.resets, []);
});

test('an answer that comes behind the hello is dropped', async (t) => {
  const c = await client(t, { fetch: undefined });
  let answer;
  t.mock.method(globalThis, 'fetch', () => new Promise((resolve) => { answer = resolve; })); // deaf to its signal
  c.hub.subscribe('s', 'c0');
  await c.failAttempts(3);
  while (c.sockets.length < 4) await pass(100);
  c.socket.hello();
  answer(new Response(JSON.stringify({ events: [{ id: '1', type: 'a:b' }], cursor: 'c1' })));
  await pass(100);
  assert.deepEqual(c.events, []);
  assert.equal(c.socket.sent[0].since, 'c0');
});

test('without since, a poll begins with what comes after the first answer', async (t) => {
  const c = await client(t, { transports: ['poll'] });
  c.hub.subscribe('s');
  await pass(100);
  assert.equal(c.poll.url.search, '?limit=1');
  c.poll.events(['old'], 'c0');
  await pass(100);
  assert.equal(c.poll.url.search, '?limit=500&wait=25&since=c0');
  assert.deepEqual(c.events, []);
});

test('gap, recovered:false and a new epoch reset; known ids are dropped after it', async (t) => {
  const c = await client(t, { since: '2026-01-01T00:00:00Z' });
  c.hub.subscribe('s');
  await c.connect();
  assert.equal(c.socket.sent[0].since, '2026-01-01T00:00:00Z');
  c.socket.confirm('s', 'c0', { recovered: false, gap: true });
  c.socket.event('s', '1', 'c1');
  c.socket.say({ type: 'epoch', sessionId: 's', cursor: 'e0' });
  c.socket.event('s', '1', 'e1');
  c.socket.event('s', '2', 'e2');
  c.socket.say({ type: 'epoch', sessionId: 's', cursor: 'e3', gap: true });
  assert.deepEqual(c.resets, ['s gap', 's epoch', 's gap']);
  assert.deepEqual(c.events, ['1', '2']);
  c.socket.end();
  await pass(1500);
  await c.connect();
  assert.equal(c.socket.sent[0].since, 'e3');
});

test('the message cursor moves on without an event', async (t) => {
  const c = await client(t);
  c.hub.subscribe('s', 'c0');
  await c.connect();
  c.socket.confirm('s', 'c0', { recovered: true });
  c.socket.say({ type: 'cursor', sessionId: 's', cursor: 'c9' });
  c.socket.end();
  await pass(1500);
  await c.connect();
  assert.equal(c.socket.sent[0].since, 'c9');
});

test('who undoes his subscription in the middle of an answer gets no more of it', async (t) => {
  let undo;
  const got = [];
  const c = await client(t, { transports: ['poll'], onEvent: (e) => { got.push(e.id); undo(); } });
  undo = c.hub.subscribe('s', 'c0');
  await pass(100);
  c.poll.events(['1', '2'], 'c2');
  await pass(100);
  assert.deepEqual(got, ['1']);
});

test('ids are bounded', async (t) => {
  const c = await client(t);
  c.hub.subscribe('s', 'c0');
  await c.connect();
  c.socket.confirm('s', 'c0', { recovered: true });
  for (let i = 0; i <= 5000; i++) c.socket.event('s', 'id' + i, 'c');
  c.socket.event('s', 'id1', 'c'); // remembered
  assert.equal(c.events.length, 5001);
  c.socket.event('s', 'id0', 'c'); // forgotten
  assert.equal(c.events.length, 5002);
});

test('session events of others come once, also to who subscribes then', async (t) => {
  const c = await client(t);
  await c.connect();
  const started = { type: 'event', sessionId: 's', payload: { type: 'session:started', sessionId: 's', id: '1' } };
  c.socket.say(started);
  c.hub.subscribe('s', 'c0');
  await pass(100);
  c.socket.say({ ...started, payload: { ...started.payload, id: '2' } }); // before the confirmation
  c.socket.confirm('s', 'c0', { recovered: true });
  for (const id of ['1', '2', '3']) c.socket.event('s', id, 'c' + id, { type: 'session:started' });
  c.socket.say({ ...started, payload: { ...started.payload, id: '3' } });
  assert.deepEqual(c.events, ['1', '2', '3']);
});

test('an earlier subscription leaves nothing behind', async (t) => {
  const c = await client(t);
  await c.connect();
  const undo = c.hub.subscribe('s', 'c0');
  await pass(100);
  undo();
  undo(); // once is enough
  c.hub.subscribe('s', 'c0');
  await pass(100);
  assert.deepEqual(c.socket.sent.map((m) => m.type), ['subscribe', 'unsubscribe', 'subscribe']);
  c.socket.event('s', '1', 'c1'); // of a subscription of which nobody knows any longer
  assert.deepEqual(c.events, []);
  c.socket.confirm('s', 'c0', { recovered: true });
  c.socket.event('s', '1', 'c1');
  c.socket.confirm('s', 'c0', { recovered: true }); // of the second one
  c.socket.event('s', '1', 'c1');
  c.socket.event('s', '2', 'c2');
  assert.deepEqual(c.events, ['1', '2']);
});

test('a session is followed until its last undo', async (t) => {
  const c = await client(t);
  await c.connect();
  const first = c.hub.subscribe('s');
  const second = c.hub.subscribe('s');
  first();
  first();
  await pass(100);
  assert.deepEqual(c.socket.sent.map((m) => m.type), ['subscribe']);
  second();
  await pass(100);
  assert.deepEqual(c.socket.sent.map((m) => m.type), ['subscribe', 'unsubscribe']);
  c.socket.event('s', '1', 'c1');
  assert.deepEqual(c.events, []);
});

test('many subscriptions stay below the rate that the hub allows', async (t) => {
  const c = await client(t);
  for (let i = 0; i < 100; i++) c.hub.subscribe('s' + i);
  await settle();
  c.socket.hello();
  for (let second = 0; second < 4; second++) {
    const before = c.socket.sent.length;
    await pass(1000);
    assert.ok(c.socket.sent.length - before <= 45, `${c.socket.sent.length - before} in a second`);
  }
  assert.equal(new Set(c.socket.sent.map((m) => m.sessionId)).size, 100);
});

test('a subscription that storage cannot take is asked again, a refused one is not', async (t) => {
  const c = await client(t);
  c.hub.subscribe('busy', 'c0');
  c.hub.subscribe('theirs');
  await c.connect();
  c.socket.say({ type: 'error', code: 'unavailable', sessionId: 'busy', payload: 'later' });
  c.socket.say({ type: 'error', code: 'forbidden', sessionId: 'theirs', payload: 'no' });
  assert.deepEqual(c.errors.map((e) => [e.message, e.code, e.sessionId]), [['later', 'unavailable', 'busy'], ['no', 'forbidden', 'theirs']]);
  await pass(4000);
  assert.deepEqual(c.socket.sent.slice(2), [{ type: 'subscribe', sessionId: 'busy', since: 'c0' }]);
  c.socket.end();
  await pass(1500);
  await c.connect();
  assert.deepEqual(c.socket.sent.map((m) => m.sessionId), ['busy']);
});

test('other messages and what is sent', async (t) => {
  const c = await client(t);
  assert.equal(c.hub.send({ type: 'input' }), false);
  await c.connect();
  assert.equal(c.hub.send({ type: 'input', sessionId: 's', payload: 1 }), true);
  c.socket.say({ type: 'status', payload: { degraded: true } });
  c.socket.say({ type: 'command', sessionId: 's', payload: { type: 'abort' } });
  c.socket.say({ type: 'pong' });
  assert.deepEqual(c.messages.map((m) => m.type), ['status', 'command']);
  assert.deepEqual(c.socket.sent, [{ type: 'input', sessionId: 's', payload: 1 }]);
});

test('the iterator gets the events and ends with its signal, or with the client', async (t) => {
  const c = await client(t);
  c.hub.subscribe('s', 'c0');
  await c.connect();
  c.socket.confirm('s', 'c0', { recovered: true });
  const stop = new AbortController();
  const one = c.hub.events({ signal: stop.signal }), two = c.hub.events();
  const first = one.next(), other = two.next();
  c.socket.event('s', '1', 'c1');
  assert.equal((await first).value.id, '1');
  const last = one.next();
  stop.abort();
  assert.equal((await last).done, true);
  assert.equal((await other).value.id, '1');
  const end = two.next();
  c.hub.close();
  assert.equal((await end).done, true);
});

test('the iterator throws when the hub refuses, and when its reader is too slow', async (t) => {
  const c = await client(t);
  c.hub.subscribe('s', 'c0');
  await c.connect();
  c.socket.confirm('s', 'c0', { recovered: true });
  const slow = c.hub.events(), patient = c.hub.events();
  const first = slow.next();
  c.socket.event('s', 'first', 'c');
  await first;
  const waiting = patient.next();
  for (let i = 0; i <= 10000; i++) c.socket.event('s', 'id' + i, 'c');
  await assert.rejects(slow.next(), /too slow/);
  await waiting.catch(() => {});
  await settle();
  const refused = c.hub.events().next();
  c.socket.end(4403, 'not allowed');
  await assert.rejects(refused, /not allowed/);
});
