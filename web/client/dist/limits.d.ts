/** Sessions in one poll, and events in one answer of one session and of all, as the hub bounds them. */
export declare const maxSessions = 50;
export declare const maxEvents = 500;
export declare const maxEventsTogether = 5000;
/** How long the hub is asked to hold a poll, in seconds; it does so for 30 at most. */
export declare const hold = 25;
/** An answer that took longer, in ms, was held. */
export declare const heldFor = 1000;
/** The longest pause that the hub may ask for, in seconds. */
export declare const maxPause = 3600;
/** Subscriptions are sent in portions, with a pause in ms, below the hub's 50 messages a second. */
export declare const portion = 20;
export declare const portionPause = 500;
