import { pollURL } from './addresses.js';
import type { Session, Sessions } from './sessions.js';
import type { HubError, SessionEventsOptions, WorkspaceEvent } from './types.js';
import { awake } from './wake.js';

/** Sessions in one request, and events in one answer, as the hub bounds them. */
const maxSessions = 50;
const maxEvents = 500;
/** How long the hub is asked to hold a poll, in seconds; it does so for 30 at most. */
const hold = 25;
/** The longest pause that the hub may ask for, in seconds. */
export const maxPause = 3600;
/** An answer that took longer was held. */
const heldFor = 1000;

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
  base: string, sessions: Sessions, options: SessionEventsOptions, longPoll: boolean,
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
    notBefore = Date.now() + 1000 * Math.min(maxPause, +headers.get('retry-after')! || 0);
    fail(
      Object.assign(new Error(body.message ?? body.error ?? 'HTTP ' + status), { code: status, sessionId: session }),
      final && session === undefined,
    );
    return final && sessions.all.delete(session);
  };

  /** Answers whether to go on at once. */
  const ask = async (part: Session[], wait: boolean, signal: AbortSignal): Promise<boolean> => {
    const { apiKey, ...query } = await options.params?.() ?? {} as Record<string, string>;
    // Who has no position gets one, and what comes behind it.
    const first = !part[0]!.cursor;
    query.limit = String(first ? 1 : Math.min(maxEvents, Math.floor(5000 / part.length)));
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
      const page: Page = body.sessions ? body.sessions[s.id] : body;
      if (page.gap) sessions.reset(s, 'gap');
      if (!first) for (const event of page.events) sessions.deliver(s, event);
      s.cursor = page.cursor;
      more ||= first || !!page.hasMore;
      some ||= page.events.length > 0;
    }
    return more || longPoll && wait && (some || held);
  };

  const run = async () => {
    running?.abort();
    if (over || !awake() || !sessions.all.size) return;
    const mine = running = new AbortController();
    next(hold * 1000 + connectTimeout); // then without its answer
    const all = [...sessions.all.values()];
    const fresh = all.filter((s) => !s.cursor);
    const asked = fresh.length ? fresh : all;
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

  next(0);
  return {
    kick: () => next(0),
    stop() {
      over = true;
      clearTimeout(timer);
      running?.abort();
    },
  };
}
