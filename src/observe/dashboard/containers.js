// Every container of the Engine: how it is routed, or why it is not.
import { ask, repeat } from './api.js';
import { choices, code, codes, entries, facts, list, make, search, tag } from './dom.js';
import { listing } from './listing.js';

const EVERY_MILLIS = 1000;
const STATES = {
  routed: 'Routed', partial: 'Partly routed', pending: 'Being applied', unused: 'Not routed', failed: 'Not routed',
};
const ORDER = ['failed', 'partial', 'pending', 'routed', 'unused'];

const rulesOf = (container) => container.routes.flatMap((route) => route.rules);

function sentence(container) {
  if (container.state === 'routed') return make('span', {}, 'as ', make('span', { class: 'mono' }, rulesOf(container).join('  ') || container.routes.map((route) => route.frontend).join(', ')));
  if (container.state === 'pending') return 'in a moment';
  return make('span', { class: container.state === 'unused' ? 'quiet' : 'bad' }, `because ${container.reason || 'no segment of its labels can be used'}`);
}

function render(container, row) {
  row.title = container.reason;
  row.replaceChildren(
    make('span', { class: `dot ${container.state}`, 'aria-hidden': 'true' }),
    make('span', { class: 'first' }, make('b', {}, container.name), container.health ? tag(container.health, container.health === 'healthy' ? 'health up' : 'health warn') : null),
    make('span', { class: 'second' }, make('span', { class: `state ${container.state}` }, STATES[container.state] || container.state), sentence(container)));
}

function details(container) {
  const bad = container.state === 'failed' || container.state === 'partial';
  return [
    make('h2', {}, container.name), make('p', { class: 'quiet' }, 'Container ', code(container.id || 'without an id')),
    container.reason ? make('p', { class: `notice ${bad ? 'bad' : ''}` }, `${STATES[container.state]}, because ${container.reason}`) : null,
    ...container.notes.map((note) => make('p', { class: 'notice warn' }, note)),
    facts([
      ['State', container.running ? 'running' : 'not running'],
      ['Health check', container.health || (container.running ? 'none' : '')],
      ['Ports', codes(container.ports)],
      ['Networks', entries(container.networks).length ? list(entries(container.networks).map(([name, ip]) => make('span', {}, `${name} `, code(ip || 'no address')))) : null],
    ]),
    ...container.routes.flatMap((route) => [
      make('h3', {}, 'Route'),
      facts([
        ['Rule', codes(route.rules)],
        ['Entry points', route.entryPoints.map((name) => tag(name))],
        ['Frontend', make('a', { href: `#/routes?search=${encodeURIComponent(route.frontend)}` }, route.frontend)],
        ['Backend', code(route.backend)],
        ['Server', route.server ? code(route.server) : null],
        ['Problem', route.problem && make('span', { class: 'bad' }, route.problem)],
      ]),
    ]),
  ];
}

function open(place) {
  let all = [], wanted = '', filter = 'all';
  const field = search('Search by name, rule, address or reason', '', (text) => { wanted = text.toLowerCase(); show(); page.list.top(); });
  const kinds = choices('Which containers', [['all', 'All'], ['routed', 'Routed'], ['not', 'Not routed'], ['trouble', 'With problems']], filter, (value) => { filter = value; show(); page.list.top(); });
  const page = listing(place, {
    label: 'Containers', rowHeight: 60, key: (container) => container.id || container.name, render, details,
    tools: [make('div', { class: 'filter' }, field), kinds], hint: 'Choose a container to see its routes, networks and ports.',
  });
  const fits = {
    all: () => true,
    routed: (state) => state === 'routed' || state === 'partial',
    not: (state) => state === 'unused' || state === 'failed' || state === 'pending',
    trouble: (state) => state === 'failed' || state === 'partial',
  };
  function show() {
    const found = all.filter((container) => fits[filter](container.state) && (!wanted || JSON.stringify(container).toLowerCase().includes(wanted)));
    page.set(found, all.length, 'No containers: the Docker provider is off, or the Engine has none.');
  }
  const end = repeat(EVERY_MILLIS, async () => {
    const containers = await ask('api/containers');
    all = containers.sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || a.name.localeCompare(b.name));
    show();
  });
  return () => { end(); page.list.end(); };
}

export default { id: 'containers', title: 'Containers', open };
