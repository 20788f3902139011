// The configuration of all providers as JSON: a tree whose branches are made when they are opened.
import { askText, repeat } from './api.js';
import { entries, make, panel, show } from './dom.js';

const EVERY_MILLIS = 5000, CHILDREN_MAX = 200;

const scalar = (value) => make('span', { class: `json-${value === null ? 'null' : typeof value}` }, JSON.stringify(value));

function branch(name, value, opened) {
  const title = name === null ? null : make('span', { class: 'json-key' }, name);
  if (value === null || typeof value !== 'object') return make('div', { class: 'leaf' }, title, title ? ': ' : null, scalar(value));
  const children = Array.isArray(value) ? value.map((child, index) => [String(index), child]) : entries(value);
  const size = Array.isArray(value) ? `[${children.length}]` : `{${children.length}}`;
  const made = make('details', {}, make('summary', {}, title, ' ', make('span', { class: 'quiet' }, size)));
  const fill = () => {
    if (made.filled) return;
    made.filled = true;
    more(made, children, 0, name === null ? 1 : 0);
  };
  made.addEventListener('toggle', () => { if (made.open) fill(); });
  if (opened > 0) { fill(); made.open = true; }
  return made;
}

function more(place, children, from) {
  place.append(...children.slice(from, from + CHILDREN_MAX).map(([name, child]) => branch(name, child, 0)));
  const rest = children.length - from - CHILDREN_MAX;
  if (rest > 0) {
    const button = make('button', { type: 'button', class: 'plain', onclick: () => { button.remove(); more(place, children, from + CHILDREN_MAX); } }, `${rest} more`);
    place.append(button);
  }
}

function open(place) {
  const note = make('span', { role: 'status', class: 'quiet' });
  let text = '';
  const copy = make('button', {
    type: 'button', class: 'button',
    onclick: async () => {
      try { await navigator.clipboard.writeText(JSON.stringify(JSON.parse(text), null, 2)); note.textContent = 'Copied.'; } catch { note.textContent = 'The browser does not allow copying here: open the raw JSON.'; }
    },
  }, 'Copy');
  const body = make('div');
  place.append(make('div', { class: 'tools' }, copy, make('a', { class: 'button', href: '../api/providers' }, 'Raw JSON'), note), body);
  return repeat(EVERY_MILLIS, async () => {
    text = await askText('api/providers');
    show(body, text, () => panel('What the providers delivered, after defaults', make('div', { class: 'json' }, entries(JSON.parse(text)).map(([name, document]) => branch(name, document, 1)))));
  });
}

export default { id: 'configuration', title: 'Configuration', open };
