import { ask } from './api.js';
import type { History, Status, Values } from './types.js';

/** The hub tells how it is every second; after this long without, in ms, it is down. */
const silence = 5000;
const longestPause = 10000;
/** Seconds of history that are shown. */
const seconds = 120;

export interface StatusEvents {
  status(status: Status): void;
  /** It is tried again. */
  down(why: string): void;
  /** It is not tried again. */
  refused(why: string, code: number): void;
}

/** Follows the hub's status for as long as the page lives. */
export async function followStatus(on: StatusEvents): Promise<never | void> {
  for (let failures = 0; ; failures++) {
    try {
      await readStream((s) => {
        failures = 0;
        on.status(s);
      });
      on.down('The hub has ended the connection.');
    } catch (error) {
      const { code, message } = error as Error & { code?: number };
      if (code === 401 || code === 403 || code === 404) return on.refused(message, code);
      on.down(code ? message : 'The server does not answer.');
    }
    const pause = Math.min(longestPause, 500 * 2 ** failures);
    await new Promise((resolve) => { setTimeout(resolve, pause * (1 + Math.random()) / 2); });
  }
}

/** Reads one stream until it ends. An EventSource could carry no key and would not tell why it is refused. */
async function readStream(status: (s: Status) => void): Promise<void> {
  const abort = new AbortController();
  let timer = 0;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(), silence);
  };
  try {
    alive();
    const answer = await ask('lifeline/status/stream', { signal: abort.signal });
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    let last: Status | undefined;
    for (let text = ''; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (text + value).split('\n\n');
      text = blocks.pop()!;
      for (const block of blocks) {
        const data = /^data: ?(.*)/m.exec(block)?.[1];
        if (!data) continue;
        alive();
        const next: Status = JSON.parse(data);
        if (last) next.history = joined(last.history, next.history);
        status(last = next);
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

/** The seconds so far, and the newest. */
function joined(before: History, newest: History): History {
  const all = { ...newest };
  for (const name of Object.keys(before) as (keyof History)[]) {
    if (Array.isArray(before[name])) all[name] = [...before[name], ...newest[name] as Values].slice(-seconds);
  }
  return all;
}
