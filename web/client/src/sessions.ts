import type { ResetReason, SessionEventsOptions, WorkspaceEvent } from './types.js';

/** Ids remembered of a session: five times the history that a hub keeps by default. */
const maxIds = 5000;

/** A session that is followed. */
export interface Session {
  id: string;
  /** Up to where its events have been delivered. */
  cursor?: string;
  /** Ids that have been delivered. */
  ids: Set<string>;
  /** Subscriptions that are not undone. */
  uses: number;
}

/** Remembers an id; false: it was there already. The oldest is forgotten for it. */
function remember(ids: Set<string>, id: string): boolean {
  if (ids.has(id)) return false;
  if (ids.add(id).size > maxIds) ids.delete(ids.values().next().value!);
  return true;
}

/** The sessions that are followed, whichever way their events come. */
export function createSessions(options: SessionEventsOptions, onEvent: (event: WorkspaceEvent, cursor?: string) => void) {
  const all = new Map<string, Session>();
  const heard = new Set<string>(); // broadcasts: session and id
  const idOf = (event: WorkspaceEvent) => event.id ?? event.eventId;
  return {
    all,
    /** Hands an event out unless it has been, and moves on behind it. */
    deliver(s: Session, event: WorkspaceEvent, cursor?: string) {
      if (all.get(s.id) !== s) return; // undone by who got the one before
      if (cursor) s.cursor = cursor;
      const id = idOf(event);
      if (id === undefined || remember(s.ids, id) && !heard.delete(s.id + '\n' + id)) onEvent(event, cursor);
    },
    /** Hands out a `session:*` event that every client gets, unless it has come as one of a session. */
    broadcast(event: WorkspaceEvent) {
      if (!all.get(event.sessionId)?.ids.has(idOf(event)!) && remember(heard, event.sessionId + '\n' + idOf(event))) onEvent(event);
    },
    reset(s: Session, reason: ResetReason, cursor?: string) {
      if (cursor) s.cursor = cursor;
      options.onReset?.(s.id, reason);
    },
  };
}

export type Sessions = ReturnType<typeof createSessions>;
