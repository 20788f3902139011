// A list of any length of which only the rows in view exist. The arrow keys move through it; the chosen row is announced.
import { make } from './dom.js';

const BESIDE = 6;

// `render(item, row)` fills a row; `onChoose(item)` is called for a click or Enter.
export function virtualList({ label, rowHeight, key, render, onChoose }) {
  const drawn = new Map();
  let items = [], active = -1, chosenKey = null, waiting = false;
  const inner = make('div', { role: 'presentation', class: 'rows' });
  const element = make('div', { class: 'list', role: 'listbox', tabindex: '0', 'aria-label': label }, inner);

  function draw() {
    waiting = false;
    const top = Math.max(0, Math.floor(element.scrollTop / rowHeight) - BESIDE);
    const bottom = Math.min(items.length, Math.ceil((element.scrollTop + element.clientHeight) / rowHeight) + BESIDE);
    const names = items.slice(top, bottom).map(key), wanted = new Set(names);
    for (const [name, row] of drawn) {
      if (!wanted.has(name)) { row.remove(); drawn.delete(name); }
    }
    let before = null;
    names.forEach((name, place) => {
      const row = drawn.get(name) || newRow(name);
      fill(row, items[top + place]);
      set(row, top + place, name);
      // The order of the elements is that of the rows, for readers that follow it.
      if (row.previousSibling !== before || row.parentNode !== inner) { if (before) before.after(row); else inner.prepend(row); }
      before = row;
    });
    if (!items[active]) element.removeAttribute('aria-activedescendant');
  }

  function newRow(name) {
    const row = make('div', { role: 'option', class: 'row', id: `row-${hash(name)}` });
    row.addEventListener('click', () => choose(row.index));
    row.style.height = `${rowHeight}px`;
    drawn.set(name, row);
    return row;
  }

  // A new answer of the API has new objects: only those that differ are drawn again.
  function fill(row, item) {
    if (row.item === item) return;
    const text = JSON.stringify(item);
    if (row.text !== text) render(item, row);
    row.item = item;
    row.text = text;
  }

  function set(row, index, name) {
    if (row.index !== index || row.count !== items.length) {
      row.index = index;
      row.count = items.length;
      row.style.transform = `translateY(${index * rowHeight}px)`;
      row.setAttribute('aria-posinset', index + 1);
      row.setAttribute('aria-setsize', items.length);
    }
    row.setAttribute('aria-selected', String(name === chosenKey));
    row.classList.toggle('active', index === active);
    if (index === active) element.setAttribute('aria-activedescendant', row.id);
  }

  function later() {
    if (!waiting) { waiting = true; requestAnimationFrame(draw); }
  }

  function move(to) {
    if (!items.length) return;
    active = Math.min(items.length - 1, Math.max(0, to));
    const top = active * rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + rowHeight > element.scrollTop + element.clientHeight) element.scrollTop = top + rowHeight - element.clientHeight;
    draw();
  }

  function choose(index) {
    if (!items[index]) return;
    active = index;
    chosenKey = key(items[index]);
    draw();
    onChoose(items[index]);
  }

  element.addEventListener('scroll', later, { passive: true });
  element.addEventListener('keydown', (event) => {
    const page = Math.max(1, Math.floor(element.clientHeight / rowHeight) - 1);
    const to = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: items.length - 1 }[event.key];
    if (to !== undefined) { event.preventDefault(); move(to); }
    if ((event.key === 'Enter' || event.key === ' ') && active >= 0) { event.preventDefault(); choose(active); }
  });
  const observer = new ResizeObserver(later);
  observer.observe(element);

  return {
    element,
    set(next) {
      const name = items[active] && key(items[active]);
      items = next;
      active = name === undefined ? -1 : items.findIndex((item) => key(item) === name);
      inner.style.height = `${items.length * rowHeight}px`;
      element.style.height = `min(${items.length * rowHeight}px, var(--list-height))`;
      draw();
    },
    chooseKey(name) { const index = items.findIndex((item) => key(item) === name); if (index >= 0) { move(index); choose(index); } },
    chosen: () => items.find((item) => key(item) === chosenKey),
    top() { element.scrollTop = 0; },
    end() { observer.disconnect(); },
  };
}

// A name for an id attribute, which must have no spaces.
function hash(text) {
  let value = 0;
  for (const letter of text) value = (value * 31 + letter.codePointAt(0)) >>> 0;
  return `${value.toString(36)}-${text.length}`;
}
