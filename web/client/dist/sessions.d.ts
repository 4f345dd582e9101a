import type { ResetReason, SessionEventsOptions, WorkspaceEvent } from './types.js';
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
/** The sessions that are followed, whichever way their events come. */
export declare function createSessions(options: SessionEventsOptions, onEvent: (event: WorkspaceEvent, cursor?: string) => void): {
    all: Map<string, Session>;
    /** Hands an event out unless it has been, and moves on behind it. */
    deliver(s: Session, event: WorkspaceEvent, cursor?: string): void;
    /** Hands out a `session:*` event that every client gets, unless it has come as one of a session. */
    broadcast(event: WorkspaceEvent): void;
    reset(s: Session, reason: ResetReason, cursor?: string): void;
};
export type Sessions = ReturnType<typeof createSessions>;
