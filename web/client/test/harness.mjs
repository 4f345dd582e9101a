// A clock, WebSockets and fetch that a test holds in its hands, and a page that can be
// hidden and taken offline.
import { mock } from 'node:test';
import { createSessionEvents } from '../dist/client.js';

export class FakeSocket {
  static all = [];

  constructor(url, protocols) {
    Object.assign(this, { url, protocols, sent: [], closed: false, at: Date.now() });
    FakeSocket.all.push(this);
  }

  send(text) { this.sent.push(JSON.parse(text)); }
  close() { this.closed = true; }

  // What the server and the network do.
  say(message) { this.onmessage?.({ data: JSON.stringify(message) }); }
  hello(payload = {}) { this.say({ type: 'subscription_confirmed', payload: { protocol: 1, longPoll: true, ...payload } }); }
  confirm(sessionId, cursor, more) { this.say({ type: 'subscription_confirmed', sessionId, cursor, ...more }); }
  event(sessionId, id, cursor, more) { this.say({ type: 'event', sessionId, cursor, payload: { type: 'a:b', sessionId, id, ...more } }); }
  end(code = 1006, reason = '') { this.onclose?.({ code, reason }); }
}

class Target extends EventTarget {
  listeners = new Map();

  addEventListener(name, f) { this.listeners.set(name, (this.listeners.get(name) ?? 0) + 1); super.addEventListener(name, f); }
  removeEventListener(name, f) { this.listeners.set(name, this.listeners.get(name) - 1); super.removeEventListener(name, f); }
}

export function page() {
  const document = Object.assign(new Target(), { visibilityState: 'visible' });
  const window = new Target();
  const navigator = { onLine: true };
  globalThis.document = document;
  globalThis.location = { href: 'https://hub.example/dashboard/' };
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
  globalThis.addEventListener = window.addEventListener.bind(window);
  globalThis.removeEventListener = window.removeEventListener.bind(window);
  return {
    show(visible) {
      document.visibilityState = visible ? 'visible' : 'hidden';
      document.dispatchEvent(new Event('visibilitychange'));
    },
    online(online) {
      navigator.onLine = online;
      window.dispatchEvent(new Event(online ? 'online' : 'offline'));
    },
    emit: (name) => window.dispatchEvent(new Event(name)),
    listeners: () => [...document.listeners.values(), ...window.listeners.values()].reduce((a, b) => a + b, 0),
  };
}

/** Lets promises go on as far as they can. */
export async function settle() {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => { setImmediate(resolve); });
}

export async function pass(ms) {
  for (; ms > 0; ms -= 100) {
    mock.timers.tick(Math.min(ms, 100));
    await settle();
    mock.timers.tick(0); // what that has begun
    await settle();
  }
}

/** A client under test, with all that it says written down; `t` ends it. */
export async function client(t, options = {}) {
  const timers = new Set();
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const { setTimeout, clearTimeout } = globalThis;
  globalThis.setTimeout = (f, ms = 0, ...rest) => {
    const id = setTimeout(() => { timers.delete(id); f(...rest); }, ms);
    timers.add(id);
    return id;
  };
  globalThis.clearTimeout = (id) => { timers.delete(id); clearTimeout(id); };
  mock.method(Math, 'random', () => 0); // the shorter end of each draw
  FakeSocket.all = [];
  const c = {
    page: page(), statuses: [], events: [], resets: [], errors: [], messages: [], polls: [], timers,
    get socket() { return FakeSocket.all.at(-1); },
    get sockets() { return FakeSocket.all; },
    get poll() { return c.polls.at(-1); },
    /** A working connection: its hello has come. */
    async connect() {
      await settle();
      c.socket.hello();
      await pass(100);
    },
    /** Fails n attempts, with the pauses between them. */
    async failAttempts(n) {
      for (let i = 0; i < n; i++) {
        const before = c.sockets.length;
        c.socket.end();
        if (i < n - 1) while (c.sockets.length === before) await pass(100);
      }
      await pass(100);
    },
  };
  const fetch = (url, { signal, headers }) => new Promise((resolve, reject) => {
    const poll = {
      url: new URL(url), signal, headers, at: Date.now(),
      answer: (body, status = 200, more = {}) => resolve(new Response(JSON.stringify(body), { status, headers: more })),
      events: (ids, cursor, more) => poll.answer({ events: ids.map((id) => ({ type: 'a:b', sessionId: 's', id })), cursor, ...more }),
      fail: () => reject(new TypeError('Failed to fetch')),
    };
    signal.addEventListener('abort', () => reject(signal.reason));
    c.polls.push(poll);
  });
  c.hub = createSessionEvents({
    WebSocket: FakeSocket, fetch,
    onEvent: (e) => c.events.push(e.id), onStatus: (s) => c.statuses.push(s),
    onReset: (id, reason) => c.resets.push(`${id} ${reason}`),
    onError: (e) => c.errors.push(e), onMessage: (m) => c.messages.push(m), ...options,
  });
  t.after(() => {
    c.hub.close();
    Object.assign(globalThis, { setTimeout, clearTimeout });
    mock.timers.reset();
    mock.restoreAll();
  });
  await settle();
  return c;
}
