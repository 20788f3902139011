// The overview: what needs attention, live numbers, the last fifteen minutes, and who gets the requests.
import { ask, askMaybe, repeat } from './api.js';
import { make, nothing, panel, show, table, tile } from './dom.js';
import { bars, timeChart, trend } from './charts.js';
import { attention } from './attention.js';
import { count, millis, percent, rate } from './format.js';

const HISTORY_EVERY_MILLIS = 2000, LIVE_EVERY_MILLIS = 1000, ATTENTION_EVERY_MILLIS = 3000, ROWS_MAX = 12;

const last = (values) => (values.length ? values[values.length - 1] : 0);

function liveTiles(live, history, open) {
  const { recent } = history.total;
  const requests = tile('Requests per second', rate(last(live.requestsPerSecond)), make('span', {}, trend(live.requestsPerSecond, 60)), 'large');
  const failed = recent.errorsPerSecond + recent.clientErrorsPerSecond;
  const all = open.http1 + open.http2 + open.tcp;
  return make('dl', { class: 'tiles' }, requests,
    tile('Errors (5xx)', percent(recent.errorsPerSecond, recent.requestsPerSecond), failed ? `4xx: ${percent(recent.clientErrorsPerSecond, recent.requestsPerSecond)}` : 'in the last minutes', recent.errorsPerSecond > 0 ? 'bad' : ''),
    tile('p50', millis(recent.p50Millis), 'half of all'),
    tile('p95', millis(recent.p95Millis), 'all but 1 in 20'),
    tile('p99', millis(recent.p99Millis), 'all but 1 in 100'),
    tile('Connections', count(all), open.udp ? `and ${count(open.udp)} UDP sessions` : 'open now'));
}

function connectionBars(open) {
  return panel('Connections by protocol', bars([
    { name: 'HTTP/1.1', value: open.http1 },
    { name: 'HTTP/2', value: open.http2, kind: 'moved', note: open.http2Streams === 1 ? '1 stream' : `${open.http2Streams} streams` },
    { name: 'WebSocket', value: open.webSockets, note: 'inside HTTP' },
    { name: 'TCP', value: open.tcp },
    { name: 'UDP', value: open.udp, note: 'sessions' },
  ], count));
}

const scopeOf = (row, kind) => (kind === 'entryPoint' ? { entryPoint: row.name } : kind === 'frontend' ? { provider: row.provider, frontend: row.name } : { provider: row.provider, backend: row.backend, server: row.name });

function busiest(title, rows, kind) {
  const heads = ['Name', 'Last 15 minutes', { text: 'req/s', number: true }, { text: 'Errors', number: true }, { text: 'p50', number: true }, { text: 'p95', number: true }, { text: 'p99', number: true }];
  const cells = rows.slice(0, ROWS_MAX).map((row) => {
    const { recent } = row;
    const bad = recent.errorsPerSecond > 0 ? 'bad' : '';
    return [
      make('a', { class: 'mono', href: `#/?${new URLSearchParams(scopeOf(row, kind))}` }, row.name),
      trend(row.trend || row.requestsPerSecond, row.trend ? 60 : 180, bad ? 'error' : 'ok'),
      rate(recent.requestsPerSecond), make('span', { class: bad }, percent(recent.errorsPerSecond, recent.requestsPerSecond)),
      millis(recent.p50Millis), millis(recent.p95Millis), millis(recent.p99Millis)];
  });
  const rest = rows.length - ROWS_MAX;
  return panel(title, rows.length ? table(title, heads, cells, 'dense') : nothing('No requests in the last 15 minutes.'), rest > 0 ? make('p', { class: 'quiet' }, `${rest} more with fewer requests.`) : null);
}

// The series that the charts show: everything, or what the address names.
function scopeFrom(query) {
  const names = ['entryPoint', 'frontend', 'server'];
  const kind = names.find((name) => query.get(name));
  return kind ? { query, name: query.get(kind), kind: { entryPoint: 'Entry point', frontend: 'Frontend', server: 'Server' }[kind] } : null;
}

function open(place, query) {
  const scope = scopeFrom(query);
  const live = make('div'), needs = make('div'), flow = make('div', { class: 'chart' }), latency = make('div', { class: 'chart' });
  const entryPoints = make('div'), frontends = make('div'), servers = make('div'), connections = make('div');
  const title = scope && make('p', { class: 'scope' }, `${scope.kind} `, make('b', { class: 'mono' }, scope.name), ' ', make('a', { href: '#/' }, 'Show all'));
  place.append(needs, live, ...[title].filter(Boolean),
    make('div', { class: 'columns' }, panel('Requests per second', flow), panel('Latency', latency)),
    make('div', { class: 'columns wide-first' }, entryPoints, connections), frontends, servers);
  let history = null, counts = { http1: 0, http2: 0, http2Streams: 0, webSockets: 0, tcp: 0, udp: 0 };
  const ends = [
    repeat(HISTORY_EVERY_MILLIS, async () => {
      const [overview, one] = await Promise.all([ask('api/history'), scope ? askMaybe(`api/history?${scope.query}`) : null]);
      history = overview;
      const series = scope ? one && one.series : history.total;
      const none = { requestsPerSecond: [], clientErrorsPerSecond: [], errorsPerSecond: [], p50Millis: [], p95Millis: [], p99Millis: [] };
      drawCharts(flow, latency, one ? one.times : history.times, series || none);
      show(entryPoints, history.entryPoints, () => busiest('Entry points', history.entryPoints, 'entryPoint'));
      show(frontends, history.frontends, () => busiest('Frontends', history.frontends, 'frontend'));
      show(servers, history.servers, () => busiest('Servers', history.servers, 'server'));
    }),
    repeat(LIVE_EVERY_MILLIS, async () => {
      const [seconds, openNow] = await Promise.all([ask('api/history?part=live'), ask('api/connections')]);
      counts = openNow;
      if (history) live.replaceChildren(liveTiles(seconds, history, counts));
      show(connections, counts, () => connectionBars(counts));
    }),
    repeat(ATTENTION_EVERY_MILLIS, async () => { const found = await attention(); show(needs, found.key, () => found.elements); }),
  ];
  return () => ends.forEach((end) => end());
}

function drawCharts(flow, latency, times, series) {
  const ok = series.requestsPerSecond.map((value, index) => Math.max(0, value - series.errorsPerSecond[index] - series.clientErrorsPerSecond[index]));
  timeChart(flow, { title: 'Requests per second', times, show: (value) => rate(value || 0), stacked: true, series: [
    { name: 'answered', kind: 'ok', values: ok }, { name: '4xx', kind: 'client', values: series.clientErrorsPerSecond }, { name: '5xx', kind: 'error', values: series.errorsPerSecond }] });
  timeChart(latency, { title: 'Latency', times, show: millis, series: [
    { name: 'p99', kind: 'p99', values: series.p99Millis }, { name: 'p95', kind: 'p95', values: series.p95Millis }, { name: 'p50', kind: 'p50', values: series.p50Millis }] });
}

export default { id: '', title: 'Overview', open };
