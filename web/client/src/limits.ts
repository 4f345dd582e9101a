// Numbers in a file of their own, without imports, are inlined by esbuild.

/** Sessions in one poll, and events in one answer of one session and of all, as the hub bounds them. */
export const maxSessions = 50;
export const maxEvents = 500;
export const maxEventsTogether = 5000;
/** How long the hub is asked to hold a poll, in seconds; it does so for 30 at most. */
export const hold = 25;
/** An answer that took longer, in ms, was held. */
export const heldFor = 1000;
/** The longest pause that the hub may ask for, in seconds. */
export const maxPause = 3600;
/** Subscriptions are sent in portions, with a pause in ms, below the hub's 50 messages a second. */
export const portion = 20;
export const portionPause = 500;
