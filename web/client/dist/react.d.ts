import type { ConnectionStatus, WorkspaceEvent } from './types.js';
export type { ConnectionStatus, WorkspaceEvent } from './types.js';
export interface UseWebSocketOptions {
    url?: string;
    onEvent?: (event: WorkspaceEvent) => void;
    reconnectInterval?: number;
    heartbeatInterval?: number;
    pollingFallbackUrl?: string;
}
export interface UseWebSocketReturn {
    status: ConnectionStatus;
    /** Sends while connected; else the message is not sent, and `error` says so. */
    send(message: object): void;
    subscribe(sessionId: string): void;
    unsubscribe(sessionId: string): void;
    error: Error | null;
}
/**
 * Follows sessions while the component is mounted. `onEvent` may be another function at
 * each rendering; another value of the other options connects anew.
 */
export declare function useWebSocket(options?: UseWebSocketOptions): UseWebSocketReturn;
