import { maxPause } from './limits.js';
import type { SessionEventsOptions } from './types.js';
import { awake } from './wake.js';

/** When one may come again who is asked to wait for some seconds, if for any. */
export const after = (seconds: unknown) => Date.now() + 1000 * Math.min(+(seconds as string) || 0, maxPause);

/** When the WebSocket is tried again: ever later, and not before the hub says so. */
export function createRetry({ reconnectInterval = 3000, maxReconnectInterval = 30000 }: SessionEventsOptions, connect: () => void) {
  let timer: ReturnType<typeof setTimeout>;
  let failures = 0;
  let notBefore = 0;
  const stop = () => clearTimeout(timer);
  const wait = (ms: number) => {
    stop();
    timer = setTimeout(connect, ms);
  };
  /** The hub may be asked now; else it will be when it has allowed that. */
  const may = () => {
    const left = notBefore - Date.now();
    if (left > 0) wait(left);
    return left <= 0;
  };
  /**
   * Tries again later than `reason`, which is that of a close, may say. Answers how many
   * attempts in a row have failed, this one included unless the hub had said hello.
   */
  const later = (reason: string, hello: boolean) => {
    failures = hello ? 0 : failures + +awake();
    try {
      notBefore = after(JSON.parse(reason).retryAfter);
    } catch { /* a reason for people, or none */ }
    const pause = Math.min(maxReconnectInterval, reconnectInterval * 2 ** Math.max(0, failures - 1));
    wait(pause / 2 * (1 + Math.random()));
    return failures;
  };
  return [stop, may, later] as const;
}
