import { h, render } from 'preact';
import { Breakers } from './breakers.js';
import { Badge, Header, Refused, type Connection, type Down } from './header.js';
import { Clients, Sessions } from './lists.js';
import { Follower, LiveEvents } from './live.js';
import { followStatus } from './status.js';
import { Stream } from './stream.js';
import { Tiles } from './tiles.js';
import type { Status } from './types.js';

interface State {
  status?: Status;
  down?: Down;
  refused?: { why: string; code: number };
  connection: Connection;
  /** Counts what has come. */
  version: number;
}

let state: State = { connection: { status: 'connecting' }, version: 0 };
let frame = 0;

/** Changes what is to be seen, in the next frame: a thousand changes are one drawing. */
function change(part: Partial<State>): void {
  state = { ...state, ...part };
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    render(<App {...state} />, document.getElementById('app')!);
  });
}

const changed = () => change({ version: state.version + 1 });
const live = new LiveEvents();
const follower = new Follower(live, changed, (status, problem) => change({ connection: { status, problem } }));

const follow = (session: string) => {
  if (session) follower.follow(session);
};
const choose = (session: string) => {
  live.choose({ ...live.filter, session });
  changed();
  document.querySelector('.events')!.scrollIntoView({ block: 'center' });
};

const App = ({ status, down, refused, connection, version }: State) => refused ? <Refused {...refused} /> : (
  <div class="page">
    <Header hub={status?.hub} connection={connection} />
    <main>
      <Badge status={status} down={down} />
      {status && [
        <Tiles status={status} />, <Breakers status={status} />, <Sessions status={status} choose={choose} />,
        <Stream live={live} version={version} followed={follower.size} sessions={status.sessionCount} changed={changed} follow={follow} />,
        <Clients status={status} />,
      ]}
    </main>
  </div>
);

live.filter.session = new URLSearchParams(location.search).get('session') ?? '';
changed();
void followStatus({
  status(status) {
    follower.update(status);
    change({ status, down: undefined });
  },
  down: (why) => change({ down: { since: state.down?.since ?? Date.now(), why } }),
  refused: (why, code) => change({ refused: { why, code } }),
});
