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
const sizeOf = (name) => gzipSync(readFileSync(join(here, 'dist', name)), { level: 9 }).length;

test('dist/ is what `npm run build` makes', (t) => {
  const fresh = mkdtempSync(join(tmpdir(), 'lifeline-client-'));
  t.after(() => rmSync(fresh, { recursive: true }));
  execFileSync(process.execPath, [join(here, 'build.mjs'), fresh], { stdio: 'inherit' });
  assert.deepEqual(readdirSync(join(here, 'dist')).sort(), readdirSync(fresh).sort());
  for (const name of readdirSync(fresh)) {
    assert.equal(readFileSync(join(here, 'dist', name), 'utf8'), readFileSync(join(fresh, name), 'utf8'), `${name}: run \`npm run build\` in web/`);
  }
});

test('the core is at most 3.5 KB of gzip, the hook 0.6 KB more', () => {
  assert.ok(sizeOf('client.js') <= 3500, `client.js: ${sizeOf('client.js')} bytes`);
  assert.ok(sizeOf('react.js') <= 600, `react.js: ${sizeOf('react.js')} bytes`);
});
