import type { SessionEvents, SessionEventsOptions } from './types.js';
export type * from './types.js';
/**
 * Follows sessions of a hub, by WebSocket and, while that fails, by polls: each event
 * once, in its publisher's order. It connects at once.
 */
export declare function createSessionEvents(options?: SessionEventsOptions): SessionEvents;
