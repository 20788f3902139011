'use strict';
// Shows the API's responses. Names, rules and paths come from containers and clients: every text is inserted as text, never as markup.

const PROVIDERS_EVERY_MS = 2000, HEALTH_EVERY_MS = 3000, ITEMS_MAX = 100, POINTS_MAX = 120;
const HIDDEN_PROVIDERS = ['ACME', 'acme'];
// How the page calls the API's severities.
const SEVERITY_WORDS = { rejected: 'rejected', partial: 'partly rejected' };
const state = { providers: {}, servers: [], rejected: [], provider: null, filter: '', details: new Set(), runtime: {}, points: [], shown: '' };
const at = (id) => document.getElementById(id);

function make(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === 'onclick') made.addEventListener('click', value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const code = (text) => make('code', {}, text);
const tag = (text, kind) => make('span', { class: kind ? `tag ${kind}` : 'tag' }, text);
const severityTag = (severity, title) => make('span', { class: severity === 'rejected' ? 'tag health down' : 'tag health warn', title }, SEVERITY_WORDS[severity] || severity);
const list = (items) => make('ul', {}, ...items.map((item) => make('li', {}, item)));
const yes = (value) => (value ? 'yes' : 'no');
const entries = (object) => Object.entries(object || {});
const matches = (...texts) => texts.some((text) => String(text || '').toLowerCase().includes(state.filter));

function table(heads, rows) {
  const cell = (kind, content) => make(kind, content && content.number ? { class: 'number' } : {}, content && content.number ? content.text : content);
  return make('table', {},
    make('thead', {}, make('tr', {}, ...heads.map((head) => { const th = cell('th', head); th.scope = 'col'; return th; }))),
    make('tbody', {}, ...rows.map((row) => make('tr', {}, ...row.map((content) => cell('td', content))))));
}

// Rows of [name, content]; a row without content is omitted.
function facts(rows) {
  const told = rows.filter(([, content]) => content !== null && content !== undefined && content !== '' && content !== false);
  return make('dl', { class: 'facts' }, ...told.flatMap(([name, content]) => [make('dt', {}, name), make('dd', {}, content)]));
}

const pairs = (object) => (entries(object).length ? list(entries(object).map(([name, value]) => code(`${name}: ${value}`))) : null);
const codes = (items) => (items && items.length ? list(items.map(code)) : null);

function nanos(value) {
  const units = [['h', 3.6e12], ['m', 6e10], ['s', 1e9], ['ms', 1e6], ['µs', 1e3]];
  const [unit, size] = units.find(([, each]) => value >= each && value % each === 0) || ['ns', 1];
  return `${value / size}${unit}`;
}

// ---- cards

function card(key, title, badge, broken, main, details) {
  const tabs = [['Main', main], ['Details', details]];
  const open = state.details.has(key) ? 1 : 0;
  const choose = (number) => () => {
    if (number) state.details.add(key); else state.details.delete(key);
    renderColumns();
  };
  const made = make('article', { class: broken ? 'card broken' : 'card', 'data-card': key },
    make('header', {}, make('h3', {}, title), badge),
    make('div', { class: 'switch', role: 'tablist', 'aria-label': title }, ...tabs.map(([name], number) =>
      make('button', { type: 'button', role: 'tab', 'aria-selected': String(number === open), tabindex: number === open ? null : '-1', onclick: choose(number) }, name))),
    make('div', { class: 'body', role: 'tabpanel' }, tabs[open][1]()));
  arrows(made.querySelector('.switch'));
  return made;
}

// The left and right arrow keys move between the tabs of a list, as its ARIA role `tablist` requires.
function arrows(tabs) {
  tabs.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const buttons = [...tabs.querySelectorAll('[role=tab]')];
    const from = buttons.indexOf(document.activeElement);
    if (!step || from < 0) return;
    event.preventDefault();
    const next = buttons[(from + step + buttons.length) % buttons.length];
    next.focus();
    next.click();
  });
}

// What a frontend passes on: `TCP` connections or `UDP` datagrams; empty for requests.
function layer(frontend, backend) {
  const url = entries(backend && backend.servers).map(([, server]) => server.url || '')[0] || '';
  if (/^udp:/i.test(url)) return 'UDP';
  const named = entries(frontend.routes).some(([, route]) => /HostSNI/.test(route.rule || ''));
  return named || /^tcp:/i.test(url) ? 'TCP' : '';
}

