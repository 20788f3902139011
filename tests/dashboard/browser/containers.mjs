// A container appears on the open page within three seconds of its start, and says how it is routed or why it is not.
import { execFileSync } from 'node:child_process';
import { axe, check, open, options, run, shot, visit } from './browser.mjs';

const APPEARS_MILLIS_MAX = 3000;

async function startAndSee(page, name, labels, text) {
  const arguments_ = ['run', '-d', '--name', name, ...labels.flatMap((label) => ['--label', label]), options.image];
  execFileSync('docker', arguments_, { stdio: 'ignore' });
  const started = Date.now();
  const row = page.getByRole('option').filter({ hasText: name });
  await row.waitFor();
  const seen = Date.now() - started;
  check(seen <= APPEARS_MILLIS_MAX, `${name} appears ${seen} ms after its start`);
  await row.filter({ hasText: text }).waitFor();
  check(true, `${name}: ${(await row.innerText()).replace(/\s+/g, ' ')}`);
}

await run(async (browser) => {
  const page = await open(browser);
  await visit(page, 'containers', '.tools');
  await startAndSee(page, `${options.prefix}-web`, ['traefik.port=8080', 'traefik.frontend.rule=Host:web.test'], 'Host:web.test');
  await startAndSee(page, `${options.prefix}-off`, ['traefik.enable=false'], 'because its label traefik.enable is false');
  await startAndSee(page, `${options.prefix}-bad`, ['traefik.port=http'], 'because label traefik.port has the value `http`');
  await page.getByRole('option').filter({ hasText: `${options.prefix}-web` }).click();
  await page.locator('.details').getByText('Host:web.test').first().waitFor();
  await axe(page, 'containers');
  await shot(page, 'containers-live');
  execFileSync('docker', ['stop', '-t', '1', `${options.prefix}-web`], { stdio: 'ignore' });
  await page.getByRole('option').filter({ hasText: `${options.prefix}-web` }).filter({ hasText: 'because it does not run' }).waitFor();
  check(true, 'a stopped container says that it does not run');
});
