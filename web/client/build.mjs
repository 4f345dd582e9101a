// Builds dist/: client.js (everything but the hook, also what the module embeds and
// serves), react.js (the hook, which imports client.js), and the types. `node build.mjs
// <directory>` builds there instead, for the test that compares.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const out = resolve(process.argv[2] ?? join(here, 'dist'));

rmSync(out, { recursive: true, force: true });
const options = { absWorkingDir: here, bundle: true, minify: true, format: 'esm', target: 'es2022', legalComments: 'none' };
await build({ ...options, entryPoints: ['src/index.ts'], outfile: join(out, 'client.js') });
await build({
  ...options, entryPoints: ['src/react.ts'], outfile: join(out, 'react.js'), external: ['react'],
  plugins: [{
    name: 'one core', // the package holds it once, whichever entry is imported
    setup: (b) => b.onResolve({ filter: /^\.\/index\.js$/ }, () => ({ path: './client.js', external: true })),
  }],
});
execFileSync(process.execPath, [fileURLToPath(import.meta.resolve('typescript/package.json')).replace('package.json', 'bin/tsc'),
  '--project', join(here, 'tsconfig.json'), '--outDir', out], { stdio: 'inherit' });
