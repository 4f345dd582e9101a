// The dashboard in Chromium: its sites, and what is looked at in each of its states.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { patience } from './harness.mjs';

const axe = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8');

/**
 * For local clients, also under a prefix; for a key; and for alice, who may operate, and bob.
 * A retry lasts longer than a second, in which the page is told once how the hub is.
 */
export function caddyfile(s) {
  mkdirSync(join(s.dir, 'project'));
  return `{
	admin off
	log {
		level ERROR
	}
	lifeline {
		storage ${s.storage}
		watch website ${s.dir}/project {
			retry 2 2s
		}
	}
}
http://127.0.0.1:${s.port} {
	handle_path /hub/* {
		lifeline {
			dashboard
		}
	}
	handle {
		lifeline {
			dashboard
		}
	}
}
http://127.0.0.1:${s.keyed} {
	lifeline {
		api_key secret
		dashboard
	}
}
http://127.0.0.1:${s.users} {
	basic_auth {
		alice $2a$10$O5Sjs/FveRM9k/T5w38I1OLmgzb4wlOvzD0d.ge1eyljK4PX3MZQ.
		bob $2a$10$O5Sjs/FveRM9k/T5w38I1OLmgzb4wlOvzD0d.ge1eyljK4PX3MZQ.
	}
	lifeline {
		dashboard
		breaker_admin alice
	}
}
`;
}

const jobs = ['checkout-redesign', 'docs-search', 'release-2.4'];
const files = ['src/cart/Total.tsx', 'src/search/index.ts', 'docs/install.md', 'src/cart/api.ts', 'CHANGELOG.md'];

/** Posts what a few agents at work post, so many events a second, until the test is over or it is stopped. */
export function work(server, rate) {
  let over = false;
  const run = async () => {
    for (let n = 0; !over; n++) {
      const sessionId = jobs[n % jobs.length];
      const event = n % 7 === 0 ? { type: 'step:started', stepNumber: n / 7 + 1, action: 'review' }
        : { type: n % 5 ? 'file:modified' : 'file:created', relativePath: files[n % files.length] };
      await server.post({ sessionId, ...event });
      await pause(1000 / rate);
    }
  };
  const done = run();
  return () => {
    over = true;
    return done;
  };
}

export const password = 'lifeline';

/** Opens the page; what the browser complains of fails the test at its end. */
export async function openDashboard(t, browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, permissions: ['clipboard-read', 'clipboard-write'], ...options });
  const page = await context.newPage();
  page.problems = [];
  page.on('pageerror', (e) => page.problems.push(String(e)));
  await page.exposeFunction('violated', (what) => page.problems.push(what));
  await page.addInitScript(() => addEventListener('securitypolicyviolation', (e) => window.violated(`${e.violatedDirective}: ${e.blockedURI} ${e.sample}`)));
  t.after(async () => {
    await context.close();
    assert.deepEqual(page.problems, []);
  });
  await page.goto(url + '/lifeline/');
  return page;
}

/** Waits until the badge says so. */
export const says = (page, word) => page.locator('.badge [role=status] .state', { hasText: new RegExp(`^${word}$`) }).waitFor({ timeout: patience });

export const seen = (locator) => locator.waitFor({ timeout: patience });

/** A part of the page, by its heading. */
export const part = (page, name) => page.getByRole('region', { name, exact: true });

const looks = [['light', 1440], ['dark', 1440], ['light', 390], ['dark', 390]];

/**
 * Looks at the page in both schemes and widths: nothing is wider than the screen, and axe
 * finds nothing. With LIFELINE_SHOTS, a directory, pictures are put there: from the top,
 * on a small screen from that part on.
 */
export async function look(page, name, part) {
  const violations = page.problems.length;
  for (const [scheme, width] of looks) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: width > 400 ? 1000 : 844 });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}, ${width} pixels: wider than the screen`);
    await page.evaluate(() => scrollTo(0, 0));
    if (width < 400) await part?.evaluate((e) => e.scrollIntoView());
    if (process.env.LIFELINE_SHOTS) await page.screenshot({ path: join(process.env.LIFELINE_SHOTS, `${name}-${scheme}-${width}.png`) });
    await page.evaluate(axe);
    const found = await page.evaluate(() => window.axe.run({ exclude: '.events > :nth-child(n + 12)' })); // one row is as the other
    assert.deepEqual(found.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]), [], `${name}, ${scheme}, ${width} pixels`);
  }
  page.problems.splice(violations); // what axe itself did
  await page.setViewportSize({ width: 1440, height: 900 });
}
