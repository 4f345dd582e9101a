import type { Sessions } from './sessions.js';
import type { HubError, SessionEventsOptions } from './types.js';
export interface Polling {
    /** Polls now, or as soon as the hub allows. */
    kick(): void;
    /** Ends it, and the poll that is under way. */
    stop(): void;
}
/** Polls until it is stopped. `longPoll`: the hub is known to hold polls. */
export declare function startPolling(base: string, { all, deliver, reset }: Sessions, options: SessionEventsOptions, longPoll: boolean, fail: (error: HubError, final: boolean) => void): Polling;
