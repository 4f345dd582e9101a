import type { Session, Sessions } from './sessions.js';
import type { ConnectionStatus, HubError, SessionEventsOptions } from './types.js';
/** The way to the hub: a WebSocket, and while that fails polls. It connects at once. */
export declare function createConnection(options: SessionEventsOptions, sessions: Sessions, ended: (refusal?: HubError) => void): readonly [{
    readonly status: ConnectionStatus;
    readonly close: () => void;
    readonly send: (message: object) => boolean;
}, (s: Session) => void, (id: string) => void];
