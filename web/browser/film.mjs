// Makes the pictures of docs/img: `npm run film` in web/, after `make build`. The tests
// take one of each state; what moves is filmed here: Redis is killed and comes back.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync, mkdtempSync, rmSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import gifenc from 'gifenc';
import UPNG from 'upng-js';
import { caddyfile, says, work } from './dashboard.mjs';
import { Redis, Server, startBrowser } from './harness.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const images = join(here, '../../docs/img');
/** Those of the tests' pictures that are kept. */
const kept = /^(live|degraded|recovered|held|watcher|down)-/;
const size = { width: 1440, height: 880 };
const pace = 600; // ms
const colors = 64;

mkdirSync(images, { recursive: true });
await film();
photograph();

/** Pictures of few colours, which is all they have. */
function photograph() {
  const shots = mkdtempSync(join(tmpdir(), 'lifeline-shots-'));
  execFileSync(process.execPath, ['--test', join(here, 'dashboard.test.mjs')], { stdio: 'inherit', env: { ...process.env, LIFELINE_SHOTS: shots } });
  for (const name of readdirSync(shots).filter((n) => kept.test(n))) {
    const png = UPNG.decode(readFileSync(join(shots, name)));
    writeFileSync(join(images, 'dashboard-' + name), Buffer.from(UPNG.encode(UPNG.toRGBA8(png), png.width, png.height, colors)));
  }
  rmSync(shots, { recursive: true });
}

async function film() {
  const redis = await Redis.start();
  const server = await Server.start(`redis redis://127.0.0.1:${redis.port}`, caddyfile);
  const browser = await startBrowser();
  const stop = work(server, 4);
  const page = await browser.newPage({ viewport: size, colorScheme: 'light' });
  await page.goto(server.url + '/lifeline/');
  await says(page, 'Live');
  await pause(45000); // so that there is something to see
  const frames = [];
  const take = async (seconds) => {
    for (const until = Date.now() + 1000 * seconds; Date.now() < until;) {
      const begun = Date.now();
      frames.push({ png: await page.screenshot(), at: begun });
      await pause(Math.max(0, begun + pace - Date.now()));
    }
  };
  await take(3);
  await redis.kill();
  await take(11);
  await redis.launch();
  await take(6);
  await stop();
  await browser.close();
  await server.stop();
  await redis.kill();
  writeFileSync(join(images, 'dashboard-outage.gif'), gif(frames));
}

/** Each frame tells only what differs from the one before. */
function gif(frames) {
  const { GIFEncoder, quantize, applyPalette } = gifenc;
  const pixels = frames.map(({ png }) => new Uint8Array(UPNG.toRGBA8(UPNG.decode(png))[0]));
  // Of the calm and of the troubled page.
  const sample = Buffer.concat([pixels[0], pixels[Math.floor(pixels.length / 2)]]);
  const palette = quantize(new Uint8Array(sample), colors - 1);
  const nothing = palette.push([255, 0, 255]) - 1;
  const out = GIFEncoder();
  let before;
  frames.forEach(({ at }, i) => {
    const now = applyPalette(pixels[i], palette.slice(0, nothing));
    const told = now.map((color, p) => before && before[p] === color ? nothing : color);
    before = now;
    const delay = i + 1 < frames.length ? frames[i + 1].at - at : 3000;
    out.writeFrame(told, size.width, size.height, { palette: i ? undefined : palette, delay, transparent: i > 0, transparentIndex: nothing, dispose: 1 });
  });
  out.finish();
  return out.bytes();
}
