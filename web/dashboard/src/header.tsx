import type { ConnectionStatus } from '@actionflows/lifeline';
import { Fragment, h } from 'preact';
import { key, useKey } from './api.js';
import { bytes, clock, length, plural } from './format.js';
import { Part, State } from './parts.js';
import type { Status } from './types.js';

export interface Connection {
  status: ConnectionStatus;
  problem?: string;
}

/** Why and since when the hub gives no sign of life. */
export interface Down {
  since: number;
  why: string;
}

const ways: Record<ConnectionStatus, string> = {
  connecting: 'connecting', connected: 'connected by WebSocket', disconnected: 'reconnecting',
  polling: 'connected by polls, since WebSockets fail', error: 'refused',
};

/** How this page itself is connected. */
export class Header extends Part<{ hub?: string; connection: Connection }> {
  override render() {
    const { hub, connection: { status, problem } } = this.props;
    const mood = status === 'connected' ? 'good' : status === 'error' ? 'bad' : 'warn';
    return (
      <header>
        <h1><img src="icon.svg" alt="" width="28" height="28" />Lifeline {hub && <small>{hub}</small>}</h1>
        <p>
          This page: <State mood={mood}>{ways[status]}</State>
          {problem && status !== 'connected' && <small> {problem}</small>}
        </p>
        {key && <button onClick={() => useKey()}>Forget the key</button>}
      </header>
    );
  }
}

/** The one badge: a word for how the hub is, and why. */
export class Badge extends Part<{ status?: Status; down?: Down }> {
  override render() {
    const { status, down } = this.props;
    const word = down ? 'Down' : !status ? 'Connecting' : status.status === 'live' ? 'Live' : 'Degraded';
    const mood = down ? 'bad' : word === 'Live' ? 'good' : 'warn';
    document.title = word + ' · Lifeline';
    return (
      <section class={'badge ' + mood} aria-label="How the hub is">
        <div role="status">
          <State mood={mood}>{word}</State>
          {down ? <p>{down.why}</p> : reasonsOf(status).map((r) => <p key={r}>{r}</p>)}
        </div>
        <p class="more">{down ? <Ago down={down} /> : status && <Facts status={status} />}</p>
      </section>
    );
  }
}

/** Without the number of what waits: it is told beside, where no screen reader reads each change aloud. */
const reasonsOf = (status?: Status) => status?.reasons.filter((r) => !/^\d+ events? wait/.test(r)) ?? [];

const Ago = ({ down }: { down: Down }) => (
  <>Since {clock(down.since)}, for {length(Date.now() - down.since)}. It is tried again; what is below is from before.</>
);

const Facts = ({ status: { storage, uptime } }: { status: Status }) => (
  <>
    {storage.pending > 0 && <b class="pending">{plural(storage.pending, 'event')} wait{storage.pending === 1 && 's'} to be stored. </b>}
    Storage {storage.driver}{storage.journalBytes > 0 && `, ${bytes(storage.journalBytes)} of journal`}, up for {length(uptime * 1000)}.
  </>
);

/** What stands there instead of everything when the hub refuses us. */
export const Refused = ({ code, why }: { code: number; why: string }) => (
  <main class="refused">
    <h1><img src="icon.svg" alt="" width="28" height="28" />Lifeline</h1>
    <p role="alert"><State mood="bad">{code === 401 ? key ? 'This key is not valid' : 'Not signed in' : 'Refused'}</State> {why}</p>
    {code !== 404 && (
      <form onSubmit={(e) => {
        e.preventDefault();
        useKey(new FormData(e.currentTarget).get('key') as string);
      }}>
        <label>API key <input name="key" type="password" autocomplete="off" required autoFocus /></label>
        <button class="first">Open</button>
        <small>It is kept in this tab alone, until you close it.</small>
      </form>
    )}
  </main>
);
