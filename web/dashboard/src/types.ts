// What GET /lifeline/status answers: docs/protocol.md, "What the hub is doing".
export type Values = (number | null)[];

export interface History {
  websockets: Values;
  streams: Values;
  longPolls: Values;
  received: Values;
  delivered: Values;
  delayP50: Values;
  delayP99: Values;
  slowConsumers: Values;
  pending: Values;
  rejected: Values;
}

export interface Breaker {
  name: string;
  state: 'closed' | 'open' | 'half-open';
  failureCount: number;
  totalTrips: number;
  rejected: number;
  /** Until the next probe, in milliseconds; 0 also where it is held without end. */
  retryIn: number;
  lastError?: string;
  lastFailureTime: string | null;
  held: { state: 'forced-open' | 'disabled'; until: string | null } | null;
  /** Newest first; from and to are the same where only the hold has changed. */
  transitions: { at: string; from: string; to: string; reason: string; held?: string; cause?: string }[];
}

export interface Watcher {
  root: string;
  state: 'starting' | 'watching' | 'degraded' | 'retrying' | 'failed' | 'stopped';
  attempts: number;
  maxAttempts: number;
  watches: number;
  entries: number;
  lastError: string;
  overflows: number;
}

export interface Session {
  sessionId: string;
  clients: number;
  lastEvent?: { type: string; at: string };
  watcher?: Watcher;
}

export interface Client {
  id?: string;
  transport: 'websocket' | 'sse' | 'poll';
  user?: string;
  since: string;
  /** That it follows. */
  sessions: number;
  /** Bytes that wait for it. */
  queued: number;
}

export interface Status {
  hub: string;
  timestamp: string;
  uptime: number;
  status: 'live' | 'degraded';
  reasons: string[];
  storage: { driver: string; usingFallback: boolean; pending: number; journalBytes: number };
  history: History;
  breakers: Breaker[];
  sessions: Session[];
  sessionCount: number;
  clients: Client[];
  clientCount: number;
  may: { operate: boolean; user?: string };
}
