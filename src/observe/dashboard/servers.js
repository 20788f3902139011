// All servers of all backends that frontends use, with their health and their traffic.
import { ask, repeat } from './api.js';
import { choices, code, facts, make, search } from './dom.js';
import { healthTag } from './details.js';
import { millis, percent, rate } from './format.js';
import { listing } from './listing.js';

const EVERY_MILLIS = 2000;
const ORDER = ['down', 'up', 'unknown'];

const traffic = (row) => (row.recent ? `${rate(row.recent.requestsPerSecond)} req/s · ${percent(row.recent.errorsPerSecond, row.recent.requestsPerSecond)} errors · p95 ${millis(row.recent.p95Millis)}` : 'no requests lately');

// Health checks decide; without one, a server that fails most of its requests counts as failed.
function stateOf({ health, recent }) {
  if (health === 'down' || (health !== 'up' && recent && recent.errorsPerSecond > recent.requestsPerSecond / 2)) return 'failed';
  return health === 'up' ? 'routed' : 'unused';
}

function render(server, row) {
  row.replaceChildren(
    make('span', { class: `dot ${stateOf(server)}`, 'aria-hidden': 'true' }),
    make('span', { class: 'first' }, make('b', { class: 'mono' }, server.url), healthTag(server.health)),
    make('span', { class: 'second' }, make('span', { class: 'quiet' }, server.backend), make('span', {}, traffic(server))));
}

function details(server) {
  const { recent } = server;
  return [
    make('h2', { class: 'mono' }, server.url),
    facts([
      ['Health', healthTag(server.health)], ['Backend', code(server.backend)], ['Name', code(server.server)], ['Provider', server.provider],
      ['Requests', recent && `${rate(recent.requestsPerSecond)} per second`],
      ['Errors', recent && `${percent(recent.errorsPerSecond, recent.requestsPerSecond)} (5xx)`],
      ['Latency', recent && `p50 ${millis(recent.p50Millis)}, p95 ${millis(recent.p95Millis)}, p99 ${millis(recent.p99Millis)}`],
    ]),
    make('p', {}, make('a', { href: `#/?${new URLSearchParams({ provider: server.provider, backend: server.backend, server: server.url })}` }, 'Traffic of this server')),
  ];
}

function open(place) {
  let all = [], wanted = '', filter = 'all';
  const field = search('Search by URL, backend or provider', '', (text) => { wanted = text.toLowerCase(); show(); page.list.top(); });
  const kinds = choices('Which servers', [['all', 'All'], ['down', 'Down'], ['up', 'Up'], ['unknown', 'Not checked']], filter, (value) => { filter = value; show(); page.list.top(); });
  const page = listing(place, {
    label: 'Servers', rowHeight: 60, key: (server) => `${server.provider} ${server.backend} ${server.server}`, render, details,
    tools: [make('div', { class: 'filter' }, field), kinds], hint: 'Choose a server to see its health and traffic.',
  });
  function show() {
    const text = (server) => `${server.url} ${server.backend} ${server.server} ${server.provider}`.toLowerCase();
    page.set(all.filter((server) => (filter === 'all' || server.health === filter) && text(server).includes(wanted)), all.length, 'No frontend has a server.');
  }
  const end = repeat(EVERY_MILLIS, async () => {
    const [servers, history] = await Promise.all([ask('api/servers'), ask('api/history')]);
    const recent = new Map(history.servers.map((row) => [`${row.provider} ${row.backend} ${row.name}`, row.recent]));
    all = servers.map((server) => ({ ...server, recent: recent.get(`${server.provider} ${server.backend} ${server.url}`) }));
    all.sort((a, b) => ORDER.indexOf(a.health) - ORDER.indexOf(b.health) || a.backend.localeCompare(b.backend));
    show();
  });
  return () => { end(); page.list.end(); };
}

export default { id: 'servers', title: 'Servers', open };
