import { useCallback, useRef, useState, useSyncExternalStore } from 'react';
import { createSessionEvents } from './index.js';
import type { ConnectionStatus, SessionEvents, WorkspaceEvent } from './types.js';

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

type Snapshot = Pick<UseWebSocketReturn, 'status' | 'error'>;

/** What outlives a change of the options: the subscriptions, and the functions handed out. */
function createStore() {
  const undo = new Map<string, (() => void) | undefined>();
  let hub: SessionEvents | undefined;
  let notify = () => {};
  let snapshot: Snapshot = { status: 'connecting', error: null };
  const change = (part: Partial<Snapshot>) => {
    snapshot = { ...snapshot, ...part };
    notify();
  };
  return {
    snapshot: () => snapshot,
    open(options: UseWebSocketOptions, notified: () => void) {
      notify = notified;
      hub = createSessionEvents({
        ...options,
        onStatus: (status) => change(status === 'connected' ? { status, error: null } : { status }),
        onError: (error) => change({ error }),
      });
      for (const id of undo.keys()) undo.set(id, hub.subscribe(id));
      const mine = hub;
      return () => {
        notify = () => {};
        mine.close();
        hub = undefined;
      };
    },
    send(message: object) {
      if (!hub?.send(message)) change({ error: new Error('not connected: the message was not sent') });
    },
    subscribe(id: string) {
      if (!undo.has(id)) undo.set(id, hub?.subscribe(id));
    },
    unsubscribe(id: string) {
      undo.get(id)?.();
      undo.delete(id);
    },
  };
}

/**
 * Follows sessions while the component is mounted. `onEvent` may be another function at
 * each rendering; another value of the other options connects anew.
 */
export function useWebSocket(options: UseWebSocketOptions = {}): UseWebSocketReturn {
  const { url, reconnectInterval, heartbeatInterval, pollingFallbackUrl } = options;
  const [store] = useState(createStore);
  const latest = useRef(options);
  latest.current = options;
  const open = useCallback(
    (notify: () => void) => store.open({
      url, reconnectInterval, heartbeatInterval, pollingFallbackUrl,
      onEvent: (event) => latest.current.onEvent?.(event),
    }, notify),
    [store, url, reconnectInterval, heartbeatInterval, pollingFallbackUrl],
  );
  const { status, error } = useSyncExternalStore(open, store.snapshot, store.snapshot);
  const { send, subscribe, unsubscribe } = store;
  return { status, send, subscribe, unsubscribe, error };
}
