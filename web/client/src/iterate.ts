import type { HubError, WorkspaceEvent } from './types.js';

/** Events that an iterator keeps for who is slow. */
const maxQueue = 10000;

/** Hands events to iterators, until it is over. */
export function createReaders() {
  const readers = new Set<(event?: WorkspaceEvent) => void>(); // without an event: look again
  let ended: { error?: HubError } | undefined;

  const take = (event: WorkspaceEvent) => readers.forEach((r) => r(event));
  /** Iterators end with what waits for them, or throw the error behind it. */
  const end = (error?: HubError) => {
    ended = { error };
    readers.forEach((r) => r());
  };
  async function* iterate({ signal }: { signal?: AbortSignal } = {}): AsyncGenerator<WorkspaceEvent, void, void> {
    const queue: WorkspaceEvent[] = [];
    let wake = () => {};
    const reader = (event?: WorkspaceEvent) => {
      if (event && queue.length <= maxQueue) queue.push(event);
      wake();
    };
    const aborted = () => wake();
    readers.add(reader);
    signal?.addEventListener('abort', aborted);
    try {
      while (!signal?.aborted) {
        if (queue.length > maxQueue) throw new Error('too slow: 10000 events wait');
        if (queue.length) yield queue.shift()!;
        else if (!ended) await new Promise<void>((resolve) => { wake = resolve; });
        else if (ended.error) throw ended.error;
        else return;
      }
    } finally {
      readers.delete(reader);
      signal?.removeEventListener('abort', aborted);
    }
  }
  return [take, end, iterate] as const;
}
