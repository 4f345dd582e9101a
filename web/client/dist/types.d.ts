/** An event, as it was posted. */
export interface WorkspaceEvent {
    /** `namespace:name` */
    type: string;
    sessionId: string;
    id?: string;
    eventId?: string;
    /** RFC 3339, the producer's clock. */
    timestamp?: string;
    [member: string]: unknown;
}
/**
 * - `connecting`: an attempt is under way
 * - `connected`: the hub has said hello on the WebSocket
 * - `disconnected`: between two attempts, or closed
 * - `polling`: WebSockets fail, so events come by polls, until one succeeds
 * - `error`: refused for good; nothing is tried any more
 */
export type ConnectionStatus = 'connecting' | 'connected' | 'disconnected' | 'error' | 'polling';
export type Transport = 'websocket' | 'poll';
/**
 * Why events of a session may be missing, or may have been seen under another life:
 * `gap`: some are no longer kept; `epoch`: the hub's storage began anew.
 */
export type ResetReason = 'gap' | 'epoch';
/** A message of the hub that is no event, such as `status` or `command`. */
export interface HubMessage {
    type: string;
    sessionId?: string;
    payload?: any;
    [member: string]: unknown;
}
/** What the hub answered instead of serving; `code` is an HTTP status, a close code or the code of an error message. */
export interface HubError extends Error {
    code?: number | string;
    sessionId?: string;
}
/** Durations are in milliseconds. */
export interface SessionEventsOptions {
    /** Of the WebSocket. Default: `ws` beside the directory the module serves this file from, else `/ws` of the page's origin. */
    url?: string;
    /** To which `/poll/<sessionId>` is appended. Default: `api/events` beside the WebSocket. */
    pollingFallbackUrl?: string;
    /** Gets each event of the sessions subscribed to, and `session:*` events of all, once. `cursor` resumes behind it. */
    onEvent?: (event: WorkspaceEvent, cursor?: string) => void;
    onStatus?: (status: ConnectionStatus) => void;
    /** Events of the session may be missing before the next one: read its history again. */
    onReset?: (sessionId: string, reason: ResetReason) => void;
    /** Something failed. It is tried again, unless the status is `error` or `sessionId` says that one session was refused. */
    onError?: (error: HubError) => void;
    /** Gets the hub's other messages. */
    onMessage?: (message: HubMessage) => void;
    /** Before the first new attempt; it doubles with each failure, and a part of it is drawn by lot. Default: 3000. */
    reconnectInterval?: number;
    /** Bounds that growth. Default: 30000. */
    maxReconnectInterval?: number;
    /** Attempts that fail in a row before polling begins. Default: 3. */
    failuresBeforePolling?: number;
    /** Between two polls, where the hub does not hold them until there is something. Default: 5000. */
    pollInterval?: number;
    /** From the beginning of an attempt to the hub's hello. Default: 10000. */
    connectTimeout?: number;
    /** Silence after which the hub is asked for a sign of life. Default: 30000. */
    heartbeatInterval?: number;
    /** How long that may take. Default: 10000. */
    heartbeatTimeout?: number;
    /** Default: both. */
    transports?: readonly Transport[];
    /**
     * Called at each attempt and poll. `apiKey` travels as a subprotocol and as a Bearer
     * token, everything else in the query. A rejection is one failed attempt.
     */
    params?: () => Record<string, string> | Promise<Record<string, string>>;
    /** A time (RFC 3339) from which on sessions are followed. Default: from now on. */
    since?: string;
    /** Closes the connection. */
    signal?: AbortSignal;
    /** Instead of the global ones. */
    WebSocket?: new (url: string, protocols?: string | string[]) => WebSocket;
    fetch?: typeof fetch;
}
export interface SessionEvents {
    readonly status: ConnectionStatus;
    /**
     * Follows a session, from `since` on (a cursor or a time), and answers its undo. Who
     * follows it already goes on where he is; it ends with the last undo.
     */
    subscribe(sessionId: string, since?: string): () => void;
    /** Sends a message such as `input`; false: there is no WebSocket, and it was not sent. */
    send(message: object): boolean;
    /**
     * The same events as `onEvent` gets, from the first `next()` on. It ends with the
     * connection, and throws when that is refused, or when 10,000 events wait.
     */
    events(options?: {
        signal?: AbortSignal;
    }): AsyncGenerator<WorkspaceEvent, void, void>;
    /** Ends everything at once: no socket, request, timer or listener is left. */
    close(): void;
}
