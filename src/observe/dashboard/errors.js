// The recent requests that ended with an error, each with its cause.
import { ask, repeat } from './api.js';
import { choices, code, make, nothing, search, show, table, tag } from './dom.js';
import { clockSeconds, dateTime } from './format.js';

const EVERY_MILLIS = 2000, ROWS_STEP = 50;
const FITS = { all: () => true, server: (status) => status >= 500, client: (status) => status < 500 };

function rowOf(error) {
  const where = [error.entryPoint, error.frontend, error.server].filter(Boolean).join(' → ');
  return [
    make('time', { datetime: new Date(error.timeSecs * 1000).toISOString(), title: dateTime(error.timeSecs) }, clockSeconds(error.timeSecs)),
    tag(String(error.status), `status-${String(error.status)[0]}`),
    make('span', {}, code(`${error.method} ${error.host}${error.path}`), make('span', { class: 'quiet block small' }, where)),
    make('span', {}, error.cause),
  ];
}

function open(place) {
  let all = [], dropped = 0, wanted = '', filter = 'all', rows = ROWS_STEP;
  const field = search('Search by host, path, route, server or cause', '', (text) => { wanted = text.toLowerCase(); draw(); });
  const kinds = choices('Which errors', [['all', 'All'], ['server', '5xx'], ['client', '4xx']], filter, (value) => { filter = value; draw(); });
  const body = make('div');
  place.append(make('div', { class: 'tools' }, make('div', { class: 'filter' }, field), kinds), body);
  function draw() {
    const found = all.filter((error) => FITS[filter](error.status) && (!wanted || JSON.stringify(error).toLowerCase().includes(wanted)));
    show(body, [found, dropped, rows], () => make('section', { class: 'panel', 'aria-label': 'Recent errors' },
      found.length ? table('Recent errors', ['Time', 'Status', 'Request', 'Cause'], found.slice(0, rows).map(rowOf)) : nothing(all.length ? 'Nothing matches.' : 'No errors since the start.'),
      found.length > rows ? make('button', { type: 'button', class: 'button', onclick: () => { rows += ROWS_STEP; draw(); } }, `${found.length - rows} more`) : null,
      dropped ? make('p', { class: 'quiet' }, `${dropped.toLocaleString()} more are not listed, because too many came at once: the access log has them all.`) : null));
  }
  return repeat(EVERY_MILLIS, async () => {
    const { errors, notKept } = await ask('api/errors');
    [all, dropped] = [errors, notKept];
    draw();
  });
}

export default { id: 'errors', title: 'Errors', open };