function frontendCard(provider, id, frontend, backends) {
  const missing = !backends[frontend.backend];
  const kind = layer(frontend, backends[frontend.backend]);
  const main = () => facts([
    ['Protocol', kind && make('span', {}, tag(kind), frontend.passthrough ? ' TLS passed through' : '')],
    ['Route rule', codes(entries(frontend.routes).map(([, route]) => route.rule || ''))],
    ['Entry points', make('span', {}, ...(frontend.entryPoints || []).map((name) => tag(name)))],
    ['Backend', make('span', {}, code(frontend.backend || '(none)'), missing ? ' ' : null, missing ? tag('not found', 'health down') : null)],
  ]);
  const found = state.rejected.filter((item) => item.provider === provider && item.name === `frontend ${id}`);
  const isRejected = found.some((item) => item.severity === 'rejected');
  const badge = found.length ? severityTag(isRejected ? 'rejected' : 'partial', found.map((item) => item.reason).join('\n')) : null;
  return card(`f/${provider}/${id}`, id, badge, missing || isRejected, main, () => frontendDetails(frontend, kind));
}

function frontendDetails(frontend, kind) {
  const auth = frontend.auth || {}, forward = auth.forward, redirect = frontend.redirect, limit = frontend.ratelimit;
  const white = (frontend.whiteList && frontend.whiteList.sourceRange) || frontend.whitelistSourceRange;
  const user = (kind) => make('span', {}, 'on', kind.usersFile ? ' ' : null, kind.usersFile ? code(kind.usersFile) : null, kind.removeHeader ? ', header removed' : null);
  return facts([
    ['Priority', String(frontend.priority)],
    ['Host header', kind ? null : frontend.passHostHeader ? 'passed on' : 'set to the server'],
    ['ALPN', codes(frontend.alpn)],
    ['TLS certificate', frontend.passTLSCert || frontend.passTLSClientCert ? 'passed on' : null],
    ['Redirect', redirect && make('span', {}, redirect.entryPoint ? 'to entry point ' : '', redirect.entryPoint ? code(redirect.entryPoint) : code(`${redirect.regex} → ${redirect.replacement}`), redirect.permanent ? ', permanent' : '')],
    ['Basic auth', auth.basic && user(auth.basic)],
    ['Digest auth', auth.digest && user(auth.digest)],
    ['Forward auth', forward && make('span', {}, code(forward.address || ''), forward.trustForwardHeader ? ', trusts forwarded headers' : '')],
    ['User header', auth.headerField && code(auth.headerField)],
    ['White list', codes(white)],
    ['Error pages', entries(frontend.errors).length ? table(['Backend', 'Query', 'Status'], entries(frontend.errors).map(([, page]) => [page.backend || '', code(page.query || ''), (page.status || []).join(', ')])) : null],
    ['Rate limiting', limit && make('div', {}, limit.extractorFunc ? `by ${limit.extractorFunc}` : '', table(['Period', 'Average', 'Burst'], entries(limit.rateset).map(([, rate]) => [nanos(rate.period), String(rate.average), String(rate.burst)])))],
    ...headerFacts(frontend.headers),
  ]);
}

function headerFacts(headers) {
  if (!headers) return [];
  const named = new Set(['customRequestHeaders', 'customResponseHeaders', 'sslProxyHeaders', 'allowedHosts', 'hostsProxyHeaders']);
  const rest = entries(headers).filter(([name]) => !named.has(name)).map(([name, value]) => code(`${name}: ${value}`));
  return [
    ['Request headers', pairs(headers.customRequestHeaders)],
    ['Response headers', pairs(headers.customResponseHeaders)],
    ['Allowed hosts', codes(headers.allowedHosts)],
    ['Hosts proxy headers', codes(headers.hostsProxyHeaders)],
    ['SSL proxy headers', pairs(headers.sslProxyHeaders)],
    ['Security headers', rest.length ? list(rest) : null],
  ];
}

// `/api/servers` does not list a server that no frontend uses: such a server is `unused`.
const HEALTH_WORDS = { up: '● up', down: '▲ down', unknown: '○ not checked', unused: '○ not in use' };

function backendCard(provider, id, backend) {
  const health = (server, url) => {
    const found = state.servers.find((row) => row.provider === provider && row.backend === id && (row.server === server || row.url === url));
    return found ? (HEALTH_WORDS[found.health] ? found.health : 'unknown') : 'unused';
  };
  const servers = entries(backend.servers).map(([name, server]) => ({ ...server, name, health: health(name, server.url) }));
  const down = servers.filter((server) => server.health === 'down').length;
  const badge = down ? tag(`${down} of ${servers.length} down`, 'health down') : null;
  const main = () => (servers.length === 0 ? make('p', { class: 'quiet' }, 'No servers: requests get 503, TCP connections are closed.')
    : table(['Server', 'Health', { number: true, text: 'Weight' }],
      servers.map((server) => [make('span', { title: server.name }, code(server.url || '')), tag(HEALTH_WORDS[server.health], `health ${server.health}`), { number: true, text: String(server.weight) }])));
  return card(`b/${provider}/${id}`, id, badge, servers.length === 0, main, () => backendDetails(backend));
}

