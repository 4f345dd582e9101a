import { errorOf } from './errors.js';
import type { Session, Sessions } from './sessions.js';
import type { Socket } from './socket.js';
import type { HubError, HubMessage, SessionEventsOptions } from './types.js';

/** What is asked of the hub about sessions on a WebSocket, and what it says of them. */
export function createSubscriptions(
  { all, broadcast, deliver, reset }: Sessions, { reconnectInterval = 3000, onMessage }: SessionEventsOptions, fail: (error: HubError) => void,
) {
  const unanswered = new Set<string>(); // sessions whose subscription is not confirmed on this socket
  const postponed = new Set<Session>(); // those that the hub could not take
  let again: ReturnType<typeof setTimeout>;
  let socket: Socket | undefined;

  const ask = (s: Session) => {
    if (!socket || all.get(s.id) !== s) return;
    unanswered.add(s.id);
    socket.queue({ type: 'subscribe', sessionId: s.id, since: s.cursor });
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
    } else if (subscription) all.delete(s.id);
    fail(errorOf(m.payload, m.code as string, m.sessionId));
  };

  const leave = (sessionId: string) => socket?.queue({ type: 'unsubscribe', sessionId });

  /** Asks for all sessions on a socket that has said hello; without one, for none. */
  const use = (ready?: Socket) => {
    socket = ready;
    clearTimeout(again);
    postponed.clear();
    unanswered.clear();
    all.forEach(ask);
  };

  const receive = (m: HubMessage) => {
    const { type } = m;
    const s = all.get(m.sessionId!);
    const cursor = m.cursor as string | undefined;
    // What comes before the confirmation belongs to an earlier subscription.
    const mine = s && !unanswered.has(s.id) && s;
    if (type === 'event') {
      if (!cursor) broadcast(m.payload);
      else if (mine) deliver(mine, m.payload, cursor);
    } else if (type === 'cursor') {
      if (mine) mine.cursor = cursor;
    } else if (type === 'epoch') {
      if (mine) reset(mine, m.gap ? 'gap' : 'epoch', cursor);
    } else if (type === 'subscription_confirmed') {
      if (!s) return;
      unanswered.delete(s.id);
      if (m.gap || m.recovered === false) reset(s, 'gap');
      s.cursor = cursor;
    } else if (type === 'error') refused(m, s);
    else if (type !== 'pong') onMessage?.(m);
  };

  return [ask, leave, use, receive] as const;
}
