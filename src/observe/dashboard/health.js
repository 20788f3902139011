// The process, its responses by status, and what HTTP/2 does.
import { ask, repeat } from './api.js';
import { entries, facts, make, pairs, panel, show, table, tile } from './dom.js';
import { bars } from './charts.js';
import { age, bytes, count, dateTime, millis } from './format.js';

const EVERY_MILLIS = 2000;
const KINDS = { 4: 'client', 5: 'error', 3: 'moved' };

function tiles(health, runtime) {
  return make('dl', { class: 'tiles' },
    tile('Uptime', age(health.uptime_sec), `since ${dateTime(health.unixtime - health.uptime_sec)}`),
    tile('Requests', count(health.total_count), `${health.count} in this second`),
    tile('Average time', millis(health.average_response_time_sec * 1000), 'of a response'),
    tile('Sent', bytes(health.total_response_size), `${bytes(health.average_response_size)} on average`),
    tile('Process', String(health.pid), `Ringway ${runtime.version}`),
    tile('Driver', runtime.driver || 'unknown', runtime.driverReason));
}

function statuses(health) {
  const rows = entries(health.total_status_code_count).map(([status, value]) => ({ name: status, value, kind: KINDS[status[0]] || 'ok' }));
  return panel('Responses by status', rows.length ? bars(rows, count) : make('p', { class: 'nothing' }, 'No requests yet.'));
}

// The connections and streams with clients and with servers; the reasons of resets, and bounds that were exceeded, if there are any.
function http2Panel(http2) {
  const sides = [['Clients', http2.clients], ['Servers', http2.servers]];
  const reasons = (counts) => entries(counts).map(([reason, value]) => `${reason} ${count(value)}`).join(', ');
  const numbers = ['Connections', 'so far', 'Streams', 'so far'].map((text) => ({ text, number: true }));
  const exceeded = entries(http2.boundsExceeded).filter(([, value]) => value > 0);
  const ends = sides.flatMap(([name, side]) => [
    [`${name}: resets sent`, reasons(side.resetsSent)], [`${name}: resets received`, reasons(side.resetsReceived)],
    [`${name}: GOAWAY sent`, reasons(side.goawaysSent)], [`${name}: GOAWAY received`, reasons(side.goawaysReceived)]]);
  return panel('HTTP/2',
    make('p', { class: 'quiet' }, `${count(http2.clients.connectionsOpen)} of ${count(http2.clientConnections)} client connections speak HTTP/2.`),
    table('HTTP/2 connections', ['With', ...numbers], sides.map(([name, side]) => [name, ...[side.connectionsOpen, side.connectionsTotal, side.streamsOpen, side.streamsTotal].map(count)])),
    ends.some(([, text]) => text) || exceeded.length ? facts([...ends, ['Bounds exceeded', pairs(Object.fromEntries(exceeded))]]) : make('p', { class: 'quiet' }, 'No stream was reset, no connection was told to go away, and no bound was exceeded.'));
}

function open(place) {
  const top = make('div'), left = make('div'), right = make('div');
  place.append(top, make('div', { class: 'columns' }, left, right));
  let runtime = null;
  return repeat(EVERY_MILLIS, async () => {
    runtime = runtime || await ask('api/runtime');
    const [health, http2] = await Promise.all([ask('health'), ask('api/http2')]);
    top.replaceChildren(tiles(health, runtime));
    show(left, health.total_status_code_count, () => statuses(health));
    show(right, http2, () => http2Panel(http2));
  });
}

export default { id: 'health', title: 'Health', open };
