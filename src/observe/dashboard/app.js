// Shows one page at a time: the part of the address behind `#/` names it.
import { at, make } from './dom.js';
import { ask } from './api.js';
import overview from './overview.js';
import routes from './routes.js';
import containers from './containers.js';
import servers from './servers.js';
import certificates from './certificates.js';
import errors from './errors.js';
import configuration from './configuration.js';
import health from './health.js';

const PAGES = [overview, routes, containers, servers, certificates, errors, configuration, health];
let leave = () => {};

function parts() {
  const [name, query] = location.hash.replace(/^#\/?/, '').split('?');
  return [PAGES.find((page) => page.id === name) || overview, new URLSearchParams(query || '')];
}

function open() {
  const [page, query] = parts();
  leave();
  at('trouble').hidden = true;
  at('title').textContent = page.title;
  document.title = page === overview ? 'Ringway' : `${page.title} – Ringway`;
  for (const link of at('nav').children) {
    if (link.dataset.page === page.id) { link.setAttribute('aria-current', 'page'); link.scrollIntoView({ block: 'nearest', inline: 'center' }); } else link.removeAttribute('aria-current');
  }
  const place = make('div', { class: `page page-${page.id || 'overview'}` });
  at('page').replaceChildren(place);
  leave = page.open(place, query) || (() => {});
}

// Asked once: version and driver do not change during the life of a process.
async function showRuntime() {
  const runtime = await ask('api/runtime');
  at('version').textContent = runtime.version;
  at('driver').textContent = runtime.driver;
  at('driver').title = runtime.driverReason;
  at('driver').hidden = !runtime.driver;
}

at('nav').append(...PAGES.map((page) => make('a', { href: `#/${page.id}`, 'data-page': page.id }, page.title)));
addEventListener('hashchange', () => {
  if (location.hash === '#main') return;
  open();
  at('main').focus({ preventScroll: true });
  scrollTo(0, 0);
});
// The slash leads to the search field of the page, as on many sites.
addEventListener('keydown', (event) => {
  const typing = event.target.closest('input, select, textarea, [contenteditable]');
  const field = document.querySelector('#page input[type=search]');
  if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && field) { event.preventDefault(); field.focus(); }
});
showRuntime().catch(() => {});
open();
