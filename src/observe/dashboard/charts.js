// Draws charts in SVG: lines and stacked areas over the last fifteen minutes, small trends, and bars. Every text is inserted as text.
import { make } from './dom.js';
import { clock, clockSeconds } from './format.js';

const NAMESPACE = 'http://www.w3.org/2000/svg';
const WIDTH = 720, HEIGHT = 240, LEFT = 58, RIGHT = 14, TOP = 12, BOTTOM = 26;
const WINDOW_SECS = 900;

export function node(name, attributes, text) {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// The next 1, 2 or 5 times a power of ten: an axis with round numbers.
function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

const isNumber = (value) => value !== null && Number.isFinite(value);

// The path through the points. Where a value is missing the line has a gap; a single point becomes a dot.
function pathOf(points) {
  let path = '', before = false;
  points.forEach((point, index) => {
    if (point === null) { before = false; return; }
    path += `${before ? 'L' : 'M'}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    if (!before && points[index + 1] === null) path += 'h.1';
    before = true;
  });
  return path;
}

// series: [{name, kind, values}]; `times` are seconds, the values belong to the last of them. `stacked` fills the areas.
export function timeChart(place, { title, times, series, show, stacked }) {
  const newest = times[times.length - 1] || Date.now() / 1000, oldest = newest - WINDOW_SECS;
  const wide = WIDTH - LEFT - RIGHT, high = HEIGHT - TOP - BOTTOM;
  const x = (time) => LEFT + wide * Math.min(1, Math.max(0, (time - oldest) / WINDOW_SECS));
  const offset = (values) => times.length - values.length;
  const rows = series.map((each) => times.map((_, index) => (index < offset(each.values) ? null : each.values[index - offset(each.values)])));
  const sums = times.map(() => 0);
  const tops = rows.map((row) => row.map((value, index) => { if (!stacked) return value; sums[index] += value || 0; return sums[index]; }));
  const highest = roundUp(Math.max(0, ...tops.flat().filter(isNumber)));
  const y = (value) => TOP + high * (1 - value / highest);
  const last = series.map((each, index) => `${each.name} ${show(rows[index].length ? rows[index][rows[index].length - 1] : null)}`).join(', ');
  const svg = node('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': `${title} of the last 15 minutes; now: ${last}` });
  for (let step = 0; step <= 4; step++) {
    const line = HEIGHT - BOTTOM - high * step / 4;
    svg.append(node('line', { class: 'rule', x1: LEFT, x2: WIDTH - RIGHT, y1: line, y2: line }));
    svg.append(node('text', { x: LEFT - 8, y: line + 4, 'text-anchor': 'end' }, show(highest * step / 4)));
  }
  for (let minutes = 15; minutes >= 0; minutes -= 5) {
    const time = newest - minutes * 60;
    svg.append(node('text', { x: x(time), y: HEIGHT - 7, 'text-anchor': minutes === 15 ? 'start' : minutes === 0 ? 'end' : 'middle' }, minutes === 0 ? 'now' : clock(time)));
  }
  for (const index of tops.keys()) {
    const points = tops[index].map((value, position) => (isNumber(value) ? [x(times[position]), y(value)] : null));
    const { kind } = series[index];
    if (stacked) {
      // The band between this series and those below it.
      const above = points.filter(Boolean);
      const below = tops[index].map((value, position) => (isNumber(value) ? [x(times[position]), y(index ? tops[index - 1][position] || 0 : 0)] : null)).filter(Boolean).reverse();
      if (above.length) svg.append(node('path', { class: `area ${kind}`, d: `${pathOf(above)}${pathOf(below).replace('M', 'L')}Z` }));
      if (rows[index].every((value) => !value)) continue;
    }
    svg.append(node('path', { class: `line ${kind}`, d: pathOf(points) }));
  }
  hover(svg, { times, rows, series, show, x });
  const legend = make('p', { class: 'legend', 'aria-hidden': 'true' }, series.map((each, index) => make('span', { class: `key ${each.kind}` }, `${each.name} `, make('b', {}, show(rows[index][times.length - 1] ?? null)))));
  place.replaceChildren(legend, svg);
}

// Shows the values under the pointer.
function hover(svg, { times, rows, series, show, x }) {
  const mark = node('g', { class: 'mark', visibility: 'hidden' });
  const line = node('line', { y1: TOP, y2: HEIGHT - BOTTOM });
  const box = node('rect', { rx: 6, width: 150, height: 24 + 17 * series.length, y: TOP });
  const texts = [null, ...series].map((_, index) => node('text', { y: TOP + 18 + 17 * index }));
  mark.append(line, box, ...texts);
  svg.append(mark);
  svg.addEventListener('pointerleave', () => mark.setAttribute('visibility', 'hidden'));
  svg.addEventListener('pointermove', (event) => {
    if (!times.length) return;
    const bounds = svg.getBoundingClientRect();
    const wanted = (event.clientX - bounds.left) * WIDTH / bounds.width;
    let best = 0;
    times.forEach((time, index) => { if (Math.abs(x(time) - wanted) < Math.abs(x(times[best]) - wanted)) best = index; });
    const position = x(times[best]);
    const left = position > WIDTH / 2 ? position - 160 : position + 10;
    line.setAttribute('x1', position);
    line.setAttribute('x2', position);
    box.setAttribute('x', left);
    texts.forEach((text, index) => {
      text.setAttribute('x', left + 10);
      text.textContent = index === 0 ? clockSeconds(times[best]) : `${series[index - 1].name}: ${show(rows[index - 1][best])}`;
    });
    mark.setAttribute('visibility', 'visible');
  });
}

// A small chart without axes, for table rows and tiles. `capacity`: how many points fill its width.
export function trend(values, capacity, kind = 'ok') {
  const svg = node('svg', { class: 'trend', viewBox: '0 0 120 28', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  const highest = Math.max(...values, 0.001);
  const step = 120 / Math.max(1, capacity - 1), start = 120 - step * (values.length - 1);
  const points = values.map((value, index) => [start + step * index, 26 - 23 * value / highest]);
  if (points.length > 1) {
    svg.append(node('path', { class: `area ${kind}`, d: `${pathOf(points)}L120 28L${start.toFixed(1)} 28Z` }));
    svg.append(node('path', { class: `line ${kind}`, d: pathOf(points) }));
  }
  return svg;
}

// rows: [{name, value, kind, note}]; the longest bar has the largest value.
export function bars(rows, show) {
  const highest = Math.max(1, ...rows.map((row) => row.value));
  return make('dl', { class: rows.some((row) => row.note) ? 'bars noted' : 'bars' }, rows.flatMap((row) => {
    const fill = make('span', { class: `fill ${row.kind || 'ok'}` });
    fill.style.width = `${row.value > 0 ? Math.max(1.5, 100 * row.value / highest) : 0}%`;
    return [make('dt', {}, row.name), make('dd', {}, make('span', { class: 'track', 'aria-hidden': 'true' }, fill), make('b', {}, show(row.value)), make('span', { class: 'quiet' }, row.note || ''))];
  }));
}
