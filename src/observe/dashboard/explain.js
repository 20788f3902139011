// Asks `explain` about a request: what the running proxy would do with it, and why.
import { askMaybe } from './api.js';
import { make } from './dom.js';
import { explanation } from './explanation.js';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

// The address as typed, with a scheme: `shop.test/cart` means http.
const withScheme = (text) => (/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);

export function explainForm(url) {
  const method = make('select', { 'aria-label': 'Method', name: 'method' }, METHODS.map((name) => make('option', {}, name)));
  const address = make('input', { type: 'text', inputmode: 'url', name: 'url', placeholder: 'https://shop.example/cart', value: url || null, 'aria-label': 'URL of the request', autocomplete: 'off', spellcheck: 'false' });
  const headers = make('input', { type: 'text', name: 'headers', placeholder: 'Header: value (several with ;)', 'aria-label': 'Header fields', autocomplete: 'off', spellcheck: 'false' });
  const from = make('input', { type: 'text', name: 'from', placeholder: 'Address of the client', 'aria-label': 'Address of the client', autocomplete: 'off', spellcheck: 'false' });
  const entryPoint = make('input', { type: 'text', name: 'entryPoint', placeholder: 'Entry point: by the port', 'aria-label': 'Entry point', autocomplete: 'off', spellcheck: 'false' });
  const sni = make('input', { type: 'text', name: 'sni', placeholder: 'SNI: the host', 'aria-label': 'Name in the TLS handshake', autocomplete: 'off', spellcheck: 'false' });
  const result = make('div', { class: 'explained', 'aria-live': 'polite' });
  async function run() {
    const text = address.value.trim();
    if (!text) { result.replaceChildren(); return; }
    const query = new URLSearchParams({ url: withScheme(text), method: method.value });
    headers.value.split(';').map((field) => field.trim()).filter(Boolean).forEach((field) => query.append('header', field));
    for (const field of [from, entryPoint, sni]) if (field.value.trim()) query.set(field.name, field.value.trim());
    try {
      const answer = await askMaybe(`api/explain?${query}`);
      result.replaceChildren(...(answer ? explanation(answer) : [make('p', { class: 'notice warn' }, 'This proxy does not answer /api/explain.')]));
    } catch (error) {
      result.replaceChildren(make('p', { class: 'notice warn' }, error.message));
    }
  }
  const form = make('form', { class: 'explain-form', onsubmit: (event) => { event.preventDefault(); run(); } },
    method, address, make('button', { type: 'submit', class: 'button main' }, 'Explain'),
    make('details', { class: 'more' }, make('summary', {}, 'Header fields, client, entry point'), make('div', { class: 'inputs' }, headers, from, entryPoint, sni)));
  if (url) run();
  return make('section', { class: 'panel explain', 'aria-labelledby': 'explain-title' }, make('h2', { id: 'explain-title' }, 'What happens to a request?'), form, result);
}
