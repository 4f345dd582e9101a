// Builds dist/, what the module embeds and serves at /lifeline/. `node build.mjs
// <directory>` builds there instead, for the test that compares. The browser client is
// not in it: the page imports it from where every other page does.
import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const out = resolve(process.argv[2] ?? join(here, 'dist'));

execFileSync(process.execPath, [fileURLToPath(import.meta.resolve('typescript/package.json')).replace('package.json', 'bin/tsc'),
  '--project', join(here, 'tsconfig.json')], { stdio: 'inherit' });
rmSync(out, { recursive: true, force: true });
await build({
  absWorkingDir: here, bundle: true, minify: true, format: 'esm', target: 'es2022', legalComments: 'none', charset: 'utf8',
  entryPoints: { app: 'src/main.tsx', style: 'src/style.css' }, outdir: out,
  jsxFactory: 'h', jsxFragment: 'Fragment',
  plugins: [{
    name: 'one client',
    setup: (b) => b.onResolve({ filter: /^@actionflows\/lifeline$/ }, () => ({ path: './client.js', external: true })),
  }],
});
for (const name of ['index.html', 'icon.svg']) cpSync(join(here, 'src', name), join(out, name));