function backendDetails(backend) {
  const balancer = backend.loadBalancer || {}, check = backend.healthCheck, limit = backend.maxConn, sticky = balancer.stickiness;
  return facts([
    ['Load balancer', balancer.method || 'wrr'],
    ['Stickiness', (sticky || balancer.sticky) && make('span', {}, 'on', sticky && sticky.cookieName ? ', cookie ' : '', sticky && sticky.cookieName ? code(sticky.cookieName) : '')],
    ['Max connections', limit && `${limit.amount || 0} per ${limit.extractorFunc || 'client'}`],
    ['Circuit breaker', backend.circuitBreaker && code(backend.circuitBreaker.expression || '')],
    ['PROXY protocol', backend.proxyProtocol && `${backend.proxyProtocol} to the servers`],
    ['Health check', check && make('span', {}, check.path ? code(check.path) : check.scheme === 'tls' ? 'by TLS handshake' : 'by connection', check.port ? ` on port ${check.port}` : '', check.interval ? ` every ${check.interval}` : '')],
    ['Check headers', check && pairs(check.headers)],
    ['Buffering', backend.buffering && pairs(backend.buffering)],
    ['Flush interval', backend.forwardingResponse && backend.forwardingResponse.flushInterval],
  ]);
}

// ---- the providers page

function shownProviders() {
  return Object.keys(state.providers).filter((name) => !HIDDEN_PROVIDERS.includes(name)).sort();
}

function renderProviders() {
  // A response without a change does not redraw the page, so that focus and selected text stay.
  const shown = JSON.stringify([state.providers, state.servers, state.rejected]);
  if (shown === state.shown) return;
  state.shown = shown;
  renderSummary();
  renderRejected();
  renderTabs();
  renderColumns();
}

function renderSummary() {
  const all = shownProviders().map((name) => state.providers[name] || {});
  const count = (pick) => all.reduce((sum, provider) => sum + pick(provider), 0);
  const down = state.servers.filter((row) => row.health === 'down').length;
  const tile = (name, value, bad) => make('div', {}, make('dt', {}, name), make('dd', bad ? { class: 'bad' } : {}, String(value)));
  at('summary').replaceChildren(
    tile('Frontends', count((provider) => entries(provider.frontends).length)),
    tile('Backends', count((provider) => entries(provider.backends).length)),
    tile('Servers', count((provider) => entries(provider.backends).reduce((sum, [, backend]) => sum + entries(backend.servers).length, 0))),
    tile('Servers down', down, down > 0),
    tile('Rejected', state.rejected.length, state.rejected.length > 0));
}

function renderRejected() {
  at('rejected').hidden = state.rejected.length === 0;
  at('rejected-count').textContent = state.rejected.length;
  at('rejected-rows').replaceChildren(...state.rejected.slice(0, ITEMS_MAX).map((item) => make('tr', {},
    make('td', { class: 'fixed' }, item.provider), make('td', { class: 'name' }, code(item.name)),
    make('td', { class: 'fixed' }, severityTag(item.severity)), make('td', {}, item.reason))));
}

function renderTabs() {
  const names = shownProviders();
  if (!names.includes(state.provider)) state.provider = names[0] || null;
  const focused = document.activeElement && document.activeElement.dataset.provider;
  at('tabs').replaceChildren(...names.map((name) => make('button', {
    type: 'button', role: 'tab', 'data-provider': name, 'aria-selected': String(name === state.provider), 'aria-controls': 'columns',
    tabindex: name === state.provider ? null : '-1',
    onclick: () => { state.provider = name; renderTabs(); renderColumns(); },
  }, name)));
  const again = [...at('tabs').children].find((button) => focused && button.dataset.provider === state.provider);
  if (again) again.focus();
  at('nothing').hidden = names.length > 0;
  at('columns').hidden = names.length === 0;
}

// Replaces the cards and returns the keyboard focus to the card that had it.
function renderColumns() {
  const held = document.activeElement && document.activeElement.closest('[data-card]');
  makeColumns();
  if (!held) return;
  const again = [...document.querySelectorAll('[data-card]')].find((other) => other.dataset.card === held.dataset.card);
  if (again) again.querySelector('[aria-selected=true]').focus();
}

