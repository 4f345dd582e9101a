// A real Caddy behind a proxy that can be troubled, and a real Chromium before it.
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHTTPServer } from 'node:http';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';

const here = fileURLToPath(new URL('.', import.meta.url));
const binary = join(here, '../../bin/caddy');
/** How long a condition is waited for, in ms; only a failure reaches it. */
export const patience = 30000;

function listen(server, port = 0) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server.address().port));
  });
}

export async function freePort() {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => { server.close(resolve); });
  return port;
}

export async function until(what, ok) {
  const deadline = Date.now() + patience;
  while (!await ok()) {
    if (Date.now() > deadline) throw new Error(`waited ${patience} ms in vain until ${what}`);
    await pause(20); // the pace of asking
  }
}

/** Starts a program that ends with us at the latest. */
function run(program, args, options) {
  const child = spawn(program, args, options);
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('close', () => process.off('exit', kill));
  return child;
}

/** Whether a process of the group is left that is more than a zombie. */
function isGroupAlive(group) {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).some((pid) => {
    let stat;
    try {
      stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    } catch {
      return false; // it has ended meanwhile
    }
    const [state, , processGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state !== 'Z' && processGroup === String(group);
  });
}

/** A Redis that keeps nothing when it is killed. */
export class Redis {
  static async start() {
    const r = new Redis();
    r.port = await freePort();
    await r.launch();
    return r;
  }

  async launch() {
    this.process = run('redis-server', ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], { stdio: 'ignore' });
    this.ended = new Promise((resolve) => { this.process.once('close', resolve); });
    await until('Redis answers', () => new Promise((resolve) => {
      const socket = connect(this.port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
      socket.on('error', () => resolve(false));
    }));
  }

  async kill() {
    this.process.kill('SIGKILL');
    await this.ended;
  }
}

/** The page with the hook, with React 19 or what stands in its place. */
async function buildHook(dir, name, alias) {
  writeFileSync(join(dir, name + '.html'), `<!doctype html><title>Hook</title><div id="root"></div><script type="module" src="${name}.js"></script>`);
  await build({
    entryPoints: [join(here, 'pages/hook.jsx')], outfile: join(dir, name + '.js'), bundle: true, format: 'esm', jsx: 'automatic', alias,
    define: { 'process.env.NODE_ENV': '"development"' }, // StrictMode mounts twice only then
  });
}

/** Starts a Caddy with a configuration of its own, that ends with the test, and returns when a URL is answered. */
export async function startCaddy(t, config, cwd, url) {
  const dir = mkdtempSync(join(tmpdir(), 'lifeline-caddy-'));
  writeFileSync(join(dir, 'Caddyfile'), config);
  const caddy = run(binary, ['run', '--config', join(dir, 'Caddyfile')], { cwd, stdio: 'ignore', env: { ...process.env, HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir } });
  const ended = new Promise((resolve) => { caddy.once('close', resolve); });
  t.after(async () => {
    caddy.kill('SIGKILL');
    await ended;
    rmSync(dir, { recursive: true });
  });
  await until(url + ' is answered', () => fetch(url).then((a) => a.ok, () => false));
}

const caddyfile = (s) => `{
	admin off
	log {
		level ERROR
	}
	lifeline {
		storage ${s.storage}
	}
}
http://127.0.0.1:${s.port} {
	root * ${s.dir}/pages
	handle_path /hub/* {
		lifeline
	}
	handle {
		lifeline
		file_server
	}
}
http://127.0.0.1:${s.keyed} {
	lifeline {
		api_key secret
		origins http://127.0.0.1:${s.proxy.port}
	}
}
`;

/**
 * One Caddy with its own data, on disk unless it is said where; `url` leads through the
 * proxy. `write` makes its Caddyfile.
 */
export class Server {
  static async start(storage, write = caddyfile) {
    const s = new Server();
    s.dir = mkdtempSync(join(tmpdir(), 'lifeline-browser-'));
    s.storage = storage ?? `disk ${s.dir}/events`;
    s.port = await freePort();
    s.keyed = await freePort();
    s.users = await freePort();
    s.proxy = await Proxy.start(s.port);
    s.url = `http://127.0.0.1:${s.proxy.port}`;
    cpSync(join(here, 'pages'), join(s.dir, 'pages'), { recursive: true });
    cpSync(join(here, '../../examples/dashboard/index.html'), join(s.dir, 'pages/example.html'));
    await buildHook(join(s.dir, 'pages'), 'hook19', {});
    const react18 = (name) => join(here, 'react18/node_modules', name);
    await buildHook(join(s.dir, 'pages'), 'hook18', { react: react18('react'), 'react-dom': react18('react-dom') });
    writeFileSync(join(s.dir, 'Caddyfile'), write(s));
    await s.launch();
    return s;
  }

  async launch() {
    this.log = '';
    this.process = run(binary, ['run', '--config', 'Caddyfile'], { cwd: this.dir, env: { ...process.env, HOME: this.dir, XDG_DATA_HOME: this.dir, XDG_CONFIG_HOME: this.dir } });
    this.ended = new Promise((resolve) => { this.process.once('close', resolve); });
    for (const out of [this.process.stdout, this.process.stderr]) out.on('data', (text) => { this.log += text; });
    await until('Caddy answers: ' + this.log, () => fetch(`http://127.0.0.1:${this.port}/health`).then((a) => a.ok, () => false));
  }

  freeze() { this.process.kill('SIGSTOP'); }
  thaw() { this.process.kill('SIGCONT'); }

