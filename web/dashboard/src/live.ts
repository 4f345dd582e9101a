import { createSessionEvents, type ConnectionStatus, type SessionEvents, type WorkspaceEvent } from '@actionflows/lifeline';
import { ask, key } from './api.js';
import type { Session, Status } from './types.js';

/** Rows that are kept, whatever comes. */
export const maxRows = 500;
/** Sessions that are followed at the same time: fewer than a WebSocket may, `max_subscriptions`. */
const maxFollowed = 200;
/** New subscriptions in a second, below the hub's 50 messages. */
const maxNew = 20;
/** How long before the last status an event may have happened that it does not list yet, in ms: it is stored first. */
const listedLate = 5000;
/** Of so many sessions a fresh page shows so many events that were before. */
const pastSessions = 10;
const pastEvents = 50;

export interface Row {
  n: number;
  event: WorkspaceEvent;
}

export interface Filter {
  type: string;
  session: string;
  path: string;
}

export const pathOf = (e: WorkspaceEvent): string => String(e.relativePath ?? e.path ?? '');

/** The last events, bounded. */
export class LiveEvents {
  /** How many came while it was paused. */
  waiting = 0;
  total = 0;
  filter: Filter = { type: '', session: '', path: '' };
  private recent: Row[] = []; // oldest first, all
  private matching: Row[] = []; // oldest first, what the filter leaves
  private frozen?: Row[];

  add(event: WorkspaceEvent): void {
    const row = { n: ++this.total, event };
    this.recent = push(this.recent, row);
    if (!this.matches(event)) return;
    this.matching = push(this.matching, row);
    if (this.frozen) this.waiting++;
  }

  /** What is to be seen, newest first. */
  rows(): Row[] {
    return this.frozen ?? this.matching.slice(-maxRows).reverse();
  }

  get paused(): boolean { return !!this.frozen; }
  set paused(on: boolean) {
    this.frozen = on ? this.rows() : undefined;
    this.waiting = 0;
  }

  choose(filter: Filter): void {
    const { paused } = this;
    this.paused = false;
    this.filter = filter;
    this.matching = this.recent.filter((row) => this.matches(row.event));
    this.paused = paused;
  }

  clear(): void {
    this.recent = [];
    this.choose(this.filter);
  }

  private matches(event: WorkspaceEvent): boolean {
    const has = (text: string, part: string) => !part || text.toLowerCase().includes(part.toLowerCase());
    const { type, session, path } = this.filter;
    return has(event.type, type) && has(event.sessionId, session) && has(pathOf(event), path);
  }
}

/** Appends; what is beyond the bound goes now and then, so that it costs nothing. */
function push(rows: Row[], row: Row): Row[] {
  rows.push(row);
  return rows.length > 2 * maxRows ? rows.slice(-maxRows) : rows;
}

/** Follows the sessions that the hub's status names, those with the newest events first. */
export class Follower {
  private client?: SessionEvents;
  private followed = new Map<string, () => void>();
  private refused = new Set<string>(); // other users'
  private since = 0; // the time of the last status, in ms
  /** Until when sessions were followed that are not any more: not again from before. */
  private left = 0;
  /** The hub lets one WebSocket follow no more than this. */
  private most = maxFollowed;

  constructor(
    private live: LiveEvents,
    private changed: () => void,
    private connection: (status: ConnectionStatus, problem?: string) => void,
  ) {}

  get size(): number { return this.followed.size; }

  /** A hub that was asked how it is has answered. */
  update({ sessions, timestamp }: Status): void {
    if (!this.client) this.start(sessions);
    const listed = sessions.slice(0, this.most).map((s) => s.sessionId).filter((id) => !this.followed.has(id) && !this.refused.has(id)).slice(0, maxNew);
    this.makeRoom(sessions, listed.length);
    const now = Date.parse(timestamp);
    const since = new Date(this.since ? Math.max(this.since - listedLate, this.left) : now).toISOString();
    for (const id of listed) if (this.followed.size < this.most) this.follow(id, since);
    this.since = now;
  }

  /** Follows a session by name, listed or not. */
  follow(id: string, since?: string): void {
    if (!this.followed.has(id)) this.followed.set(id, this.client!.subscribe(id, since));
  }

  private makeRoom(sessions: Session[], wanted: number): void {
    const named = new Set(sessions.map((s) => s.sessionId));
    for (const [id, leave] of this.followed) {
      if (this.followed.size + wanted <= this.most) return;
      if (named.has(id) || id === this.live.filter.session) continue;
      leave();
      this.followed.delete(id);
      this.left = this.since;
    }
  }

  private start(sessions: Session[]): void {
    this.client = createSessionEvents({
      params: () => (key ? { apiKey: key } : {}) as Record<string, string>,
      onEvent: (event) => {
        this.live.add(event);
        this.changed();
      },
      onStatus: (status) => this.connection(status),
      onError: (error) => {
        if (!error.sessionId) return this.connection(this.client!.status, error.message);
        this.followed.delete(error.sessionId);
        if (error.code === 'too_many_subscriptions') this.most = this.followed.size;
        else if (error.code !== 'unavailable') this.refused.add(error.sessionId);
      },
    });
    const first = sessions.slice(0, pastSessions).map((s) => s.sessionId);
    for (const id of first) this.followed.set(id, () => {}); // until its past is here
    void this.past(first);
  }

  /** Shows what was before, and goes on behind it. */
  private async past(ids: string[]): Promise<void> {
    const events: WorkspaceEvent[] = [];
    await Promise.all(ids.map(async (id) => {
      const page = await ask(`api/events/${encodeURIComponent(id)}?limit=${pastEvents}`).then((a) => a.json()).catch(() => undefined);
      events.push(...page?.events ?? []);
      this.followed.set(id, this.client!.subscribe(id, page?.cursor));
    }));
    const time = (e: WorkspaceEvent) => Date.parse(e.timestamp ?? '') || 0;
    for (const event of events.sort((a, b) => time(a) - time(b))) this.live.add(event);
    this.changed();
  }
}