function makeColumns() {
  const name = state.provider, provider = state.providers[name] || {};
  const backends = provider.backends || {};
  const frontends = entries(provider.frontends).filter(([id, frontend]) => matches(id, frontend.backend, ...entries(frontend.routes).map(([, route]) => route.rule)));
  const filtered = entries(backends).filter(([id, backend]) => matches(id, ...entries(backend.servers).map(([, server]) => server.url)));
  fill('frontends', frontends, entries(provider.frontends).length, ([id, frontend]) => frontendCard(name, id, frontend, backends));
  fill('backends', filtered, entries(backends).length, ([id, backend]) => backendCard(name, id, backend));
}

function fill(id, items, total, show) {
  at(`${id}-count`).textContent = items.length === total ? total : `${items.length} of ${total}`;
  const notice = (text) => [make('p', { class: 'notice' }, text)];
  if (items.length > ITEMS_MAX) at(id).replaceChildren(...notice(`${items.length} are too many to show: add a filter.`));
  else if (items.length === 0) at(id).replaceChildren(...notice(total ? 'Nothing matches the filter.' : 'None.'));
  else at(id).replaceChildren(...items.map(show));
}

// ---- the health page

const show = {
  seconds: (value) => (value === 0 ? '0' : value >= 10 ? `${value.toFixed(1)} s` : value >= 1 ? `${value.toFixed(2)} s` : value >= 1e-3 ? `${+(value * 1e3).toPrecision(3)} ms` : `${+(value * 1e6).toPrecision(3)} µs`),
  bytes: (value) => { const step = value > 0 ? Math.min(5, Math.floor(Math.log2(value) / 10)) : 0; return `${+(value / 1024 ** step).toPrecision(3)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'][step]}`; },
  age: (value) => { const secs = Math.floor(value), parts = [[Math.floor(secs / 86400), 'd'], [Math.floor(secs / 3600) % 24, 'h'], [Math.floor(secs / 60) % 60, 'm'], [secs % 60, 's']]; const first = parts.findIndex(([count]) => count > 0); return first < 0 ? '0s' : parts.slice(first, first + 2).map(([count, unit]) => count + unit).join(' '); },
};

function renderHealth(health) {
  const since = new Date((health.unixtime - health.uptime_sec) * 1000).toLocaleString();
  const tile = (name, value, note) => make('div', {}, make('dt', {}, name), make('dd', {}, value, make('span', { class: 'note' }, note || '')));
  at('tiles').replaceChildren(
    tile('Total response time', show.seconds(health.total_response_time_sec), `${show.bytes(health.total_response_size)} sent`),
    tile('Total code count', health.total_count.toLocaleString(), 'requests answered'),
    tile('Uptime', show.age(health.uptime_sec), `since ${since}`),
    tile('Average response time', show.seconds(health.average_response_time_sec), `${show.bytes(health.average_response_size)} on average`),
    tile('Code count', health.count.toLocaleString(), 'in this second'),
    tile('PID', String(health.pid)),
    tile('Driver', state.runtime.driver || 'unknown', state.runtime.driverReason));
  state.points.push({ time: new Date(health.unixtime * 1000), value: health.average_response_time_sec });
  if (state.points.length > POINTS_MAX) state.points.shift();
  charts.line(at('time-chart'), state.points, show.seconds);
  charts.bars(at('codes-chart'), health.total_status_code_count || {});
  renderErrors(health.recent_errors);
}

// The connections and streams with clients and with servers; the reasons of resets, and bounds that were exceeded, if there are any.
function renderHttp2(http2) {
  const sides = [['Clients', http2.clients], ['Servers', http2.servers]];
  const number = (value) => ({ number: true, text: value.toLocaleString() });
  const reasons = (counts) => entries(counts).map(([reason, count]) => `${reason} ${count.toLocaleString()}`).join(', ') || 'none';
  const exceeded = entries(http2.boundsExceeded).filter(([, count]) => count > 0);
  at('http2').hidden = false;
  at('http2-share').textContent = `${http2.clients.connectionsOpen.toLocaleString()} of ${http2.clientConnections.toLocaleString()} client connections`;
  at('http2-tables').replaceChildren(
    table(['With', ...['Connections', 'in total', 'Streams', 'in total'].map((text) => ({ number: true, text }))],
      sides.map(([name, side]) => [name, ...[side.connectionsOpen, side.connectionsTotal, side.streamsOpen, side.streamsTotal].map(number)])),
    facts([
      ...sides.flatMap(([name, side]) => [
        [`${name}: resets sent`, reasons(side.resetsSent)], [`${name}: resets received`, reasons(side.resetsReceived)],
        [`${name}: GOAWAY sent`, reasons(side.goawaysSent)], [`${name}: GOAWAY received`, reasons(side.goawaysReceived)]]),
      ['Bounds exceeded', exceeded.length ? pairs(Object.fromEntries(exceeded)) : 'none'],
    ]));
}

