import type { SessionEventsOptions } from './types.js';
/** When one may come again who is asked to wait for some seconds, if for any. */
export declare const after: (seconds: unknown) => number;
/** When the WebSocket is tried again: ever later, and not before the hub says so. */
export declare function createRetry({ reconnectInterval, maxReconnectInterval }: SessionEventsOptions, connect: () => void): readonly [() => void, () => boolean, (reason: string, hello: boolean) => number];
