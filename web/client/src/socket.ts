import { protocols } from './addresses.js';
import { portion, portionPause } from './limits.js';
import type { HubMessage, SessionEventsOptions } from './types.js';

export interface Socket {
  /** The hub has said hello. */
  ready: boolean;
  send(message: object): void;
  /** Asks for a sign of life, and ends the socket if there is none. */
  probe(): void;
  /** Sends these after what waits already. */
  queue(message: { type: string; sessionId: string; since?: string }): void;
  /** Ends it without a word to anyone. */
  close(): void;
}

/**
 * One attempt at a WebSocket, and its life when it succeeds. Any frame is a sign of life;
 * whoever gives none is left without waiting for his answer to a close.
 */
export function openSocket(
  url: string, options: SessionEventsOptions, onHello: (payload: any) => void, onMessage: (message: HubMessage) => void,
  /** Once, whatever ended it; `code` 0: no close frame. */
  onEnd: (code: number, reason: string, error?: Error) => void,
): Socket {
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
    onEnd(code, reason, error);
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
      within(heartbeatTimeout, () => end(0, 'the hub is silent'));
    },
    queue(message) {
      waiting.push(message);
      portions ??= setTimeout(flush);
    },
  };
  const receive = ({ data }: MessageEvent) => {
    const message = JSON.parse(data);
    const hello = !self.ready && message.type === 'subscription_confirmed';
    if (self.ready ||= hello) within(heartbeatInterval, self.probe);
    if (hello) onHello(message.payload);
    else onMessage(message);
  };
  const open = async () => {
    await 0; // so that who closes us at once, or in params, has opened nothing
    const { apiKey, ...query } = await options.params?.() ?? {} as Record<string, string>;
    if (over) return;
    const address = new URL(url);
    for (const name in query) address.searchParams.set(name, query[name]!);
    socket = new (options.WebSocket ?? WebSocket)(address.href, protocols(apiKey));
    socket.onmessage = receive;
    socket.onclose = (e) => end(e.code, e.reason);
    socket.onerror = () => end();
  };

  within(connectTimeout, () => end(0, 'the hub does not answer'));
  open().catch((error) => end(0, '', error));
  return self;
}