  async end(signal = 'SIGTERM') {
    this.process.kill(signal);
    await this.ended;
  }

  async stop() {
    this.thaw();
    await this.end('SIGKILL');
    await this.proxy.stop();
    rmSync(this.dir, { recursive: true });
  }

  /** Posts numbered events until it is stopped, each until it is taken, past the proxy. */
  publish(session) {
    const run = async () => {
      let number = 0;
      while (!this.silent.has(session)) {
        const event = { type: 'test:numbered', sessionId: session, id: `${session}-${++number}`, number };
        await until('an event is taken', () => this.post(event));
        await pause(25);
      }
      return number;
    };
    const done = run();
    return { stop: () => { this.silent.add(session); return done; } };
  }

  silent = new Set();

  post(event) {
    return fetch(`http://127.0.0.1:${this.port}/api/events`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(event),
    }).then((a) => a.ok, () => false);
  }
}

/** Leads to a port, and can refuse, cut, and close the way to a path. */
class Proxy {
  connections = new Set();
  blocked = undefined;
  /** How many WebSockets were asked for. */
  tried = 0;

  static async start(target) {
    const p = new Proxy();
    p.target = target;
    p.port = await listen(p.server = p.serve());
    return p;
  }

  serve() {
    return createServer((client) => {
      const server = connect(this.target, '127.0.0.1');
      this.connections.add(client);
      client.on('close', () => { this.connections.delete(client); server.destroy(); });
      server.on('close', () => client.destroy());
      for (const socket of [client, server]) socket.on('error', () => {});
      client.on('data', (chunk) => {
        if (/^GET [^ ]*\/ws/.test(chunk.toString('latin1', 0, 200))) this.tried++;
        if (this.blocked && chunk.toString('latin1').startsWith('GET ' + this.blocked)) client.destroy();
        else server.write(chunk);
      });
      server.on('data', (chunk) => client.write(chunk));
    });
  }

  cut() { this.connections.forEach((c) => c.destroy()); }
  block(path) { this.blocked = path; }

  async refuse() {
    const closed = new Promise((resolve) => { this.server.close(resolve); });
    this.cut();
    await closed;
  }

  async accept() { await listen(this.server = this.serve(), this.port); }

  async stop() {
    if (this.server.listening) await this.refuse();
  }
}

const executablePath = '/usr/bin/chromium';
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export const startBrowser = () => chromium.launch({ executablePath, args });

/**
 * A Chromium without Playwright, which keeps every page visible, with one page. `hide`
 * opens another tab in front of it, `show` brings it back.
 */
export async function openTab(t, url) {
  const profile = mkdtempSync(join(tmpdir(), 'lifeline-profile-'));
  const browser = run(executablePath, [...args, '--headless', '--remote-debugging-port=0', '--user-data-dir=' + profile, url], { stdio: 'ignore', detached: true });
  t.after(async () => {
    browser.kill('SIGTERM');
    await until('Chromium has ended', () => !isGroupAlive(browser.pid)); // its helpers write into the profile after it
    rmSync(profile, { recursive: true });
  });
  const portFile = join(profile, 'DevToolsActivePort');
  await until('Chromium listens', () => existsSync(portFile) && readFileSync(portFile, 'utf8').includes('\n'));
  const [port] = readFileSync(portFile, 'utf8').split('\n');
  const ask = async (path, method = 'GET') => (await fetch(`http://127.0.0.1:${port}/json${path}`, { method })).text();
  let id;
  await until('the page is there', async () => (id = JSON.parse(await ask('/list')).find((page) => page.url === url)?.id));
  return { hide: () => ask('/new?about:blank', 'PUT'), show: () => ask('/activate/' + id) };
}

/** What pages report, in the order in which they say it has happened. */
export async function startReports(t) {
  const reports = [];
  const server = createHTTPServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => { text += chunk; });
    request.on('end', () => {
      const report = JSON.parse(text);
      reports[report.number] = report; // they may overtake each other
      response.end();
    });
  });
  const port = await listen(server);
  t.after(() => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }));
  return { url: `http://127.0.0.1:${port}/`, of: (kind) => reports.filter((r) => r && kind in r).map((r) => r[kind]) };
}

/** Opens a page of ours in a profile of its own, where what it leaves behind is counted. */
export async function openPage(t, browser, url, ready = () => window.ready) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  page.sockets = [];
  page.on('websocket', (w) => page.sockets.push(w));
  page.problems = [];
  page.on('pageerror', (e) => page.problems.push(String(e)));
  await page.addInitScript(() => {
    const timers = new Set(), { setTimeout, clearTimeout } = window;
    window.setTimeout = (f, ms, ...rest) => {
      const id = setTimeout(() => { timers.delete(id); f(...rest); }, ms);
      timers.add(id);
      return id;
    };
    window.clearTimeout = (id) => { timers.delete(id); clearTimeout(id); };
    let listeners = 0;
    for (const target of [window, document]) {
      const { addEventListener, removeEventListener } = target;
      const ours = (name) => ['online', 'pageshow', 'visibilitychange'].includes(name);
      target.addEventListener = (name, ...rest) => { listeners += ours(name); addEventListener.call(target, name, ...rest); };
      target.removeEventListener = (name, ...rest) => { listeners -= ours(name); removeEventListener.call(target, name, ...rest); };
    }
    window.left = () => ({ timers: timers.size, listeners });
  });
  await page.goto(url);
  await page.waitForFunction(ready, undefined, { timeout: patience });
  return page;
}
