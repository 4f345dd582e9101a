import { pollURL } from './addresses.js';
import { errorOf } from './errors.js';
import { heldFor, hold, maxEvents, maxEventsTogether, maxSessions } from './limits.js';
import { after } from './retry.js';
import type { Session, Sessions } from './sessions.js';
import type { HubError, SessionEventsOptions, WorkspaceEvent } from './types.js';
import { awake } from './wake.js';

interface Page {
  events: WorkspaceEvent[];
  cursor: string;
  hasMore?: boolean;
  gap?: boolean;
}

export interface Polling {
  /** Polls now, or as soon as the hub allows. */
  kick(): void;
  /** Ends it, and the poll that is under way. */
  stop(): void;
}

/** Polls until it is stopped. `longPoll`: the hub is known to hold polls. */
export function startPolling(
  base: string, { all, deliver, reset }: Sessions, options: SessionEventsOptions, longPoll: boolean,
  fail: (error: HubError, final: boolean) => void,
): Polling {
  const { pollInterval = 5000, connectTimeout = 10000 } = options;
  let timer: ReturnType<typeof setTimeout>;
  let running: AbortController | undefined;
  let notBefore = 0;
  let over = false;

  const next = (ms: number) => {
    clearTimeout(timer);
    if (!over) timer = setTimeout(run, Math.max(ms, notBefore - Date.now()));
  };

  /** Answers whether to go on at once: when it was about one session, which is left out from now on. */
  const refused = ({ status, headers }: Response, body: any) => {
    const session = body.details?.sessionId;
    const final = status === 401 || status === 403 || status === 404;
    notBefore = after(headers.get('retry-after'));
    fail(
      errorOf(body.message ?? body.error ?? 'HTTP ' + status, status, session),
      final && session === undefined,
    );
    return final && all.delete(session);
  };

  /** Answers whether to go on at once. */
  const ask = async (part: Session[], wait: boolean, signal: AbortSignal): Promise<boolean> => {
    const { apiKey, ...query } = await options.params?.() ?? {} as Record<string, string>;
    // Who has no position gets one, and what comes behind it.
    const first = !part[0]!.cursor;
    query.limit = String(first ? 1 : Math.min(maxEvents, Math.floor(maxEventsTogether / part.length)));
    if (wait) query.wait = String(hold);
    const began = Date.now();
    const answer = await (options.fetch ?? fetch)(pollURL(base, part, query), {
      signal, credentials: 'include', cache: 'no-store', headers: apiKey ? { authorization: 'Bearer ' + apiKey } : {},
    });
    const body = await answer.json().catch((error) => {
      if (answer.ok) throw error;
      return {}; // not the hub's own refusal
    });
    if (signal.aborted) return false;
    if (!answer.ok) return refused(answer, body);
    const held = Date.now() - began > heldFor;
    longPoll ||= wait && held;
    let more = false, some = false;
    for (const s of part) {
      const page: Page = body.sessions?.[s.id] ?? body;
      if (page.gap) reset(s, 'gap');
      if (!first) for (const event of page.events) deliver(s, event);
      s.cursor = page.cursor;
      more ||= first || !!page.hasMore;
      some ||= page.events.length > 0;
    }
    return more || longPoll && wait && (some || held);
  };

  const run = async () => {
    running?.abort();
    if (over || !awake() || !all.size) return;
    const mine = running = new AbortController();
    next(hold * 1000 + connectTimeout); // then without its answer
    const followed = [...all.values()];
    const fresh = followed.filter((s) => !s.cursor);
    const asked = fresh.length ? fresh : followed;
    let pause = pollInterval;
    try {
      for (let i = 0; i < asked.length; i += maxSessions) {
        const wait = !fresh.length && asked.length <= maxSessions;
        if (await ask(asked.slice(i, i + maxSessions), wait, mine.signal)) pause = 0;
      }
    } catch (error) {
      if (mine !== running || over) return;
      fail(error as Error, false);
    }
    if (mine === running) next(pause);
  };

  const kick = () => next(0);
  kick();
  return {
    kick,
    stop() {
      over = true;
      clearTimeout(timer);
      running?.abort();
    },
  };
}
