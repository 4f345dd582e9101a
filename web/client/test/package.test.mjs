// The package as others get it: packed, installed, its types checked, and bundled, by
// esbuild and in a project of Vite's.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { build as vite } from 'vite';

const here = fileURLToPath(new URL('..', import.meta.url));
const modules = join(here, '../node_modules');

// Exactly the signatures that the original hook has.
const consumer = `
import { createSessionEvents, type SessionEvents, type WorkspaceEvent } from '@actionflows/lifeline';
import { useWebSocket, type ConnectionStatus, type UseWebSocketReturn } from '@actionflows/lifeline/react';

export async function follow(): Promise<void> {
  const hub: SessionEvents = createSessionEvents({ onEvent: (e: WorkspaceEvent) => { e.sessionId satisfies string; } });
  const undo: () => void = hub.subscribe('s', 'cursor');
  for await (const event of hub.events()) event.type satisfies string;
  undo();
}

export function use(): void {
  const r: UseWebSocketReturn = useWebSocket({
    url: '/ws', onEvent: (event: WorkspaceEvent) => {}, reconnectInterval: 3000, heartbeatInterval: 30000, pollingFallbackUrl: '/api/events',
  });
  r satisfies {
    status: ConnectionStatus; send(message: object): void; subscribe(sessionId: string): void;
    unsubscribe(sessionId: string): void; error: Error | null;
  };
  r.status satisfies 'connecting' | 'connected' | 'disconnected' | 'error' | 'polling';
}
`;

const page = `
import { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { useWebSocket, type WorkspaceEvent } from '@actionflows/lifeline/react';

function Activity() {
  const [events, setEvents] = useState<WorkspaceEvent[]>([]);
  const { status, subscribe } = useWebSocket({ onEvent: (e) => setEvents((before) => [...before, e]) });
  useEffect(() => subscribe('demo'), [subscribe]);
  return <p>{status} {events.length}</p>;
}
createRoot(document.getElementById('root')!).render(<Activity />);
`;

/** A project into which the packed package is installed; React and types are those of the workspace. */
function install(t) {
  const project = mkdtempSync(join(tmpdir(), 'lifeline-consumer-'));
  t.after(() => rmSync(project, { recursive: true }));
  const npm = (...args) => execFileSync('npm', [...args, '--offline', '--no-audit', '--no-fund', '--silent'], { cwd: project, encoding: 'utf8' });
  npm('pack', here, '--pack-destination', project);
  const [tarball] = readdirSync(project);
  writeFileSync(join(project, 'package.json'), '{"private":true,"type":"module"}');
  npm('install', './' + tarball);
  for (const name of ['react', 'react-dom', '@types']) symlinkSync(join(modules, name), join(project, 'node_modules', name));
  return project;
}

test('packed and installed, both entries have types and bundle', async (t) => {
  const project = install(t);
  assert.deepEqual(readdirSync(join(project, 'node_modules/@actionflows/lifeline')).sort(), ['dist', 'package.json']);

  writeFileSync(join(project, 'consumer.ts'), consumer);
  const tsc = join(modules, 'typescript', JSON.parse(readFileSync(join(modules, 'typescript/package.json'), 'utf8')).bin.tsc);
  for (const resolution of [['--module', 'esnext', '--moduleResolution', 'bundler'], ['--module', 'nodenext']]) {
    execFileSync(process.execPath, [tsc, '--ignoreConfig', '--noEmit', '--strict', '--target', 'es2022', ...resolution, 'consumer.ts'], { cwd: project, stdio: 'inherit' });
  }
  const { outputFiles } = await build({ absWorkingDir: project, entryPoints: ['consumer.ts'], bundle: true, write: false, format: 'esm', external: ['react'] });
  assert.equal(outputFiles[0].text.match(/subscription_confirmed/g).length, 2, 'the core is there once'); // it names that type twice
});

test('a project of Vite builds with it', async (t) => {
  const project = install(t);
  writeFileSync(join(project, 'index.html'), '<!doctype html><title>Activity</title><div id="root"></div><script type="module" src="/page.tsx"></script>');
  writeFileSync(join(project, 'page.tsx'), page);
  await vite({ root: project, configFile: false, logLevel: 'error' });
  const [script] = readdirSync(join(project, 'dist/assets'));
  const built = readFileSync(join(project, 'dist/assets', script), 'utf8');
  assert.equal(built.match(/subscription_confirmed/g).length, 2, 'the core is there once'); // it names that type twice
  assert.ok(!/import\s*["'{]/.test(built), 'everything is in it');
  assert.match(readFileSync(join(project, 'dist/index.html'), 'utf8'), new RegExp('src="/assets/' + script));
});
