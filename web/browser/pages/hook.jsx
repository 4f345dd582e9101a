// A page that uses the hook as the original dashboard did; only the import is another.
import { StrictMode, useEffect, useState, version } from 'react';
import { createRoot } from 'react-dom/client';
import { useWebSocket } from '@actionflows/lifeline/react';

function Dashboard({ session }) {
  const [events, setEvents] = useState([]);
  const { status, send, subscribe, unsubscribe, error } = useWebSocket({
    onEvent: (event) => setEvents((before) => [...before, event]),
    reconnectInterval: 200,
  });
  useEffect(() => {
    subscribe(session);
    return () => unsubscribe(session);
  }, [session, subscribe, unsubscribe]);
  return (
    <main>
      <p id="status">{status}{error ? ': ' + error.message : ''}</p>
      <button onClick={() => send({ type: 'input', sessionId: session, payload: 'hello' })}>Say hello</button>
      <ol>{events.map((e) => <li key={e.id}>{e.number}</li>)}</ol>
    </main>
  );
}

const root = createRoot(document.getElementById('root'));
const session = new URLSearchParams(location.search).get('session');
window.mount = () => root.render(<StrictMode><Dashboard session={session} /></StrictMode>);
window.follow = (other) => root.render(<StrictMode><Dashboard session={other} /></StrictMode>);
window.unmount = () => root.render(null);
window.react = version;
window.ready = true;
