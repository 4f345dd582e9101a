import { h } from 'preact';
import { bytes, length, number, plural } from './format.js';
import { Panel, Part, State, type Mood } from './parts.js';
import type { Status, Watcher } from './types.js';

const moods: Record<Watcher['state'], Mood> = {
  watching: 'good', starting: 'warn', degraded: 'warn', retrying: 'warn', failed: 'bad', stopped: 'warn',
};

const Watching = ({ watcher: w }: { watcher?: Watcher }) => w ? (
  <span class="watcher">
    <State mood={moods[w.state]}>
      {w.state}{w.state === 'retrying' && `, ${w.attempts} of ${w.maxAttempts}`}{w.state === 'failed' && ` after ${plural(w.attempts, 'retry', 'retries')}`}
    </State>{' '}
    <small>
      {w.root && w.root + ': '}{plural(w.watches, 'watch', 'watches')}, {plural(w.entries, 'entry', 'entries')}
      {w.overflows > 0 && `, ${plural(w.overflows, 'overflow')}`}
      {w.state !== 'watching' && w.lastError && <em>{w.lastError}</em>}
    </small>
  </span>
) : <span class="watcher none" />;

/** Sessions and the directories watched for them. */
export class Sessions extends Part<{ status: Status; choose(session: string): void }> {
  override render() {
    const { choose, status: { sessions, sessionCount, timestamp } } = this.props;
    const now = Date.parse(timestamp);
    return (
      <Panel name="Sessions" note={count(sessions.length, sessionCount, 'those with the newest events')} half>
        {!sessions.length && <p class="empty">None yet: the first event of a session makes it.</p>}
        <ul class="list" tabIndex={0} aria-label="Sessions">
          {sessions.map((s) => (
            <li key={s.sessionId} class="session">
              <span class="name">
                <button class="link" onClick={() => choose(s.sessionId)} title="Show its events only">{s.sessionId}</button>
              </span>
              <Watching watcher={s.watcher} />
              <span class="event">{s.lastEvent
                ? <span>{s.lastEvent.type} <small>{length(now - Date.parse(s.lastEvent.at))} ago</small></span>
                : <small>no events</small>}
              </span>
              <span class="count">{plural(s.clients, 'client')}</span>
            </li>
          ))}
        </ul>
      </Panel>
    );
  }
}

const transports = { websocket: 'WebSocket', sse: 'stream', poll: 'long poll' };

/** Who is connected. */
export class Clients extends Part<{ status: Status }> {
  override render() {
    const { clients, clientCount, timestamp } = this.props.status;
    const now = Date.parse(timestamp);
    return (
      <Panel name="Clients" note={count(clients.length, clientCount, 'the newest')}>
        {!clients.length && <p class="empty">None.</p>}
        <ul class="list" tabIndex={0} aria-label="Clients">
          {clients.map((c) => (
            <li key={c.id ?? c.since} class="client">
              <span class="name">{c.user ? <b>{c.user}</b> : 'no user'} <small>{c.id}</small></span>
              <span>{transports[c.transport]}</span>
              <span>{plural(c.sessions, 'session')}</span>
              <span>for {length(now - Date.parse(c.since))}</span>
              <span class={c.queued ? 'queued' : ''}>{c.queued ? bytes(c.queued) + ' waiting' : 'nothing waiting'}</span>
            </li>
          ))}
        </ul>
      </Panel>
    );
  }
}

const count = (shown: number, all: number, which: string) => shown < all ? `${number(shown)} of ${number(all)}, ${which}` : number(all);
