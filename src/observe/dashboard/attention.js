// What needs the operator's attention, with links to the pages that say more.
import { ask } from './api.js';
import { make } from './dom.js';
import { certificateState } from './certificates.js';

const LISTED_MAX = 4;

export async function attention() {
  const [rejected, servers, containers, certificates] = await Promise.all([ask('api/rejected'), ask('api/servers'), ask('api/containers'), ask('api/ringway/certificates')]);
  const down = servers.filter((server) => server.health === 'down');
  const failed = containers.filter((container) => container.state === 'failed' || container.state === 'partial');
  const ending = certificates.filter((row) => certificateState(row)[2] < 2);
  const groups = [
    ['rejected', 'part of the configuration is not applied', 'parts of the configuration are not applied', '#/routes', rejected.filter((item) => item.provider !== 'docker').map((item) => [item.name, item.reason])],
    ['down', 'server is down', 'servers are down', '#/servers', down.map((server) => [server.url, `server of ${server.backend}`])],
    ['failed', 'container is not routed as its labels say', 'containers are not routed as their labels say', '#/containers', failed.map((container) => [container.name, container.reason])],
    ['ending', 'certificate needs attention', 'certificates need attention', '#/certificates', ending.map((row) => [row.names.join(', '), certificateState(row)[0]])],
  ].filter(([, , , , items]) => items.length);
  return { key: groups, elements: groups.length ? [panelOf(groups)] : [] };
}

function panelOf(groups) {
  return make('section', { class: 'panel attention', 'aria-label': 'Needs attention' }, groups.map(([, one, many, href, items]) => make('details', {},
    make('summary', {}, make('b', {}, `${items.length} `), items.length === 1 ? one : many, make('span', { class: 'quiet' }, `: ${items.slice(0, 3).map(([name]) => name).join(', ')}${items.length > 3 ? ' …' : ''}`)),
    make('ul', {}, items.slice(0, LISTED_MAX).map(([name, reason]) => make('li', {}, make('b', { class: 'mono' }, name), `: ${reason}`))),
    make('p', {}, make('a', { href }, items.length > LISTED_MAX ? `All ${items.length}` : 'More')))));
}
