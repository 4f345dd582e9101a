import { addresses } from './addresses.js';
import { maxPause, startPolling, type Polling } from './polling.js';
import { createSessions, type Session } from './sessions.js';
import { openSocket, type Socket } from './socket.js';
import type { ConnectionStatus, HubError, HubMessage, SessionEvents, SessionEventsOptions, WorkspaceEvent } from './types.js';
import { awake, onWake } from './wake.js';

export type * from './types.js';

/** Events that an iterator keeps for who is slow. */
const maxQueue = 10000;

const errorOf = (text: string, code?: number | string, sessionId?: string): HubError =>
  Object.assign(new Error(text), { code, sessionId });

/**
 * Follows sessions of a hub, by WebSocket and, while that fails, by polls: each event
 * once, in its publisher's order. It connects at once.
 */
export function createSessionEvents(options: SessionEventsOptions = {}): SessionEvents {
  const { reconnectInterval = 3000, maxReconnectInterval = 30000, failuresBeforePolling = 3 } = options;
  const uses = (t: 'websocket' | 'poll') => options.transports?.includes(t) ?? true;
  const { socket: url, polls } = addresses(options);
  const listeners = new Set<(event?: WorkspaceEvent) => void>(); // without an event: it is over
  const sessions = createSessions(options, (event, cursor) => {
    options.onEvent?.(event, cursor);
    listeners.forEach((l) => l(event));
  });

  let status: ConnectionStatus = 'disconnected';
  let socket: Socket | undefined;
  let polling: Polling | undefined;
  const unanswered = new Set<string>(); // sessions whose subscription is not confirmed on this socket
  const postponed = new Set<Session>(); // those that the hub could not take
  let failures = 0;
  let notBefore = 0;
  let longPoll = false;
  let retry: ReturnType<typeof setTimeout>;
  let again: ReturnType<typeof setTimeout>;
  let over = false;
  let refusal: HubError | undefined;

  const become = (to: ConnectionStatus) => {
    if (status === to) return;
    status = to;
    options.onStatus?.(to);
  };

  const finish = (to: ConnectionStatus) => {
    if (over) return;
    over = true;
    clearTimeout(retry);
    clearTimeout(again);
    socket?.close();
    socket = undefined;
    polling?.stop();
    forget();
    options.signal?.removeEventListener('abort', close);
    listeners.forEach((l) => l());
    become(to);
  };
  const close = () => finish('disconnected');

  /** Reports what failed, and ends it all if that is final. */
  const fail = (error: HubError, final: boolean) => {
    if (final) refusal = error;
    options.onError?.(error);
    if (final) finish('error');
  };

  const fallBack = () => {
    polling ??= startPolling(polls, sessions, options, longPoll, fail);
    become('polling');
  };

  const ask = (s: Session) => {
    if (!socket?.ready || sessions.all.get(s.id) !== s) return;
    unanswered.add(s.id);
    socket.enqueue({ type: 'subscribe', sessionId: s.id, since: s.cursor });
  };

  const hello = (payload: any) => {
    failures = 0;
    longPoll ||= !!payload?.longPoll;
    polling?.stop();
    polling = undefined;
    unanswered.clear();
    become('connected');
    sessions.all.forEach(ask);
  };

  /** A message of the hub says that a request of ours failed. */
  const refused = (m: HubMessage, s?: Session) => {
    const subscription = s && unanswered.delete(s.id);
    if (s && m.code === 'unavailable') {
      postponed.add(s);
      clearTimeout(again);
      again = setTimeout(() => {
        postponed.forEach(ask);
        postponed.clear();
      }, reconnectInterval);
    } else if (subscription) sessions.all.delete(s.id);
    fail(errorOf(m.payload, m.code as string, m.sessionId), false);
  };

  const receive = (m: HubMessage) => {
    const s = sessions.all.get(m.sessionId!);
    const cursor = m.cursor as string | undefined;
    // What comes before the confirmation belongs to an earlier subscription.
    const mine = s && !unanswered.has(s.id) && s;
    switch (m.type) {
      case 'event':
        if (!cursor) sessions.broadcast(m.payload);
        else if (mine) sessions.deliver(mine, m.payload, cursor);
        break;
      case 'cursor':
        if (mine) mine.cursor = cursor;
        break;
      case 'epoch':
        if (mine) sessions.reset(mine, m.gap ? 'gap' : 'epoch', cursor);
        break;
      case 'subscription_confirmed':
        if (!s) break;
        unanswered.delete(s.id);
        if (m.gap || m.recovered === false) sessions.reset(s, 'gap');
        s.cursor = cursor;
        break;
      case 'error':
        refused(m, s);
        break;
      case 'pong':
        break;
      default:
        options.onMessage?.(m);
    }
  };

  const connect = () => {
    clearTimeout(retry);
    if (over || socket || !awake() || !uses('websocket')) return;
    const left = notBefore - Date.now();
    if (left > 0) {
      retry = setTimeout(connect, left);
      return;
    }
    if (!polling) become('connecting');
    socket = openSocket(url, options, { hello, message: receive, end });
  };

  const end = (code: number, reason: string, error?: Error) => {
    const failed = !socket!.ready;
    socket = undefined;
    if (failed && awake()) failures++;
    let wait = 0;
    try {
      wait = JSON.parse(reason).retryAfter;
    } catch { /* a reason for people, or none */ }
    notBefore = Date.now() + 1000 * Math.min(wait || 0, maxPause);
    if (failed || code > 4000) fail(error ?? errorOf(reason || 'the WebSocket failed', code), code === 4401 || code === 4403);
    if (over) return;
    if (polling || failures >= failuresBeforePolling && uses('poll')) fallBack();
    else become('disconnected');
    const pause = Math.min(maxReconnectInterval, reconnectInterval * 2 ** Math.max(0, failures - 1));
    retry = setTimeout(connect, pause / 2 * (1 + Math.random()));
  };

  const forget = onWake(() => {
    if (socket?.ready) socket.probe();
    else connect();
    polling?.kick();
  });

  async function* events({ signal }: { signal?: AbortSignal } = {}): AsyncGenerator<WorkspaceEvent, void, void> {
    const queue: WorkspaceEvent[] = [];
    let wake = () => {};
    let full = false;
    const listener = (event?: WorkspaceEvent) => {
      if (event && queue.push(event) > maxQueue) full = true;
      wake();
    };
    const aborted = () => listener();
    listeners.add(listener);
    signal?.addEventListener('abort', aborted);
    try {
      for (;;) {
        if (signal?.aborted) return;
        if (full) throw errorOf('the reader is too slow: 10,000 events wait');
        if (queue.length) yield queue.shift()!;
        else if (refusal) throw refusal;
        else if (over) return;
        else await new Promise<void>((resolve) => { wake = resolve; });
      }
    } finally {
      listeners.delete(listener);
      signal?.removeEventListener('abort', aborted);
    }
  }

  options.signal?.addEventListener('abort', close);
  if (options.signal?.aborted) close();
  else if (uses('websocket')) connect();
  else fallBack();

  return {
    get status() { return status; },
    events, close,
    send(message) {
      if (!socket?.ready) return false;
      socket.send(message);
      return true;
    },
    subscribe(id, since = options.since) {
      let s = sessions.all.get(id);
      if (!s) {
        s = { id, cursor: since, ids: new Set(), uses: 0 };
        sessions.all.set(id, s);
        ask(s);
        polling?.kick();
      }
      const mine = s;
      mine.uses++;
      let undone = false;
      return () => {
        if (undone || (undone = true, --mine.uses) || sessions.all.get(id) !== mine) return;
        sessions.all.delete(id);
        if (socket?.ready) socket.enqueue({ type: 'unsubscribe', sessionId: id });
        polling?.kick();
      };
    },
  };
}
