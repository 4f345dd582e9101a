'use strict';
// Follows one session over Server-Sent Events and shows what comes.

const maxRows = 500;
const el = (id) => document.getElementById(id);
const base = new URL('..', location.href);

let source = null;
let session = new URLSearchParams(location.search).get('session') || 'demo';
let paused = false;
let total = 0;
let waiting = []; // rows that came while paused, at most maxRows

function setStatus(state, words) {
  el('status').dataset.state = state;
  el('status').textContent = words;
}

function problem(text) {
  el('problem').hidden = !text;
  el('problem').textContent = text;
}

function create(tag, className, text) {
  const e = document.createElement(tag);
  e.className = className;
  e.textContent = text;
  return e;
}

function clock(value) {
  const t = new Date(value);
  if (Number.isNaN(t.getTime())) return '';
  return t.toLocaleTimeString([], { hour12: false }) + '.' + String(t.getMilliseconds()).padStart(3, '0');
}

// what sums an event up in a line: a path for files, else its own fields.
function what(event) {
  if (event.relativePath) return event.relativePath;
  const { type, sessionId, timestamp, id, eventId, ...rest } = event;
  const text = JSON.stringify(rest);
  return text === '{}' ? '' : text;
}

function row(event) {
  const item = document.createElement('li');
  const details = document.createElement('details');
  const summary = document.createElement('summary');
  summary.append(create('time', '', clock(event.timestamp)), create('span', 'type', event.type),
    create('span', 'what', what(event)));
  details.append(summary, create('pre', '', JSON.stringify(event, null, 2)));
  item.append(details);
  return item;
}

function show(item) {
  total++;
  el('count').textContent = String(total);
  el('empty').hidden = el('hint').hidden = true;
  if (paused) {
    waiting.push(item);
    if (waiting.length > maxRows) waiting.shift();
    return;
  }
  el('events').prepend(item);
  while (el('events').childElementCount > maxRows) el('events').lastElementChild.remove();
}

function follow(name) {
  if (source) source.close();
  session = name;
  clear();
  problem('');
  el('session').value = name;
  el('hint').textContent = `curl ${new URL('api/events', base)} -H 'Content-Type: application/json' \\\n` +
    `  -d '${JSON.stringify({ type: 'step:started', sessionId: name, action: 'hello' }).replaceAll("'", "'\\''")}'`;
  setStatus('connecting', 'Connecting');
  // A fresh page shows the last 24 hours as far as they are kept.
  const since = new Date(Date.now() - 24 * 3600 * 1000).toISOString();
  const url = new URL('api/events/stream/' + encodeURIComponent(name), base);
  url.searchParams.set('since', since);
  source = new EventSource(url);
  source.onopen = () => { problem(''); setStatus('live', 'Live'); };
  source.onmessage = (m) => show(row(JSON.parse(m.data)));
  source.addEventListener('lifeline.gap', () =>
    show(create('li', 'gap', 'Older events are no longer kept.')));
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) {
      setStatus('down', 'Disconnected');
      explain();
    } else {
      setStatus('connecting', 'Reconnecting');
    }
  };
}

// explain asks what an EventSource cannot tell: why it was refused.
async function explain() {
  try {
    const answer = await fetch(new URL('api/events/' + encodeURIComponent(session) + '?limit=1', base));
    if (answer.ok) return;
    const body = await answer.json();
    problem(body.message ? `${body.error}: ${body.message}` : body.error);
  } catch {
    problem('The server does not answer.');
  }
}

function clear() {
  total = 0;
  waiting = [];
  el('events').replaceChildren();
  el('count').textContent = '0';
  el('empty').hidden = el('hint').hidden = false;
}

async function health() {
  if (document.hidden) return;
  try {
    const answer = await fetch(new URL('api/health/circuit-breakers', base));
    if (!answer.ok) return;
    const h = await answer.json();
    const breakers = h.circuitBreakers.map((b) => `, breaker ${b.name} ${b.state}`).join('');
    const pending = h.storage.pending ? `, ${h.storage.pending} waiting to be stored` : '';
    el('storage').textContent = `Storage ${h.storage.driver}: ${h.status}${breakers}${pending}`;
  } catch {
    el('storage').textContent = '';
  }
}

el('choose').addEventListener('submit', (e) => {
  e.preventDefault();
  const name = el('session').value.trim();
  if (!name) return;
  history.replaceState(null, '', '?session=' + encodeURIComponent(name));
  follow(name);
});
el('pause').addEventListener('click', () => {
  paused = !paused;
  el('pause').setAttribute('aria-pressed', String(paused));
  el('pause').textContent = paused ? 'Resume' : 'Pause';
  if (paused) return;
  for (const item of waiting) el('events').prepend(item);
  waiting = [];
  while (el('events').childElementCount > maxRows) el('events').lastElementChild.remove();
});
el('clear').addEventListener('click', clear);
document.addEventListener('visibilitychange', health);
setInterval(health, 5000);
health();
follow(session);
