// Debian's Chromium with the dashboard in it: every console message, failed request and accessibility finding is a failure.
import { createRequire } from 'node:module';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const tools = process.env.DASHBOARD_TOOLS;
const require = createRequire(join(tools, 'package.json'));
const { chromium } = require('playwright-core');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

export const WAIT_MILLIS = 30000;
export const options = JSON.parse(process.argv[2]);
export const failures = [];
export const say = (text) => console.log(text);

export function check(condition, text) {
  say(`${condition ? 'ok    ' : 'FAILED'} ${text}`);
  if (!condition) failures.push(text);
}

export async function launch() {
  // Chromium asks no host but the proxy: not for updates, not for the time, not for a proxy's configuration.
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', '--no-proxy-server', '--host-resolver-rules=MAP * 127.0.0.1'],
  });
}

export async function open(browser, { scheme = 'light', width = 1440, height = 900 } = {}) {
  const context = await browser.newContext({
    colorScheme: scheme, viewport: { width, height }, locale: 'en-GB', timezoneId: 'UTC',
    httpCredentials: { username: options.user, password: options.password },
  });
  context.setDefaultTimeout(WAIT_MILLIS);
  const page = await context.newPage();
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) check(false, `console: ${message.text()}`); });
  page.on('pageerror', (error) => check(false, `error in the page: ${error.stack || error.message}`));
  page.on('request', (request) => { if (!request.url().startsWith(options.url)) check(false, `a request leaves the origin: ${request.url()}`); });
  page.on('response', (response) => { if (response.status() >= 400) check(false, `${response.url()} answered ${response.status()}`); });
  return page;
}

export async function visit(page, name, ready) {
  await page.goto(`${options.url}/dashboard/#/${name}`);
  await page.locator(ready).first().waitFor();
}

// Runs axe-core in the page. The DevTools protocol inserts it, because the page's policy forbids inline scripts.
export async function axe(page, name) {
  const session = await page.context().newCDPSession(page);
  await session.send('Runtime.evaluate', { expression: AXE });
  await session.detach();
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  for (const { id, help, nodes } of violations) say(`axe: ${id}: ${help}: ${nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`);
  check(violations.length === 0, `${name}: axe-core finds nothing`);
}

export async function fitsScreen(page, name) {
  const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  check(wide <= screen, `${name}: no sideways scrolling (${wide} of ${screen} pixels)`);
}

export async function shot(page, name) {
  mkdirSync(options.artefacts, { recursive: true });
  await page.screenshot({ path: join(options.artefacts, `${name}.png`) });
}

// Runs the steps; the process fails if one of their checks has.
export async function run(steps) {
  const browser = await launch();
  try { await steps(browser); } catch (error) { check(false, error.stack || String(error)); }
  await browser.close();
  process.exit(failures.length ? 1 : 0);
}