// Certificates with an error first, then those that end first.
function renderCertificates(certificates) {
  const time = (secs) => make('time', { datetime: new Date(secs * 1000).toISOString() }, new Date(secs * 1000).toLocaleString());
  const rank = (row) => (row.lastError ? 0 : row.notAfterSecs || 1);
  const sorted = [...certificates].sort((a, b) => rank(a) - rank(b));
  at('certificates').hidden = certificates.length === 0;
  at('certificates-count').textContent = certificates.length;
  at('certificate-rows').replaceChildren(...sorted.slice(0, ITEMS_MAX).map((row) => make('tr', {},
    make('td', { class: 'name' }, code(row.names.join(', '))),
    make('td', { class: 'fixed' }, row.challenge ? `${row.source}, ${row.challenge}` : row.source),
    make('td', { class: 'fixed' }, row.notAfterSecs ? time(row.notAfterSecs) : tag('none', 'health down')),
    make('td', {}, row.nextStep, row.nextStepSecs ? ' ' : null, row.nextStepSecs ? time(row.nextStepSecs) : null),
    make('td', {}, row.lastError))));
}

function renderErrors(errors) {
  at('errors').hidden = !errors;
  if (!errors) return;
  const rows = errors.map((error) => make('tr', {},
    make('td', { class: 'fixed' }, tag(String(error.status_code), `status-${String(error.status_code)[0]}`), ` ${error.status}`),
    make('td', {}, code(`${error.method} ${error.host}${error.path}`)),
    make('td', { class: 'fixed' }, make('time', { datetime: error.time }, new Date(error.time).toLocaleString()))));
  at('error-rows').replaceChildren(...(rows.length ? rows : [make('tr', {}, make('td', { colspan: '3', class: 'quiet' }, 'No entries'))]));
}

// ---- requests

async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: 'application/json' }, cache: 'no-store' });
  if (!answer.ok) throw new Error(`${path.replace('..', '')} answered ${answer.status}`);
  return answer.json();
}

// Sends the next request `every` ms after the last response, so that a slow proxy never has two at once. A hidden page sends none.
function repeat(every, isShown, work) {
  const turn = async () => {
    if (!document.hidden && isShown()) {
      try {
        await work();
        at('trouble').hidden = true;
      } catch (error) {
        at('trouble').textContent = `What you see may be old: ${error.message}. Trying again.`;
        at('trouble').hidden = false;
      }
    }
  };
  const loop = async () => { await turn(); setTimeout(loop, every); };
  loop();
  return turn;
}

async function askProviders() {
  await showRuntime();
  const [providers, servers, rejected] = await Promise.all([ask('../api/providers'), ask('../api/servers'), ask('../api/rejected')]);
  Object.assign(state, { providers, servers, rejected });
  renderProviders();
}

// Requested once: version and driver do not change during the life of a process, and a new process has new files.
async function showRuntime() {
  if (state.runtime.version) return;
  const runtime = await ask('../api/runtime');
  state.runtime = runtime;
  at('version').textContent = runtime.codename ? `${runtime.version} / ${runtime.codename}` : runtime.version;
  at('driver').textContent = runtime.driver;
  at('driver').title = runtime.driverReason;
  at('driver').hidden = !runtime.driver;
}

const page = () => (location.hash.replace(/^#\/?/, '') === 'status' ? 'status' : 'providers');

function showPage() {
  for (const name of ['providers', 'status']) at(`page-${name}`).hidden = name !== page();
  for (const link of document.querySelectorAll('[data-page]')) {
    if (link.dataset.page === page()) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
  }
}

showPage();
arrows(at('tabs'));
at('filter').addEventListener('input', (event) => { state.filter = event.target.value.trim().toLowerCase(); renderColumns(); });
const turns = [
  repeat(PROVIDERS_EVERY_MS, () => page() === 'providers', askProviders),
  repeat(HEALTH_EVERY_MS, () => page() === 'status', async () => { await showRuntime(); const [health, http2, certificates] = await Promise.all([ask('../health'), ask('../api/http2'), ask('../api/ringway/certificates')]); renderHealth(health); renderHttp2(http2); renderCertificates(certificates); }),
];
addEventListener('hashchange', () => { if (location.hash !== '#main') { showPage(); turns.forEach((turn) => turn()); } });
document.addEventListener('visibilitychange', () => turns.forEach((turn) => turn()));
