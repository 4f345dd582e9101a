import { Component, h } from 'preact';
import { ask } from './api.js';
import { clock, length, plural } from './format.js';
import { Panel, Part, State, type Mood } from './parts.js';
import type { Breaker, Status } from './types.js';

const moods: Record<Breaker['state'], Mood> = { closed: 'good', open: 'bad', 'half-open': 'warn' };
const words = { closed: 'Closed', open: 'Open', 'half-open': 'Half-open' };

type Operation = 'reset' | 'trip' | 'hold' | 'release';
const done = { reset: 'was reset', trip: 'was tripped', hold: 'is held', release: 'was released' };

interface BreakersState {
  said?: string;
  problem?: string;
  /** What is asked about before it is done. */
  asked?: { name: string; operation: 'trip' | 'hold' };
}

/** Circuit breakers, and what may be done with them. */
export class Breakers extends Part<{ status: Status }, BreakersState> {
  operate = async (name: string, operation: Operation, body?: object) => {
    try {
      await ask(`api/health/circuit-breakers/${encodeURIComponent(name)}/${operation}`, { method: 'POST', body: body && JSON.stringify(body) });
      this.setState({ said: `${name} ${done[operation]}.`, problem: undefined, asked: undefined });
    } catch (error) {
      this.setState({ said: undefined, problem: `${name}: ${(error as Error).message}`, asked: undefined });
    }
  };

  override render() {
    const { status: { breakers, may, timestamp } } = this.props;
    const { said, problem, asked } = this.state;
    return (
      <Panel name="Circuit breakers" half>
        <p role="status" class="said">{said}</p>
        {problem && <p role="alert" class="problem">{problem}</p>}
        {!breakers.length && <p class="empty">This hub has none: its storage needs none, or they are off.</p>}
        <ul class="cards">
          {breakers.map((b) => (
            <li key={b.name} class="card">
              <h3>{b.name} <State mood={b.held ? 'warn' : moods[b.state]}>{words[b.state]}</State></h3>
              <Facts breaker={b} now={Date.parse(timestamp)} />
              {may.operate && (
                <div class="buttons">
                  <Button name={b.name} text="Reset" press={() => this.operate(b.name, 'reset')} />
                  <Button name={b.name} text="Trip…" press={() => this.setState({ asked: { name: b.name, operation: 'trip' } })} />
                  {b.held
                    ? <Button name={b.name} text="Release" press={() => this.operate(b.name, 'release')} />
                    : <Button name={b.name} text="Hold…" press={() => this.setState({ asked: { name: b.name, operation: 'hold' } })} />}
                </div>
              )}
              <Transitions breaker={b} />
            </li>
          ))}
        </ul>
        {breakers.length > 0 && !may.operate && <p class="empty">Operating them is for the users of <code>breaker_admin</code>.</p>}
        {asked && <Ask {...asked} operate={this.operate} close={() => this.setState({ asked: undefined })} />}
      </Panel>
    );
  }
}

/** Screen readers are told whose button it is. */
const Button = ({ name, text, press }: { name: string; text: string; press(): void }) => (
  <button aria-label={`${text} ${name}`} onClick={press}>{text}</button>
);

const Facts = ({ breaker: b, now }: { breaker: Breaker; now: number }) => (
  <dl>
    {b.held && <div><dt>Held</dt><dd>{b.held.state}, {b.held.until ? `for another ${length(Date.parse(b.held.until) - now, true)}` : 'until it is released'}</dd></div>}
    {b.state === 'open' && !b.held && <div><dt>Next probe</dt><dd>{b.retryIn > 0 ? 'in ' + length(b.retryIn, true) : 'now'}</dd></div>}
    <div><dt>Failures</dt><dd>{b.failureCount} in a row, {plural(b.totalTrips, 'trip')}</dd></div>
    {b.lastError && <div><dt>Last error</dt><dd>{b.lastError}{b.lastFailureTime && <small> {length(now - Date.parse(b.lastFailureTime))} ago</small>}</dd></div>}
  </dl>
);

const Transitions = ({ breaker: b }: { breaker: Breaker }) => !b.transitions.length ? null : (
  <details>
    <summary>{plural(b.transitions.length, 'transition')}, the last to {b.transitions[0]!.to} at {clock(b.transitions[0]!.at)}</summary>
    <ol>{b.transitions.map((t) => <li><time dateTime={t.at}>{clock(t.at)}</time> {t.from !== t.to && t.from + ' → '}<b>{t.to}</b> <small>{t.reason}{t.held && `, held ${t.held}`}{t.cause && ': ' + t.cause}</small></li>)}</ol>
  </details>
);

interface AskProps {
  name: string;
  operation: 'trip' | 'hold';
  operate(name: string, operation: Operation, body: object): void;
  close(): void;
}

/** Asks how, and whether: both keep writes from the storage. */
class Ask extends Component<AskProps> {
  override render({ name, operation, operate, close }: AskProps) {
    return (
      <dialog ref={(d) => { if (d && !d.open) d.showModal(); }} onClose={close} aria-labelledby="ask">
        <form onSubmit={(e) => {
          e.preventDefault();
          operate(name, operation, Object.fromEntries(new FormData(e.currentTarget)));
        }}>
          <h2 id="ask">{operation === 'trip' ? 'Trip' : 'Hold'} {name}</h2>
          {operation === 'trip' ? [
            <p>It opens until a probe succeeds. With a working storage that is within a second.</p>,
            <label>Cause <input name="cause" maxLength={200} placeholder="for the log" /></label>,
          ] : [
            <label>As <select name="state">
              <option value="forced-open">open: nothing reaches the storage, events wait</option>
              <option value="disabled">closed: failures are not counted</option>
            </select></label>,
            <label>For <select name="for">
              <option value="1m">a minute</option>
              <option value="10m" selected>ten minutes</option>
              <option value="1h">an hour</option>
              <option value="forever">as long as nobody releases it</option>
            </select></label>,
          ]}
          <p class="buttons">
            <button class="first">{operation === 'trip' ? 'Trip it' : 'Hold it'}</button>
            <button type="button" onClick={close}>Cancel</button>
          </p>
        </form>
      </dialog>
    );
  }
}
