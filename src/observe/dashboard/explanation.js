// Shows the answer of /api/explain as the way of the request through the proxy, from the entry point to the server.
import { code, codes, facts, make, table, tag } from './dom.js';
import { dateTime, relative } from './format.js';

const KINDS = { forwarded: ['Forwarded', 'good'], connected: ['Connected', 'good'], answered: ['Answered by the proxy', 'warn'], closed: ['Closed', 'bad'] };
const VERDICTS = { passes: ['passes', 'up'], answers: ['answers', 'warn'], asks: ['asks another server', ''] };
const STATES = { up: 'up', down: 'down', ejected: 'warn' };

function outcome({ kind, status, location, server, why }) {
  const [text, look] = KINDS[kind] || [kind, ''];
  return make('p', { class: `outcome ${look}` },
    make('b', {}, text, status ? ` with ${status}` : ''), server ? [' to ', code(server)] : null, location ? [' leading to ', code(location)] : null, why ? make('span', { class: 'block' }, why) : null);
}

const stage = (title, ...content) => make('li', { class: 'stage' }, make('h3', {}, title), ...content);

function entryPoint(found) {
  return found && stage(['Entry point ', code(found.name)], make('p', {}, found.address, found.tls ? ', TLS' : '', found.trustsClient ? '; the client’s forwarded fields count' : ''), why(found.why));
}

function certificate(found) {
  if (!found) return null;
  return stage('Certificate', facts([
    ['Names', codes(found.names)],
    ['Ends', found.notAfterSecs ? `${relative(found.notAfterSecs)} (${dateTime(found.notAfterSecs)})` : null],
    ['State', make('span', {}, tag(found.isValid ? 'valid for the name' : 'not valid for the name', `health ${found.isValid ? 'up' : 'down'}`), found.isDefault ? ' the default certificate' : '')],
  ]), why(found.why));
}

const why = (text) => (text ? make('p', { class: 'quiet' }, text) : null);
const changeText = ({ change, name, value }) => code(change === 'removed' ? `− ${name}` : `${change === 'added' ? '+' : '~'} ${name}: ${value}`);
const changes = (list) => (list && list.length ? make('ul', { class: 'bare' }, list.map((each) => make('li', {}, changeText(each)))) : null);

function steps(all, chain, title) {
  const found = all.filter((step) => step.chain === chain);
  return found.length ? stage(title, make('ul', { class: 'bare steps' }, found.map((step) => {
    const [text, look] = VERDICTS[step.verdict] || [step.verdict, ''];
    return make('li', {}, code(step.middleware), ' ', tag(step.status ? `${text} ${step.status}` : text, `health ${look}`), ' ', step.why, changes(step.changes));
  }))) : null;
}

function conditions(list) {
  return list.length ? make('ul', { class: 'bare conditions' }, list.map(({ text, met, why: reason }) => make('li', { class: met ? 'met' : 'unmet' },
    make('span', { 'aria-hidden': 'true' }, met ? '✓ ' : '✗ '), make('span', { class: 'hidden-label' }, met ? 'met: ' : 'not met: '), code(text), reason ? ` ${reason}` : ''))) : null;
}

function routeLine(found) {
  return make('p', {}, make('a', { href: `#/routes?search=${encodeURIComponent(found.frontend)}` }, found.frontend), make('span', { class: 'quiet' }, ` of ${found.provider}`, found.rank === null ? '' : `, place ${found.rank + 1}`));
}

const route = (found) => found && stage('Route', routeLine(found), codes(found.rules), conditions(found.conditions), why(found.why));

function path(found) {
  return found && found.received !== found.forwarded ? stage('Path', make('p', {}, code(found.received), ' becomes ', code(found.forwarded))) : null;
}

function fields({ request, response }) {
  if (!request.length && !response.length) return null;
  return stage('Fields', make('details', {}, make('summary', {}, `${request.length} changed in the request, ${response.length} in the response`),
    facts([['Request', changes(request)], ['Response', changes(response)]])));
}

function backend(found) {
  if (!found) return null;
  const heads = ['Server', 'State', { text: 'Weight', number: true }, { text: 'Active', number: true }, 'Why'];
  const rows = found.servers.map((server) => [
    make('span', {}, server.picked ? make('b', {}, '→ ') : null, code(server.url)), tag(server.state, `health ${STATES[server.state] || ''}`),
    String(server.weight), String(server.active), server.why]);
  return stage(['Backend ', code(found.name)], make('p', { class: 'quiet' }, `${found.method}${found.stickiness ? `, sticky by ${found.stickiness}` : ''}. ${found.why}`),
    rows.length ? table('Servers that may get the request', heads, rows) : make('p', { class: 'bad' }, 'No server.'));
}

function nearMisses(found) {
  return found.length ? make('details', { class: 'misses' }, make('summary', {}, found.length === 1 ? 'Another route is close' : `${found.length} other routes are close`),
    make('ul', { class: 'bare' }, found.map((miss) => make('li', {}, routeLine(miss), codes(miss.rules), conditions(miss.conditions), why(miss.why))))) : null;
}

export function explanation(answer) {
  return [
    outcome(answer.outcome),
    ...(answer.notes || []).map((note) => make('p', { class: 'notice' }, note)),
    make('ol', { class: 'way' }, entryPoint(answer.entryPoint), certificate(answer.certificate),
      steps(answer.steps, 'entry point', 'Middlewares of the entry point'), route(answer.route), steps(answer.steps, 'frontend', 'Middlewares of the frontend'),
      path(answer.path), steps(answer.steps, 'attempt', 'Middlewares of each attempt'), backend(answer.backend), fields(answer.fields)),
    nearMisses(answer.nearMisses || []),
  ].filter(Boolean);
}
