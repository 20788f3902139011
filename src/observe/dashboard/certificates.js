// All certificates with their end and what happens next.
import { ask, repeat } from './api.js';
import { code, make, nothing, search, show, table, tag } from './dom.js';
import { dateTime, relative } from './format.js';

const EVERY_MILLIS = 5000, ROWS_MAX = 200, SOON_SECS = 14 * 86400;

const time = (secs) => make('time', { datetime: new Date(secs * 1000).toISOString(), title: dateTime(secs) }, relative(secs));

// The state of a certificate: its tag, and how urgent it is.
export function certificateState(row, now = Date.now() / 1000) {
  if (!row.notAfterSecs) return row.lastError ? ['not obtained', 'down', 0] : ['to be obtained', 'warn', 1];
  if (row.notAfterSecs < now) return ['expired', 'down', 0];
  if (row.lastError) return ['renewal failed', 'warn', 1];
  if (row.notAfterSecs - now < SOON_SECS) return ['ends soon', 'warn', 1];
  return ['valid', 'up', 2];
}

function rowOf(row) {
  const [text, kind] = certificateState(row);
  return [
    make('span', {}, row.names.map((name) => code(name))), tag(text, `health ${kind}`),
    row.notAfterSecs ? time(row.notAfterSecs) : '–',
    make('span', {}, row.nextStep, ' ', row.nextStepSecs ? time(row.nextStepSecs) : null, row.lastError ? make('span', { class: 'bad block' }, row.lastError) : null),
    make('span', { class: 'quiet' }, row.challenge ? `${row.source}, ${row.challenge}` : row.source),
  ];
}

function open(place) {
  let all = [], wanted = '';
  const field = search('Search by name', '', (text) => { wanted = text.toLowerCase(); draw(); });
  const body = make('div');
  place.append(make('div', { class: 'tools' }, make('div', { class: 'filter' }, field)), body);
  function draw() {
    const found = all.filter((row) => row.names.some((name) => name.toLowerCase().includes(wanted)));
    // The minute is part of the key, because the texts say how long it is until then.
    show(body, [Math.floor(Date.now() / 60000), wanted, all], () => make('section', { class: 'panel', 'aria-label': 'All certificates' }, all.length === 0 ? nothing('No certificates: no entry point has TLS.') : [
      table('Certificates', ['Names', 'State', 'Ends', 'Next step', 'Source'], found.slice(0, ROWS_MAX).map(rowOf)),
      found.length > ROWS_MAX ? make('p', { class: 'quiet' }, `${found.length - ROWS_MAX} more: search by name.`) : null,
    ]));
  }
  return repeat(EVERY_MILLIS, async () => {
    const certificates = await ask('api/ringway/certificates');
    all = certificates.sort((a, b) => certificateState(a)[2] - certificateState(b)[2] || (a.notAfterSecs || 0) - (b.notAfterSecs || 0));
    draw();
  });
}

export default { id: 'certificates', title: 'Certificates', open };
