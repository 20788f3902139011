// A page with a toolbar, a long list and the details of the chosen row beside it; on a phone, below it.
import { make, nothing } from './dom.js';
import { virtualList } from './virtual.js';

// `details(item)` gives the elements of the details.
export function listing(place, { label, rowHeight, key, render, details, tools, hint }) {
  const summary = make('p', { class: 'found', role: 'status' });
  const side = make('section', { class: 'panel details', 'aria-label': 'Details', tabindex: '-1' }, nothing(hint));
  const empty = nothing('');
  const list = virtualList({
    label, rowHeight, key, render,
    onChoose: (item) => {
      fill(item);
      if (matchMedia('(max-width: 1000px)').matches) side.scrollIntoView({ block: 'start' });
    },
  });
  let shown = '';
  function fill(item) {
    const text = JSON.stringify(item);
    if (text === shown) return;
    shown = text;
    side.replaceChildren(...[details(item)].flat().filter(Boolean));
  }
  place.append(make('div', { class: 'tools' }, ...tools, summary), make('div', { class: 'split' }, make('div', { class: 'list-frame' }, list.element, empty), side));
  return {
    list,
    set(items, total, noneText) {
      list.set(items);
      summary.textContent = items.length === total ? `${total}` : `${items.length} of ${total}`;
      list.element.hidden = items.length === 0;
      empty.hidden = items.length > 0;
      empty.textContent = total ? 'Nothing matches.' : noneText;
      const chosen = list.chosen();
      if (chosen) fill(chosen);
    },
  };
}
