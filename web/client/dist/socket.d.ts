import type { HubMessage, SessionEventsOptions } from './types.js';
export interface Socket {
    /** The hub has said hello. */
    ready: boolean;
    send(message: object): void;
    /** Asks for a sign of life, and ends the socket if there is none. */
    probe(): void;
    /** Sends these after what waits already. */
    queue(message: {
        type: string;
        sessionId: string;
        since?: string;
    }): void;
    /** Ends it without a word to anyone. */
    close(): void;
}
/**
 * One attempt at a WebSocket, and its life when it succeeds. Any frame is a sign of life;
 * whoever gives none is left without waiting for his answer to a close.
 */
export declare function openSocket(url: string, options: SessionEventsOptions, onHello: (payload: any) => void, onMessage: (message: HubMessage) => void, 
/** Once, whatever ended it; `code` 0: no close frame. */
onEnd: (code: number, reason: string, error?: Error) => void): Socket;
