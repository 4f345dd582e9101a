import { h } from 'preact';
import { bytes, number } from './format.js';
import { Part, Sparkline } from './parts.js';
import type { Status, Values } from './types.js';

const last = (values: Values) => values.at(-1);
const peak = (values: Values) => 'peak ' + number(Math.max(0, ...values.map((v) => v ?? 0)));

interface TileProps {
  title: string;
  value: string;
  unit?: string;
  lines: [values: Values, legend?: string][];
  note?: string;
  alarm?: boolean;
}

const Tile = ({ title, value, unit, lines, note, alarm }: TileProps) => (
  <li class={alarm ? 'tile alarm' : 'tile'}>
    <h2>{title}</h2>
    <p class="value">{value} {unit && <small>{unit}</small>}</p>
    <Sparkline lines={lines.map(([values]) => values)} />
    <p class="note">
      {note}
      {lines.map(([, legend], i) => legend && <span class={'legend line' + i}>{legend}</span>)}
    </p>
  </li>
);

/** The last value that there is: a delay has none in a second in which nothing was delivered. */
const lately = (values: Values) => values.findLast((v) => v != null);

/** Figures with their last two minutes. */
export class Tiles extends Part<{ status: Status }> {
  override render() {
    const { history: t, storage } = this.props.status;
    const clients = [t.websockets, t.streams, t.longPolls].map((v) => last(v) ?? 0);
    return (
      <section aria-label="The last two minutes">
        <ul class="tiles">
          <Tile title="Clients" value={number(clients.reduce((a, b) => a + b))} lines={[
            [t.websockets, number(clients[0]) + ' WebSocket'], [t.streams, number(clients[1]) + ' stream'], [t.longPolls, number(clients[2]) + ' long poll'],
          ]} />
          <Tile title="Events in" value={number(last(t.received))} unit="/s" lines={[[t.received]]} note={peak(t.received)} />
          <Tile title="Deliveries" value={number(last(t.delivered))} unit="/s" lines={[[t.delivered]]} note={peak(t.delivered)} />
          <Tile title="Delay, p99" value={number(lately(t.delayP99))} unit="ms" lines={[[t.delayP99], [t.delayP50, `p50 ${number(lately(t.delayP50))} ms`]]} />
          <Tile title="Slow consumers" value={number(last(t.slowConsumers))} unit="/s" lines={[[t.slowConsumers]]} note={peak(t.slowConsumers)} alarm={!!last(t.slowConsumers)} />
          <Tile title="Journal depth" value={number(storage.pending)} lines={[[t.pending]]} note={storage.journalBytes ? bytes(storage.journalBytes) + ' kept' : peak(t.pending)} alarm={storage.pending > 0} />
          <Tile title="Rejections" value={number(last(t.rejected))} unit="/s" lines={[[t.rejected]]} note={'by breakers, ' + peak(t.rejected)} alarm={!!last(t.rejected)} />
        </ul>
      </section>
    );
  }
}
