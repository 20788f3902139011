// The options of a frontend and of a backend as rows of facts. Options that are not set are omitted.
import { code, codes, entries, facts, list, make, pairs, table, tag } from './dom.js';
import { goDuration } from './format.js';

// What a frontend passes on: `TCP` connections or `UDP` datagrams; empty for requests.
export function layer(frontend, backend) {
  const url = entries(backend && backend.servers).map(([, server]) => server.url || '')[0] || '';
  if (/^udp:/i.test(url)) return 'UDP';
  const named = entries(frontend.routes).some(([, route]) => /HostSNI/.test(route.rule || ''));
  return named || /^tcp:/i.test(url) ? 'TCP' : '';
}

export function frontendFacts(frontend, kind) {
  const auth = frontend.auth || {}, { forward } = auth, { redirect, ratelimit } = frontend;
  const white = (frontend.whiteList && frontend.whiteList.sourceRange) || frontend.whitelistSourceRange;
  const users = (one) => make('span', {}, 'on ', one.usersFile ? code(one.usersFile) : null, one.removeHeader ? ', header removed' : null);
  const pages = entries(frontend.errors).map(([, page]) => [(page.status || []).join(', '), page.backend || '', code(page.query || '')]);
  const rates = entries(ratelimit && ratelimit.rateset).map(([, rate]) => `${rate.average} per ${goDuration(rate.period)}, bursts of ${rate.burst}`);
  return facts([
    ['Protocol', kind && make('span', {}, tag(kind), frontend.passthrough ? ' TLS passed through' : '')],
    ['Rules', codes(entries(frontend.routes).map(([, route]) => route.rule || ''))],
    ['Entry points', (frontend.entryPoints || []).map((name) => tag(name))],
    ['Priority', frontend.priority ? String(frontend.priority) : 'length of the rule'],
    ['Host header', kind ? null : frontend.passHostHeader ? 'as the client sent it' : 'that of the server'],
    ['ALPN', codes(frontend.alpn)],
    ['TLS certificate', frontend.passTLSCert || frontend.passTLSClientCert ? 'passed on' : null],
    ['Redirect', redirect && make('span', {}, redirect.entryPoint ? 'to entry point ' : '', code(redirect.entryPoint || `${redirect.regex} → ${redirect.replacement}`), redirect.permanent ? ', permanent' : '')],
    ['Basic auth', auth.basic && users(auth.basic)],
    ['Digest auth', auth.digest && users(auth.digest)],
    ['Forward auth', forward && make('span', {}, code(forward.address || ''), forward.trustForwardHeader ? ', trusts forwarded headers' : '')],
    ['User header', auth.headerField && code(auth.headerField)],
    ['White list', codes(white)],
    ['Error pages', pages.length ? table('Error pages', ['Status', 'Backend', 'Query'], pages) : null],
    ['Rate limit', rates.length ? list(rates) : null],
    ...headerFacts(frontend.headers),
  ]);
}

function headerFacts(headers) {
  if (!headers) return [];
  const named = new Set(['customRequestHeaders', 'customResponseHeaders', 'sslProxyHeaders', 'allowedHosts', 'hostsProxyHeaders']);
  const rest = entries(headers).filter(([name]) => !named.has(name)).map(([name, value]) => code(`${name}: ${value}`));
  return [
    ['Request headers', pairs(headers.customRequestHeaders)],
    ['Response headers', pairs(headers.customResponseHeaders)],
    ['Allowed hosts', codes(headers.allowedHosts)],
    ['Hosts proxy headers', codes(headers.hostsProxyHeaders)],
    ['SSL proxy headers', pairs(headers.sslProxyHeaders)],
    ['Security headers', rest.length ? list(rest) : null],
  ];
}

export function backendFacts(backend) {
  const balancer = backend.loadBalancer || {}, check = backend.healthCheck, limit = backend.maxConn, sticky = balancer.stickiness;
  return facts([
    ['Load balancer', balancer.method || 'wrr'],
    ['Stickiness', (sticky || balancer.sticky) && make('span', {}, 'by cookie ', sticky && sticky.cookieName ? code(sticky.cookieName) : null)],
    ['Max connections', limit && `${limit.amount || 0} per ${limit.extractorFunc || 'client'}`],
    ['Circuit breaker', backend.circuitBreaker && code(backend.circuitBreaker.expression || '')],
    ['PROXY protocol', backend.proxyProtocol && `${backend.proxyProtocol} to the servers`],
    ['Health check', check ? make('span', {}, check.path ? code(check.path) : check.scheme === 'tls' ? 'by TLS handshake' : 'by connection', check.port ? ` on port ${check.port}` : '', check.interval ? ` every ${check.interval}` : '') : 'none'],
    ['Check headers', check && pairs(check.headers)],
    ['Buffering', backend.buffering && pairs(backend.buffering)],
    ['Flush interval', backend.forwardingResponse && backend.forwardingResponse.flushInterval],
  ]);
}

const HEALTH_TEXTS = { up: '● up', down: '▲ down', unknown: '○ not checked', unused: '○ not in use' };
export const healthTag = (health) => tag(HEALTH_TEXTS[health] || health, `health ${health}`);
