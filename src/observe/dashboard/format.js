// Turns numbers and times into texts.

const whole = new Intl.NumberFormat();
export const count = (value) => whole.format(Math.round(value));

export function rate(value) {
  if (!(value > 0)) return '0';
  if (value < 0.1) return value.toFixed(2);
  if (value < 10) return value.toFixed(1);
  return count(value);
}

export function millis(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (value === 0) return '0';
  if (value < 1) return `${Math.max(1, Math.round(value * 1000))} µs`;
  if (value < 10) return `${value.toFixed(1)} ms`;
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 60000) return `${(value / 1000).toFixed(value < 10000 ? 2 : 1)} s`;
  return `${(value / 60000).toFixed(1)} min`;
}

export function percent(part, all) {
  if (!(all > 0) || !(part > 0)) return '0 %';
  const value = 100 * part / all;
  return `${value < 0.1 ? '< 0.1' : value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

export function bytes(value) {
  const step = value > 0 ? Math.min(5, Math.floor(Math.log2(value) / 10)) : 0;
  return `${+(value / 1024 ** step).toPrecision(3)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'][step]}`;
}

export function age(secs) {
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const parts = [];
  let rest = Math.max(0, Math.floor(secs));
  for (const [size, unit] of units) {
    if (rest >= size || parts.length) parts.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
  }
  return parts.slice(0, 2).join(' ') || '0 s';
}

// "in 12 d 3 h" or "5 min ago".
export function relative(unixSecs, now = Date.now() / 1000) {
  const distance = unixSecs - now;
  return distance >= 0 ? `in ${age(distance)}` : `${age(-distance)} ago`;
}

export const dateTime = (unixSecs) => new Date(unixSecs * 1000).toLocaleString();
export const clock = (unixSecs) => new Date(unixSecs * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
export const clockSeconds = (unixSecs) => new Date(unixSecs * 1000).toLocaleTimeString();

export function goDuration(nanos) {
  const units = [['h', 3.6e12], ['m', 6e10], ['s', 1e9], ['ms', 1e6], ['µs', 1e3]];
  const [unit, size] = units.find(([, each]) => nanos >= each && nanos % each === 0) || ['ns', 1];
  return `${nanos / size}${unit}`;
}
