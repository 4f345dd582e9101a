import { Component, h, type ComponentChildren } from 'preact';
import type { Values } from './types.js';

/** A component that is drawn anew only when its properties are others. */
export abstract class Part<P, S = {}> extends Component<P, S> {
  override shouldComponentUpdate(next: P, state: S): boolean {
    for (const name in next) if (next[name] !== this.props[name]) return true;
    return state !== this.state;
  }
}

interface PanelProps {
  name: string;
  note?: ComponentChildren;
  /** As wide as half of the page, where that is wide. */
  half?: boolean;
  children: ComponentChildren;
}

export const Panel = ({ name, note, half, children }: PanelProps) => (
  <section class={half ? 'panel half' : 'panel'} aria-label={name}>
    <h2>{name} <small>{note}</small></h2>
    {children}
  </section>
);

export type Mood = 'good' | 'warn' | 'bad';

const shapes: Record<Mood, string> = {
  good: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm3.6 5L7.2 11 4.4 8.3l1-1.1 1.7 1.6L10.5 5Z',
  warn: 'M8 1 15.5 14.5H.5ZM7.2 5.5v4.5h1.6V5.5Zm0 5.7v1.6h1.6v-1.6Z',
  bad: 'M5 1h6l4 4v6l-4 4H5l-4-4V5Zm.6 3.5L4.5 5.6 6.9 8l-2.4 2.4 1.1 1.1L8 9.1l2.4 2.4 1.1-1.1L9.1 8l2.4-2.4-1.1-1.1L8 6.9Z',
};

/** A state in words, with a shape of its own, so that no one needs its colour. */
export const State = ({ mood, children }: { mood: Mood; children: ComponentChildren }) => (
  <b class={'state ' + mood}>
    <svg viewBox="0 0 16 16" aria-hidden="true"><path fill-rule="evenodd" d={shapes[mood]} /></svg>
    {children}
  </b>
);

const width = 120, height = 36;

/** Lines over the last two minutes, the first drawn through, the next dashed and dotted. */
export const Sparkline = ({ lines }: { lines: Values[] }) => {
  const most = Math.max(1, ...lines.flatMap((l) => l.map((v) => v ?? 0)));
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
      {lines.length === 1 && <path class="area" d={path(lines[0]!, most, true)} />}
      {lines.map((values, i) => <path class={'line' + i} d={path(values, most)} />)}
    </svg>
  );
};

/** A line through the values, ending at the right, with a hole where there is none. */
function path(values: Values, most: number, filled?: boolean): string {
  let d = '';
  values.forEach((v, i) => {
    if (v == null) return;
    const x = width - values.length + i, y = (height - 2 - v / most * (height - 4)).toFixed(1);
    const first = values[i - 1] == null, over = values[i + 1] == null;
    if (first) d += filled ? `M${x} ${height}V${y}` : `M${x} ${y}`;
    d += `L${x + 1} ${y}`; // a single value is a dash
    if (over && filled) d += `V${height}Z`;
  });
  return d;
}
