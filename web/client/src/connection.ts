import { addresses } from './addresses.js';
import { errorOf } from './errors.js';
import { startPolling, type Polling } from './polling.js';
import { createRetry } from './retry.js';
import type { Session, Sessions } from './sessions.js';
import { openSocket, type Socket } from './socket.js';
import { createSubscriptions } from './subscriptions.js';
import type { ConnectionStatus, HubError, SessionEventsOptions } from './types.js';
import { awake, onWake } from './wake.js';

/** The way to the hub: a WebSocket, and while that fails polls. It connects at once. */
export function createConnection(options: SessionEventsOptions, sessions: Sessions, ended: (refusal?: HubError) => void) {
  const { failuresBeforePolling = 3, signal } = options;
  const uses = (t: 'websocket' | 'poll') => options.transports?.includes(t) ?? true;
  const [url, polls] = addresses(options);
  let status: ConnectionStatus = 'disconnected';
  let socket: Socket | undefined;
  let polling: Polling | undefined;
  let longPoll = false;
  let over = false;

  const become = (to: ConnectionStatus) => {
    if (status === to) return;
    status = to;
    options.onStatus?.(to);
  };
  const finish = (to: ConnectionStatus, refusal?: HubError) => {
    if (over) return;
    over = true;
    stop();
    use();
    socket?.close();
    socket = undefined;
    polling?.stop();
    forget();
    signal?.removeEventListener('abort', close);
    ended(refusal);
    become(to);
  };
  const close = () => finish('disconnected');
  /** Reports what failed, and ends it all if that is final. */
  const fail = (error: HubError, final?: boolean) => {
    options.onError?.(error);
    if (final) finish('error', error);
  };
  const fallBack = () => {
    polling ??= startPolling(polls, sessions, options, longPoll, fail);
    become('polling');
  };
  const connect = () => {
    if (over || socket || !awake() || !uses('websocket') || !may()) return;
    if (!polling) become('connecting');
    socket = openSocket(url, options, hello, receive, end);
  };
  const hello = (payload: any) => {
    longPoll ||= payload?.longPoll;
    polling?.stop();
    polling = undefined;
    become('connected');
    use(socket); // none, when onStatus has closed it
  };
  const end = (code: number, reason: string, error?: Error) => {
    const { ready } = socket!;
    socket = undefined;
    use();
    const failures = later(reason, ready);
    if (!ready || code > 4000) fail(error ?? errorOf(reason || 'the WebSocket failed', code), code === 4401 || code === 4403);
    if (over) return;
    if (polling || failures >= failuresBeforePolling && uses('poll')) fallBack();
    else become('disconnected');
  };

  const [ask, unsubscribe, use, receive] = createSubscriptions(sessions, options, fail);
  const [stop, may, later] = createRetry(options, connect);
  const forget = onWake(() => {
    if (socket?.ready) socket.probe();
    else connect();
    polling?.kick();
  });
  signal?.addEventListener('abort', close);
  if (signal?.aborted) close();
  else if (uses('websocket')) connect();
  else fallBack();
  const follow = (s: Session) => {
    ask(s);
    polling?.kick();
  };
  const leave = (id: string) => {
    unsubscribe(id);
    polling?.kick();
  };
  return [{
    get status() { return status; },
    close,
    send(message: object) {
      if (!socket?.ready) return false;
      socket.send(message);
      return true;
    },
  }, follow, leave] as const;
}
