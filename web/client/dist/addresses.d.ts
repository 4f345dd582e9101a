import type { SessionEventsOptions } from './types.js';
/**
 * The addresses of WebSocket and polls. They stand beside each other, in the directory
 * above the one the module serves this file from, so that a prefix of the site is kept;
 * in a bundle, at the root of the page's origin.
 */
export declare function addresses({ url, pollingFallbackUrl }: SessionEventsOptions): [socket: string, polls: string];
/** What a poll asks about sessions, one by its own path, several by the hub's shared one. */
export declare function pollURL(base: string, sessions: {
    id: string;
    cursor?: string;
}[], query: Record<string, string>): string;
/** The subprotocols that say who we are; a key must not stand in an address, which is logged. */
export declare function protocols(key?: string): string[];
