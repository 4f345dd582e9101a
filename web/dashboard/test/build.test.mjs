// What is committed is what the sources build, and within its budget.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const here = fileURLToPath(new URL('..', import.meta.url));
const dist = join(here, 'dist');

test('dist/ is what `npm run build` makes', (t) => {
  const fresh = mkdtempSync(join(tmpdir(), 'lifeline-dashboard-'));
  t.after(() => rmSync(fresh, { recursive: true }));
  execFileSync(process.execPath, [join(here, 'build.mjs'), fresh], { stdio: 'inherit' });
  assert.deepEqual(readdirSync(dist).sort(), readdirSync(fresh).sort());
  for (const name of readdirSync(fresh)) {
    assert.equal(readFileSync(join(dist, name), 'utf8'), readFileSync(join(fresh, name), 'utf8'), `${name}: run \`npm run build\` in web/`);
  }
});

test('the dashboard is less than 15 KB of gzip in all, beside the client', () => {
  const sizes = readdirSync(dist).map((name) => [name, gzipSync(readFileSync(join(dist, name)), { level: 9 }).length]);
  const all = sizes.reduce((sum, [, size]) => sum + size, 0);
  assert.ok(all < 15000, `${all} bytes: ${sizes.join(' ')}`);
});

test('nothing is loaded from elsewhere', () => {
  for (const name of ['index.html', 'style.css']) assert.ok(!/https?:|url\(/.test(readFileSync(join(dist, name), 'utf8')), name);
  assert.match(readFileSync(join(dist, 'app.js'), 'utf8'), /from"\.\/client\.js"/); // the one of every page
});
