import { createConnection } from './connection.js';
import { createReaders } from './iterate.js';
import { createSessions } from './sessions.js';
import type { SessionEvents, SessionEventsOptions } from './types.js';

export type * from './types.js';

/**
 * Follows sessions of a hub, by WebSocket and, while that fails, by polls: each event
 * once, in its publisher's order. It connects at once.
 */
export function createSessionEvents(options: SessionEventsOptions = {}): SessionEvents {
  const [take, endReaders, iterate] = createReaders();
  const sessions = createSessions(options, (event, cursor) => {
    options.onEvent?.(event, cursor);
    take(event);
  });
  const [connection, follow, leave] = createConnection(options, sessions, endReaders);
  const subscribe = (id: string, since = options.since) => {
    let s = sessions.all.get(id);
    if (!s) {
      s = { id, cursor: since, ids: new Set(), uses: 0 };
      sessions.all.set(id, s);
      follow(s);
    }
    const mine = s;
    mine.uses++;
    let undone = false;
    return () => {
      if (undone || (undone = true, --mine.uses) || sessions.all.get(id) !== mine) return;
      sessions.all.delete(id);
      leave(id);
    };
  };
  return Object.assign(connection, { events: iterate, subscribe });
}
