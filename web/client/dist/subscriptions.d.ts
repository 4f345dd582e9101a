import type { Session, Sessions } from './sessions.js';
import type { Socket } from './socket.js';
import type { HubError, HubMessage, SessionEventsOptions } from './types.js';
/** What is asked of the hub about sessions on a WebSocket, and what it says of them. */
export declare function createSubscriptions({ all, broadcast, deliver, reset }: Sessions, { reconnectInterval, onMessage }: SessionEventsOptions, fail: (error: HubError) => void): readonly [(s: Session) => void, (sessionId: string) => void | undefined, (ready?: Socket) => void, (m: HubMessage) => void];
