import { protocols } from './addresses.js';
import type { HubMessage, SessionEventsOptions } from './types.js';

/** Subscriptions are sent in portions, below the hub's 50 messages a second. */
const portion = 20;
const portionPause = 500;

export interface Socket {
  /** The hub has said hello. */
  ready: boolean;
  send(message: object): void;
  /** Asks for a sign of life, and ends the socket if there is none. */
  probe(): void;
  /** Sends these after what waits already. */
  enqueue(message: { type: string; sessionId: string; since?: string }): void;
  /** Ends it without a word to anyone. */
  close(): void;
}

export interface SocketEvents {
  hello(payload: any): void;
  message(message: HubMessage): void;
  /** Once, whatever ended it; `code` 0: no close frame. */
  end(code: number, reason: string, error?: Error): void;
}

/**
 * One attempt at a WebSocket, and its life when it succeeds. Any frame is a sign of life;
 * whoever gives none is left without waiting for his answer to a close.
 */
export function openSocket(url: URL, options: SessionEventsOptions, on: SocketEvents): Socket {
  const { connectTimeout = 10000, heartbeatInterval = 30000, heartbeatTimeout = 10000 } = options;
  const waiting: object[] = [];
  let socket: WebSocket | undefined;
  let timer: ReturnType<typeof setTimeout>;
  let portions: ReturnType<typeof setTimeout> | undefined;
  let over = false;

  const within = (ms: number, then: () => void) => {
    clearTimeout(timer);
    timer = setTimeout(then, ms);
  };
  const close = () => {
    over = true;
    clearTimeout(timer);
    clearTimeout(portions);
    if (!socket) return;
    socket.onmessage = socket.onclose = socket.onerror = null;
    socket.close();
  };
  const end = (code = 0, reason = '', error?: Error) => {
    if (over) return;
    close();
    on.end(code, reason, error);
  };
  const send = (message: object) => socket!.send(JSON.stringify(message));
  const flush = () => {
    waiting.splice(0, portion).forEach(send);
    portions = waiting.length ? setTimeout(flush, portionPause) : undefined;
  };
  const self: Socket = {
    ready: false, send, close,
    probe() {
      send({ type: 'ping' });
      within(heartbeatTimeout, () => end(0, 'the hub gives no sign of life'));
    },
    enqueue(message) {
      waiting.push(message);
      portions ??= setTimeout(flush);
    },
  };
  const receive = ({ data }: MessageEvent) => {
    if (self.ready) within(heartbeatInterval, self.probe);
    const message = JSON.parse(data);
    if (self.ready || message.type !== 'subscription_confirmed') return on.message(message);
    self.ready = true;
    within(heartbeatInterval, self.probe);
    on.hello(message.payload);
  };
  const open = (query: Record<string, string>) => {
    if (over) return;
    const { apiKey, ...rest } = query;
    const address = new URL(url);
    for (const name in rest) address.searchParams.set(name, rest[name]!);
    socket = new (options.WebSocket ?? WebSocket)(address.href, protocols(apiKey));
    socket.onmessage = receive;
    socket.onclose = (e) => end(e.code, e.reason);
    socket.onerror = () => end();
  };

  within(connectTimeout, () => end(0, 'the hub does not answer'));
  // Asynchronous also without params, so that who closes us at once has opened nothing.
  Promise.resolve().then(() => options.params?.() ?? {}).then(open).catch((error) => end(0, '', error));
  return self;
}
