import { h } from 'preact';
import type { WorkspaceEvent } from '@actionflows/lifeline';
import { curl } from './api.js';
import { clock, number, plural } from './format.js';
import { maxRows, pathOf, type Filter, type LiveEvents, type Row } from './live.js';
import { Panel, Part } from './parts.js';

/** What sums an event up: a path, else its own fields. */
function sum(event: WorkspaceEvent): string {
  const path = pathOf(event);
  if (path) return path;
  const { type, sessionId, timestamp, id, eventId, ...rest } = event;
  return Object.entries(rest).map(([k, v]) => `${k}: ${typeof v === 'string' ? v : JSON.stringify(v)}`).join(', ').slice(0, 300);
}

/** The command that posts such an event anew, under an id and a time of its own. */
function again({ id, eventId, timestamp, ...event }: WorkspaceEvent): string {
  return curl('api/events', event);
}

class Event extends Part<{ row: Row; copy(text: string): void }, { open?: boolean }> {
  override render() {
    const { row: { event }, copy } = this.props;
    return (
      <li>
        <details onToggle={(e) => this.setState({ open: e.currentTarget.open })}>
          <summary>
            <time dateTime={event.timestamp}>{clock(event.timestamp, true)}</time>
            <span class="from">{event.sessionId}</span>
            <b>{event.type}</b>
            <span class="sum">{sum(event)}</span>
          </summary>
          {this.state.open && (
            <div class="whole">
              <button onClick={() => copy(again(event))}>Copy as curl</button>
              <pre tabIndex={0}>{JSON.stringify(event, null, 2)}</pre>
            </div>
          )}
        </details>
      </li>
    );
  }
}

interface StreamProps {
  live: LiveEvents;
  /** Another one when there is something new in live. */
  version: number;
  followed: number;
  sessions: number;
  changed(): void;
  follow(session: string): void;
}

/** New rows in one frame, so that it stays short however much has come: the others come with the next ones. */
const newRows = 20;

/** The events as they come. */
export class Stream extends Part<StreamProps, { said?: string }> {
  drawn = new Set<Row>();

  /** Those of the rows that are drawn in this frame. */
  draw(rows: Row[]): Row[] {
    let left = newRows;
    const now = rows.filter((row) => this.drawn.has(row) || left-- > 0);
    this.drawn = new Set(now);
    if (now.length < rows.length) this.props.changed();
    return now;
  }

  copy = async (text: string) => {
    this.setState({ said: await copied(text) ? 'Copied.' : text });
  };

  choose = (part: Partial<Filter>) => {
    const { live, changed } = this.props;
    live.choose({ ...live.filter, ...part });
    changed();
  };

  override render() {
    const { live, followed, sessions, changed } = this.props;
    const rows = live.rows();
    const session = live.filter.session;
    const note = `${rows.length === maxRows ? `the last ${maxRows}` : plural(rows.length, 'event')} of ${plural(followed, 'session')}`;
    return (
      <Panel name="Live events" note={note + (followed < sessions ? `, the newest of ${number(sessions)}` : '')}>
        <form onSubmit={(e) => e.preventDefault()}>
          <Field name="type" filter={live.filter} choose={this.choose} />
          <Field name="session" filter={live.filter} choose={this.choose} chosen={this.props.follow} />
          <Field name="path" filter={live.filter} choose={this.choose} />
          <button type="button" class="pause" aria-pressed={live.paused} onClick={() => { live.paused = !live.paused; changed(); }}>
            {live.paused ? `Resume (${number(live.waiting)} new)` : 'Pause'}
          </button>
          <button type="button" onClick={() => { live.clear(); changed(); }}>Clear</button>
          {session && <button type="button" onClick={() => this.copy(curl('api/events/stream/' + encodeURIComponent(session)))}>Copy as curl</button>}
        </form>
        <p role="status" class="said">{this.state.said}</p>
        {!rows.length && (
          <div class="empty">
            <p>{live.total ? 'Nothing that matches.' : 'Nothing yet. Send the first event:'}</p>
            {!live.total && <pre tabIndex={0}>{curl('api/events', { type: 'step:started', sessionId: session || 'demo', action: 'hello' })}</pre>}
          </div>
        )}
        <ol class="list events" tabIndex={0} aria-label="Live events, newest first">
          {this.draw(rows).map((row) => <Event key={row.n} row={row} copy={this.copy} />)}
        </ol>
      </Panel>
    );
  }
}

interface FieldProps {
  name: keyof Filter;
  filter: Filter;
  choose(part: Partial<Filter>): void;
  chosen?(value: string): void;
}

const Field = ({ name, filter, choose, chosen }: FieldProps) => (
  <label>
    {name[0]!.toUpperCase() + name.slice(1)}
    <input type="search" value={filter[name]} spellcheck={false} autocomplete="off"
      onInput={(e) => choose({ [name]: e.currentTarget.value })} onChange={(e) => chosen?.(e.currentTarget.value)} />
  </label>
);

/** Puts a text on the clipboard, which pages without TLS may do in the old way only. */
async function copied(text: string): Promise<boolean> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
  const area = document.createElement('textarea');
  area.value = text;
  document.body.append(area);
  area.select();
  const ok = document.execCommand('copy');
  area.remove();
  return ok;
}
