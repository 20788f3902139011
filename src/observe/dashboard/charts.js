'use strict';
// Draws two small charts in SVG. Every text is inserted as text, never as markup.
const charts = (() => {
  const NAMESPACE = 'http://www.w3.org/2000/svg';
  const WIDTH = 560, HEIGHT = 230, LEFT = 62, RIGHT = 12, TOP = 20, BOTTOM = 28;

  function node(name, attributes, text) {
    const made = document.createElementNS(NAMESPACE, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function canvas(description) {
    return node('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': description });
  }

  // The next 1, 2 or 5 times a power of ten: an axis with round numbers.
  function roundUp(value) {
    if (!(value > 0)) return 1;
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
  }

  function rules(svg, highest, show) {
    for (let step = 0; step <= 4; step++) {
      const y = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * step / 4;
      svg.append(node('line', { class: 'rule', x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }));
      svg.append(node('text', { x: LEFT - 8, y: y + 4, 'text-anchor': 'end' }, show(highest * step / 4)));
    }
  }

  // points: [{time: Date, value: number}], oldest first.
  function line(place, points, show) {
    const newest = points[points.length - 1];
    const svg = canvas(newest ? `Average response time, now ${show(newest.value)}` : 'No data yet');
    const highest = roundUp(Math.max(0, ...points.map((point) => point.value)));
    rules(svg, highest, show);
    if (points.length > 0) {
      const wide = WIDTH - LEFT - RIGHT, high = HEIGHT - TOP - BOTTOM;
      const x = (at) => LEFT + (points.length === 1 ? wide : wide * at / (points.length - 1));
      const y = (value) => TOP + high * (1 - value / highest);
      const path = points.map((point, at) => `${at ? 'L' : 'M'}${x(at).toFixed(1)} ${y(point.value).toFixed(1)}`).join('');
      const ground = HEIGHT - BOTTOM;
      svg.append(node('path', { class: 'area', d: `${path}L${x(points.length - 1)} ${ground}L${x(0)} ${ground}Z` }));
      svg.append(node('path', { class: 'line', d: path }));
      const clock = (time) => time.toLocaleTimeString();
      if (points.length > 1) svg.append(node('text', { x: LEFT, y: HEIGHT - 8 }, clock(points[0].time)));
      svg.append(node('text', { x: WIDTH - RIGHT, y: HEIGHT - 8, 'text-anchor': 'end' }, clock(newest.time)));
    }
    place.replaceChildren(svg);
  }

  // counts: {code: number}
  function bars(place, counts) {
    const codes = Object.keys(counts).sort();
    const svg = canvas(codes.map((code) => `${code}: ${counts[code]}`).join(', ') || 'No requests yet');
    // The axis has four steps, each a whole number of requests.
    const highest = 4 * roundUp(Math.max(4, ...Object.values(counts)) / 4);
    rules(svg, highest, (value) => value.toLocaleString());
    const slot = (WIDTH - LEFT - RIGHT) / Math.max(1, codes.length);
    const wide = Math.min(56, slot * 0.7), high = HEIGHT - TOP - BOTTOM;
    codes.forEach((code, at) => {
      const middle = LEFT + slot * (at + 0.5), tall = Math.max(1, high * counts[code] / highest);
      const kind = { 4: 'refused', 5: 'failed', 3: 'moved' }[code[0]] || 'ok';
      svg.append(node('rect', { class: kind, x: middle - wide / 2, y: HEIGHT - BOTTOM - tall, width: wide, height: tall, rx: 3 }));
      svg.append(node('text', { class: 'value', x: middle, y: HEIGHT - BOTTOM - tall - 5, 'text-anchor': 'middle' }, counts[code].toLocaleString()));
      svg.append(node('text', { x: middle, y: HEIGHT - 8, 'text-anchor': 'middle' }, code));
    });
    place.replaceChildren(svg);
  }

  return { line, bars };
})();
