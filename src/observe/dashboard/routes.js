// All routes of all providers: searchable by host and path, with the options of frontend and backend, and `explain` on the spot.
import { ask, askText, repeat } from './api.js';
import { choices, code, entries, make, search, table, tag } from './dom.js';
import { backendFacts, frontendFacts, healthTag, layer } from './details.js';
import { explainForm } from './explain.js';
import { listing } from './listing.js';
import { rank, readAddress, readRule } from './search.js';

const EVERY_MILLIS = 3000;

function rows(providers, servers, rejected) {
  const health = new Map(servers.map((row) => [`${row.provider} ${row.backend} ${row.server}`, row.health]));
  const problems = new Map();
  for (const item of rejected) if (item.name.startsWith('frontend ')) problems.set(`${item.provider} ${item.name.slice(9)}`, [...problems.get(`${item.provider} ${item.name.slice(9)}`) || [], item]);
  return entries(providers).flatMap(([provider, document]) => entries(document.frontends).map(([id, frontend]) => {
    const backend = (document.backends || {})[frontend.backend];
    const rules = entries(frontend.routes).map(([, route]) => route.rule || '');
    const states = entries(backend && backend.servers).map(([name, server]) => ({ name, ...server, health: health.get(`${provider} ${frontend.backend} ${name}`) || 'unused' }));
    const found = problems.get(`${provider} ${id}`) || [];
    return {
      provider, id, rules, backend: frontend.backend || '', entryPoints: frontend.entryPoints || [], states, problems: found,
      state: !backend || found.some((item) => item.severity === 'rejected') ? 'failed' : found.length || !states.length || states.some((server) => server.health === 'down') ? 'partial' : 'routed',
      kind: layer(frontend, backend), options: frontend, backendOptions: backend,
      read: rules.map(readRule), text: [provider, id, frontend.backend, ...rules, ...states.map((server) => server.url)].join(' ').toLowerCase(),
    };
  }));
}

function render(route, row) {
  const down = route.states.filter((server) => server.health === 'down').length;
  const servers = route.states.length === 0 ? 'no server' : down ? `${down} of ${route.states.length} down` : route.states.length === 1 ? route.states[0].url : `${route.states.length} servers`;
  row.replaceChildren(
    make('span', { class: `dot ${route.state}`, 'aria-hidden': 'true' }),
    make('span', { class: 'first' }, make('b', { class: 'mono' }, route.rules.join('  ') || '(no rule)')),
    make('span', { class: 'second' }, route.kind ? tag(route.kind) : null, ...route.entryPoints.map((name) => tag(name)), make('span', { class: down || !route.states.length ? 'bad' : '' }, `→ ${servers}`), make('span', { class: 'quiet' }, route.provider)));
}

// A URL that the route's rule may match, for `explain`.
function example(route) {
  const read = route.read.find((rule) => rule.hosts.length);
  return read && !route.kind ? `http://${read.hosts[0]}${read.paths[0] || read.prefixes[0] || '/'}` : '';
}

function details(route) {
  const problems = route.problems.map((item) => make('p', { class: `notice ${item.severity === 'rejected' ? 'bad' : 'warn'}` }, item.reason));
  if (!route.backendOptions) problems.push(make('p', { class: 'notice bad' }, `The backend ${route.backend || '(none)'} does not exist.`));
  return [
    make('h2', {}, route.id), make('p', { class: 'quiet' }, `Frontend of ${route.provider}`), ...problems,
    frontendFacts(route.options, route.kind),
    make('h3', {}, 'Backend ', code(route.backend || '(none)')),
    route.backendOptions ? backendFacts(route.backendOptions) : null,
    route.states.length ? table('Servers', ['Server', 'Health', { text: 'Weight', number: true }], route.states.map((server) => [make('code', { title: server.name }, server.url || ''), healthTag(server.health), String(server.weight)])) : null,
    example(route) ? make('p', {}, make('a', { href: `#/routes?${new URLSearchParams({ search: route.id, url: example(route) })}` }, `Explain ${example(route)}`)) : null,
    make('p', {}, make('a', { href: `#/?provider=${encodeURIComponent(route.provider)}&frontend=${encodeURIComponent(route.id)}` }, 'Traffic of this route')),
  ];
}

function open(place, query) {
  let all = [], wanted = query.get('search') || '', filter = 'all';
  const field = search('Search by host, path, rule, backend or server', wanted, (text) => { wanted = text; show(); page.list.top(); });
  const kinds = choices('Which routes', [['all', 'All'], ['trouble', 'With problems']], filter, (value) => { filter = value; show(); page.list.top(); });
  place.append(explainForm(query.get('url') || ''));
  const page = listing(place, {
    label: 'Routes', rowHeight: 60, key: (route) => `${route.provider} ${route.id}`, render, details,
    tools: [make('div', { class: 'filter' }, field), kinds], hint: 'Choose a route to see its options and servers.',
  });
  function show() {
    const address = readAddress(wanted);
    let found = filter === 'all' ? all : all.filter((route) => route.state !== 'routed');
    if (wanted) {
      const ranked = found.map((route) => [rank(route, wanted, address), route]).filter(([value]) => value > 0);
      found = ranked.sort((a, b) => b[0] - a[0]).map(([, route]) => route);
    }
    page.set(found, all.length, 'No provider has delivered a route yet.');
  }
  let known = '';
  const end = repeat(EVERY_MILLIS, async () => {
    const [providers, servers, rejected] = await Promise.all([askText('api/providers'), askText('api/servers'), ask('api/rejected')]);
    const now = providers + servers + JSON.stringify(rejected);
    if (now === known) return;
    known = now;
    all = rows(JSON.parse(providers), JSON.parse(servers), rejected);
    show();
  });
  return () => { end(); page.list.end(); };
}

export default { id: 'routes', title: 'Routes', open };
