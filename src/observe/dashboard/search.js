// Finds routes by host and path, as far as the text of a rule says. `explain` decides as the running proxy does.

const HOSTS = /\b(?:Host|HostSNI):\s*([^;]+)/g, HOST_PATTERNS = /\bHost(?:SNI)?Regexp:\s*([^;]+)/g;
const PATHS = /\b(?:Path|PathStrip):\s*([^;]+)/g, PREFIXES = /\b(?:PathPrefix|PathPrefixStrip):\s*([^;]+)/g;

const values = (rule, pattern) => [...rule.matchAll(pattern)].flatMap((match) => match[1].split(',')).map((text) => text.trim().toLowerCase()).filter(Boolean);

export function readRule(rule) {
  return { hosts: values(rule, HOSTS), patterns: values(rule, HOST_PATTERNS), paths: values(rule, PATHS), prefixes: values(rule, PREFIXES) };
}

// The host and the path of `https://a.test/x`, `a.test/x` or `/x`; null for any other text.
export function readAddress(text) {
  const found = /^(?:[a-z][a-z0-9+.-]*:\/\/)?([^/\s:]*)(?::\d+)?(\/\S*)?$/i.exec(text);
  if (!found || !(found[1].includes('.') || found[2])) return null;
  return { host: found[1].toLowerCase(), path: (found[2] || '').split(/[?#]/)[0].toLowerCase() };
}

function hostRank({ hosts, patterns }, host) {
  if (!host) return 1;
  if (hosts.includes(host)) return 4;
  if (patterns.some((pattern) => pattern.replace(/\{[^}]*\}/g, '').split('.').filter(Boolean).every((part) => host.includes(part)))) return 3;
  if (hosts.some((known) => known.includes(host))) return 2;
  return hosts.length || patterns.length ? 0 : 1;
}

function pathRank({ paths, prefixes }, path) {
  if (!path || path === '/') return 1;
  if (paths.includes(path)) return 4;
  if (prefixes.some((prefix) => path.startsWith(prefix))) return 3;
  if ([...paths, ...prefixes].some((known) => known.startsWith(path))) return 2;
  return paths.length || prefixes.length ? 0 : 1;
}

// How well a route fits the text: 0 not at all.
export function rank(route, text, address) {
  if (address) {
    const best = Math.max(0, ...route.read.map((rule) => { const host = hostRank(rule, address.host), path = pathRank(rule, address.path); return host && path ? host * 10 + path : 0; }));
    if (best) return best;
  }
  return text.toLowerCase().split(/\s+/).every((word) => route.text.includes(word)) ? 5 : 0;
}
