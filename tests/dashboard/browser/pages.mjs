// Every page in light, dark and phone mode: traffic of the past, search, keyboard, no finding of axe-core, no message on the console.
import { axe, check, fitsScreen, open, options, run, say, shot, visit } from './browser.mjs';

const PAGES = [
  ['', '.page-overview .tile'], ['routes', '.page-routes .row'], ['containers', '.page-containers .tools'], ['servers', '.page-servers .row'],
  ['certificates', '.page-certificates tbody tr'], ['errors', '.page-errors tbody tr'], ['configuration', '.page-configuration .json'], ['health', '.page-health .tile'],
];
const MODES = { light: {}, dark: { scheme: 'dark' }, phone: { width: 390, height: 844 } };

async function needsPassword() {
  for (const path of ['dashboard/', 'dashboard/app.js', 'api/history', 'api/containers', 'api/errors', 'api/connections']) {
    const answer = await fetch(`${options.url}/${path}`);
    check(answer.status === 401, `without a password /${path} is 401`);
  }
}

// The requests ended before the page was opened: it shows them all the same.
async function showsThePast(page) {
  await visit(page, '', '.page-overview .chart .line.ok');
  const label = await page.locator('.chart svg').first().getAttribute('aria-label');
  check(/last 15 minutes/.test(label), `chart: ${label}`);
  await page.getByRole('region', { name: 'Frontends' }).getByText('shop', { exact: true }).waitFor();
  await page.getByRole('region', { name: 'Servers' }).getByText(options.server).first().waitFor();
  await page.getByRole('link', { name: 'shop', exact: true }).click();
  await page.locator('.scope').getByText('shop').waitFor();
  await page.locator('.page-overview .chart .line.ok').first().waitFor();
  check(page.url().includes('frontend=shop'), 'a frontend has charts of its own');
}

async function findsRoutes(page) {
  await visit(page, 'routes', '.row');
  const field = page.getByRole('searchbox');
  await page.locator('h1').click();
  await page.keyboard.press('/');
  check(await field.evaluate((input) => input === document.activeElement), 'the slash leads to the search field');
  await field.fill('https://shop.example.com/cart/7');
  const rows = page.getByRole('listbox').getByRole('option');
  await rows.filter({ hasText: 'PathPrefix:/cart' }).waitFor();
  const first = await rows.first().innerText();
  check(first.includes('PathPrefix:/cart'), `the best route for a URL comes first: ${first.split('\n')[0]}`);
  check(!(await page.getByRole('listbox').innerText()).includes('blog.example.com'), 'routes of other hosts are not shown');
  await page.getByRole('listbox').focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.locator('.details').getByText('Rate limit').waitFor();
  check((await page.getByRole('listbox').getByRole('option', { selected: true }).count()) === 1, 'the keyboard chooses a route');
}

// Asks from the form, and once from a route's details.
async function explains(page) {
  await visit(page, 'routes', '.row');
  await page.getByRole('textbox', { name: 'URL of the request' }).fill(`http://shop.example.com:${options.http}/cart/7`);
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.locator('.outcome').getByText('Forwarded').waitFor();
  const stages = (await page.locator('.way h3').allInnerTexts()).map((text) => text.trim());
  check(stages[0].startsWith('Entry point') && stages.some((text) => text === 'Route') && stages.some((text) => text.startsWith('Backend')), `explain: ${stages.join(', ')}`);
  check((await page.locator('.way').innerText()).includes('PathPrefix:/cart'), 'explain names the rule');
  await page.locator('.misses summary').click();
  check((await page.locator('.misses').innerText()).includes('shop'), 'explain names a route that is close');
  await axe(page, 'explain');
  await shot(page, 'explain');
  await page.getByRole('textbox', { name: 'URL of the request' }).fill(`http://nowhere.example.com:${options.http}/`);
  await page.keyboard.press('Enter');
  await page.locator('.outcome').getByText('Answered by the proxy with 404').waitFor();
  check(true, 'explain says that no route matches');
  await visit(page, 'routes?search=blog', '.row');
  await page.getByRole('listbox').getByRole('option').filter({ hasText: 'Host:blog.example.com' }).click();
  check((await page.getByRole('link', { name: /^Explain http:\/\/blog/ }).count()) === 1, 'the details of a route lead to explain');
}

async function showsCauses(page) {
  await visit(page, 'errors', 'tbody tr');
  await page.getByRole('cell').filter({ hasText: 'connecting to the server: Connection refused' }).first().waitFor();
  await page.getByRole('cell').filter({ hasText: 'no route matches the request' }).first().waitFor();
  await page.getByRole('button', { name: '5xx' }).click();
  await page.getByRole('cell').filter({ hasText: 'no route matches the request' }).first().waitFor({ state: 'detached' });
  await visit(page, 'certificates', 'tbody tr');
  check((await page.locator('tbody').innerText()).includes('ends soon'), 'a certificate that ends soon says so, with its next step');
}

async function keepsTheme(page) {
  await visit(page, '', '.tile');
  const before = await page.evaluate(() => document.documentElement.dataset.theme);
  await page.locator('#theme').click();
  await page.reload();
  const after = await page.evaluate(() => document.documentElement.dataset.theme);
  check(before === 'light' && after === 'dark', 'the chosen colours stay after a reload');
  await page.evaluate(() => localStorage.clear());
}

await run(async (browser) => {
  await needsPassword();
  const page = await open(browser);
  await showsThePast(page);
  await findsRoutes(page);
  await explains(page);
  await showsCauses(page);
  await keepsTheme(page);
  await page.context().close();
  for (const [mode, settings] of Object.entries(MODES)) {
    const page = await open(browser, settings);
    for (const [name, ready] of PAGES) {
      await visit(page, name, ready);
      await page.waitForTimeout(300);
      const title = `${name || 'overview'} (${mode})`;
      await axe(page, title);
      await fitsScreen(page, title);
      await shot(page, `${name || 'overview'}-${mode}`);
    }
    await page.context().close();
  }
  say(`screenshots in ${options.artefacts}`);
});
