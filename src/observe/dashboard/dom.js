// Makes elements. Names, rules and paths come from containers and clients: every text is inserted as text, never as markup.

export function make(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export const at = (id) => document.getElementById(id);
export const code = (text) => make('code', {}, text);
export const tag = (text, kind) => make('span', { class: kind ? `tag ${kind}` : 'tag' }, text);
export const entries = (object) => Object.entries(object || {});
export const list = (items) => make('ul', { class: 'bare' }, items.map((item) => make('li', {}, item)));
export const codes = (items) => (items && items.length ? list(items.map(code)) : null);
export const pairs = (object) => (entries(object).length ? list(entries(object).map(([name, value]) => code(`${name}: ${value}`))) : null);

// Rows of [name, content]; a row without content is omitted.
export function facts(rows) {
  const shown = rows.filter(([, content]) => content !== null && content !== undefined && content !== '' && content !== false);
  return make('dl', { class: 'facts' }, shown.flatMap(([name, content]) => [make('dt', {}, name), make('dd', {}, content)]));
}

export function panel(title, ...content) {
  const id = `panel-${title.toLowerCase().replace(/[^a-z0-9]+/g, '-')}`;
  return make('section', { class: 'panel', 'aria-labelledby': id }, make('h2', { id }, title), ...content);
}

// A table. Heads are texts, or {text, number} for columns of numbers.
export function table(caption, heads, rows, kind) {
  const numeric = heads.map((head) => head.number);
  const head = heads.map((each) => make('th', { scope: 'col', class: each.number ? 'number' : null }, each.text || each));
  const cell = (content, column) => make('td', { class: numeric[column] ? 'number' : null, 'data-head': heads[column].text || heads[column] }, content);
  return make('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': caption },
    make('table', { class: kind }, make('caption', { class: 'hidden-label' }, caption),
      make('thead', {}, make('tr', {}, head)),
      make('tbody', {}, rows.map((row) => make('tr', {}, row.map(cell))))));
}

export function tile(name, value, note, kind) {
  return make('div', { class: kind ? `tile ${kind}` : 'tile' }, make('dt', {}, name), make('dd', {}, value), make('dd', { class: 'note' }, note || '\u00a0'));
}

export const nothing = (text) => make('p', { class: 'nothing' }, text);

// Replaces the children of a place if what they show has changed, so that focus, selection and scrolling stay otherwise.
export function show(place, key, build) {
  const text = JSON.stringify(key);
  if (place.shown === text) return false;
  place.shown = text;
  place.replaceChildren(...[build()].flat().filter(Boolean));
  return true;
}

export function search(label, value, onInput) {
  const input = make('input', { type: 'search', placeholder: label, autocomplete: 'off', spellcheck: 'false', value: value || null, 'aria-label': label });
  input.addEventListener('input', () => onInput(input.value.trim()));
  return input;
}

// Buttons of which one is chosen. `options` are [value, text].
export function choices(label, options, chosen, onChoose) {
  const buttons = options.map(([value, text]) => make('button', {
    type: 'button', 'aria-pressed': String(value === chosen), 'data-value': value,
    onclick: () => {
      for (const button of buttons) button.setAttribute('aria-pressed', String(button.dataset.value === value));
      onChoose(value);
    },
  }, text));
  return make('div', { class: 'choices', role: 'group', 'aria-label': label }, buttons);
}
