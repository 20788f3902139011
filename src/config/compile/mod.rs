//! Compiles the providers' documents into a [`Snapshot`]: one pure function. It never fails as a whole: an object that cannot be used is
//! rejected, with a reason, and all others are applied.

mod access_log;
mod auth;
mod backend;
mod entry_point;
mod frontend;
mod hosts;
mod layer4;
mod layer4_frontend;
mod layer4_routes;
mod backend_chains;
mod contradictions;
mod defaults;
mod shadowed;
mod error_pages;
mod reasons;
mod reuse;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use aws_lc_rs::digest::Digest;
use rustls::ClientConfig;

use super::dynamic::{self, ClientTls, Documents, DynamicConfig};
use super::middleware_states::MiddlewareStates;
use super::snapshot::{Backend, Frontend, FrontendLog, ResolvedAddresses, Snapshot, TlsConfigs};
use super::{Rejected, Severity, labels};
use crate::detect::ProxyVersion;
use crate::diagnostics::suggest::did_you_mean;
use crate::diagnostics::{Code, Diagnostic};
use crate::middleware::credentials::CredentialCache;
use crate::rule::{PRIORITY_LAST, Route, Router, RouterOptions, Rule};
pub use defaults::with_defaults;
pub use entry_point::{EntryPointParts, InvalidEntryPoint, entry_point};
pub use hosts::{has_host_route, host_rules, hosts_by_frontend};
use reuse::{FrontendSource, PreviousSnapshot};

/// Reads a file as text.
pub type ReadFile = Box<dyn Fn(&str) -> io::Result<String> + Send + Sync>;

/// Makes the TLS configuration for a forward-auth server from its own table; `None` stands for the system's roots.
pub type AuthTls = Box<dyn Fn(Option<&ClientTls>) -> Result<AuthTlsConfig, String> + Send + Sync>;

/// The TLS configuration that verifies a forward-auth server.
pub struct AuthTlsConfig {
    pub config: Arc<ClientConfig>,
    /// A digest of the settings and of the certificates' content: it changes if a file is renewed under the same name.
    pub digest: Digest,
}

/// The part of the static configuration that compiling needs.
pub struct CompileContext {
    pub entry_points: Vec<EntryPointInfo>,
    pub default_entry_points: Vec<String>,
    pub keep_trailing_slash: bool,
    pub allow_min_weight_zero: bool,
    /// `healthCheck.interval`.
    pub health_interval: std::time::Duration,
    /// The TLS configurations for https servers; the text says why there are none.
    pub client_tls: Result<TlsConfigs, String>,
    /// The cache of verified credentials.
    pub credentials: Arc<CredentialCache>,
    /// Reads a file that a configuration names: users, certificates.
    pub read: ReadFile,
    pub auth_tls: AuthTls,
    /// The attempts of `[retry]`, `None` without that table; 0 means one per server.
    pub retry: Option<i64>,
    /// The folder of the access logs of frontends; `None` without `[accessLog]`, empty if the log has no folder.
    pub access_log_folder: Option<String>,
    /// Fills a slice with unpredictable bytes.
    pub random: fn(&mut [u8]),
}

/// The facts about an entry point that frontends refer to.
#[derive(Debug, Clone)]
pub struct EntryPointInfo {
    pub name: String,
    pub port: u16,
    /// Whether clients on this machine reach it under a loopback address.
    pub is_local: bool,
    pub has_tls: bool,
    /// Whether the entry point takes datagrams, and no connections.
    pub is_udp: bool,
    /// The addresses that its own white list allows; empty without one.
    pub white_list: Vec<String>,
    /// Whether it asks for authentication, which connections and datagrams do not pass.
    pub has_auth: bool,
    pub sanitize_path: bool,
}

/// Makes the cache of verified credentials; `key` is random and made once per process.
pub fn credential_memory(key: [u8; 32]) -> Arc<CredentialCache> {
    Arc::new(CredentialCache::new(key))
}

/// The kind of connections in a pool. A connection is never used for a server that is spoken to in another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum PoolKind {
    Plain,
    PlainHttp2,
    Tls,
    /// TLS connections on which only HTTP/1.1 was offered.
    TlsHttp1,
    /// Connections of layer 4 are never pooled.
    Layer4,
    /// Connections that begin with a PROXY header: they are never pooled, and the number keeps them apart from others to the same server.
    Proxied {
        version: ProxyVersion,
        is_tls: bool,
    },
}

/// Pool numbers and addresses that outlive a snapshot, so that pooled connections and resolved names outlive it too.
#[derive(Default)]
pub struct EndpointInterner {
    pools: HashMap<(String, PoolKind), usize>,
    addresses: HashMap<(String, u16), Arc<ResolvedAddresses>>,
}

impl EndpointInterner {
    fn pool(&mut self, address: &str, kind: PoolKind) -> usize {
        let next = self.pools.len();
        *self.pools.entry((address.to_owned(), kind)).or_insert(next)
    }

    fn addresses(&mut self, host: &str, port: u16) -> Arc<ResolvedAddresses> {
        let key = (host.to_owned(), port);
        Arc::clone(self.addresses.entry(key).or_insert_with(|| Arc::new(ResolvedAddresses::new(host, port))))
    }

    /// The entries that have a name instead of an IP address and must be resolved.
    pub fn names(&self) -> Vec<Arc<ResolvedAddresses>> {
        self.addresses.values().filter(|a| a.is_name()).cloned().collect()
    }

    /// Removes addresses that no snapshot uses any more.
    pub fn forget_unused(&mut self) {
        self.addresses.retain(|_, addresses| Arc::strong_count(addresses) > 1);
    }
}

/// Compiles the providers' documents into the next snapshot. `rejected_by_providers` are the objects that the providers have rejected
/// already. States of servers whose URL is unchanged are carried over from `previous`.
pub fn compile(
    ctx: &CompileContext,
    providers: &Documents,
    rejected_by_providers: &[Rejected],
    previous: &Snapshot,
    interner: &mut EndpointInterner,
) -> Snapshot {
    let mut compiler = Compiler {
        ctx,
        previous: PreviousSnapshot::new(previous),
        interner,
        rejected: rejected_by_providers.to_vec(),
        frontends: Vec::new(),
        frontend_logs: Vec::new(),
        backends: Vec::new(),
        states: MiddlewareStates::default(),
        routes: ctx.entry_points.iter().map(|_| Vec::new()).collect(),
        layer4: layer4_routes::Layer4Routes::new(ctx.entry_points.len()),
    };
    let mut shown = BTreeMap::new();
    for (provider, dynamic) in providers {
        let dynamic = defaults::with_defaults(Arc::clone(dynamic), &ctx.entry_points, &ctx.default_entry_points);
        compiler.compile_provider(provider, &dynamic);
        shown.insert(provider.clone(), dynamic);
    }
    let options = |entry: &EntryPointInfo| RouterOptions {
        keep_trailing_slash: ctx.keep_trailing_slash,
        sanitize_path: entry.sanitize_path,
    };
    let Compiler { mut rejected, frontends, frontend_logs, backends, states, routes, layer4, .. } = compiler;
    let tables = layer4.build(&ctx.entry_points, &routes);
    rejected.extend(tables.rejected);
    for (routes, entry) in routes.iter().zip(&ctx.entry_points) {
        rejected.extend(shadowed::report(routes, entry, &shown));
    }
    let routers = routes
        .into_iter()
        .zip(&ctx.entry_points)
        .map(|(routes, entry)| Router::build(routes, options(entry)))
        .collect();
    let sends_proxy_headers = backends.iter().any(|backend| backend.proxy_protocol.is_some());
    Snapshot {
        routers,
        tcp: tables.tcp,
        udp: tables.udp,
        providers: shown,
        rejected,
        frontends,
        frontend_logs,
        backends,
        states,
        sends_proxy_headers,
    }
}

/// The parts of the next snapshot, collected while the providers' documents are compiled.
struct Compiler<'a> {
    ctx: &'a CompileContext,
    previous: PreviousSnapshot<'a>,
    interner: &'a mut EndpointInterner,
    rejected: Vec<Rejected>,
    /// Provider and name of the frontends so far.
    frontends: Vec<(String, String)>,
    /// The access logs of frontends, up to the last one that has its own.
    frontend_logs: Vec<Option<Arc<FrontendLog>>>,
    backends: Vec<Arc<Backend>>,
    states: MiddlewareStates,
    routes: Vec<Vec<Route<Arc<Frontend>>>>,
    layer4: layer4_routes::Layer4Routes,
}

/// A frontend on one entry point, before its route is made.
struct PlacedFrontend<'d> {
    name: &'d str,
    written: &'d dynamic::Frontend,
    /// The index of the entry point.
    entry: usize,
    rule: Rule,
    frontend: Arc<Frontend>,
}

impl Compiler<'_> {
    /// Compiles one provider's document: all frontends first, then their error pages, which are fetched through other frontends' chains.
    fn compile_provider(&mut self, provider: &str, document: &DynamicConfig) {
        let mut backends: HashMap<&str, Arc<Backend>> = HashMap::new();
        let mut placed = Vec::new();
        let mut sources = error_pages::ErrorPageSources::default();
        let has_error_pages = document.frontends.values().any(|frontend| !frontend.errors.is_empty());
        for (name, frontend) in &document.frontends {
            let mut warnings: Vec<Diagnostic> = Vec::new();
            let before = (placed.len(), self.layer4.len());
            let outcome =
                self.place_frontend(provider, document, name, frontend, &mut backends, &mut placed, &mut warnings);
            let added = &placed[before.0..];
            if has_error_pages {
                added.iter().for_each(|placed| sources.add(placed.entry, &placed.frontend));
            }
            let (severity, effect) = match added.is_empty() && self.layer4.len() == before.1 {
                true => (Severity::Rejected, "frontend rejected"),
                false => (Severity::Partial, "frontend rejected on its other entry points"),
            };
            if let Err(reason) = outcome {
                warnings.push(reason.reworded(|reason| format!("{reason}; {effect}")));
            }
            for warning in warnings {
                self.report(provider, name, severity, warning);
            }
        }
        for mut placed in placed {
            // A frontend of the previous snapshot is shared, and has no error pages.
            if let Some(slow) = Arc::get_mut(&mut placed.frontend).and_then(|frontend| frontend.slow.as_mut()) {
                slow.pages = error_pages::backend_names(placed.written)
                    .filter(|name| document.backends.contains_key(*name))
                    .map(|name| sources.get(placed.entry, name, || self.unrouted_backend(provider, document, name)))
                    .collect();
            }
            self.routes[placed.entry].push(Route {
                rule: placed.rule,
                priority: placed.written.priority,
                provider: provider.to_owned(),
                name: placed.name.to_owned(),
                value: placed.frontend,
            });
        }
    }

    fn report(&mut self, provider: &str, frontend: &str, severity: Severity, diagnostic: Diagnostic) {
        self.rejected.push(Rejected::new(provider, format!("frontend {frontend}"), severity, diagnostic));
    }

    /// Adds a frontend to `placed`, once for each of its entry points. If it fails on one of them, it stays on those before
    /// (docs/reference/providers.md#rejected-objects).
    #[expect(clippy::too_many_arguments, reason = "the caller's loop variables, used nowhere else")]
    fn place_frontend<'d>(
        &mut self,
        provider: &str,
        document: &'d DynamicConfig,
        name: &'d str,
        written: &'d dynamic::Frontend,
        backends: &mut HashMap<&'d str, Arc<Backend>>,
        placed: &mut Vec<PlacedFrontend<'d>>,
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<(), Diagnostic> {
        let entries = self.entry_points_of(written, warnings)?;
        let has_udp = entries.iter().any(|entry| self.ctx.entry_points[*entry].is_udp);
        let layer = layer4::layer(document, written, has_udp)?;
        let entries = layer4::suitable_entry_points(&layer, written, entries, &self.ctx.entry_points, warnings)?;
        let rule = match &layer {
            layer4::Layer::Http => Some(Rule::parse_all(written.routes.values().map(|route| route.rule.as_str()))?),
            layer4::Layer::Tcp(_) | layer4::Layer::Udp => None,
        };
        warnings.extend(rule.iter().flat_map(Rule::warnings).cloned());
        let (id, written_backend) = document
            .backends
            .get_key_value(&written.backend)
            .ok_or_else(|| missing_backend("backend", &written.backend, document))?;
        let backend = match backends.get(id.as_str()) {
            Some(backend) => Arc::clone(backend),
            None => {
                let backend = self.compile_backend(provider, id, written_backend, warnings)?;
                backends.insert(id, Arc::clone(&backend));
                backend
            }
        };
        let Some(rule) = rule else {
            let input = layer4_frontend::Layer4Input { provider, name, written, written_backend, backend: &backend };
            return self.place_layer4(input, &layer, &entries, warnings);
        };
        if written_backend.servers.is_empty() && provider != labels::PROVIDER && written.priority != PRIORITY_LAST {
            let text = format!("backend {id} has no servers: every request is answered with 503; add a server");
            warnings.push(Diagnostic::new(Code::BackendWithoutServers, format!("backends.{id}.servers"), text));
        }
        let infos: Vec<&EntryPointInfo> = entries.iter().map(|entry| &self.ctx.entry_points[*entry]).collect();
        let number = self.frontends.len();
        self.frontends.push((provider.to_owned(), name.to_owned()));
        let source = FrontendSource { provider, name, number, written, backend: &backend };
        if let Some(frontends) = self.previous.unchanged_frontends(source, &entries) {
            for (entry, frontend) in entries.into_iter().zip(frontends) {
                self.states.keep(&self.previous.snapshot.states, provider, &self.ctx.entry_points[entry].name, name);
                placed.push(PlacedFrontend { name, written, entry, rule: rule.clone(), frontend });
            }
            return Ok(());
        }
        warnings.extend(contradictions::contradictions(written, &rule, &infos, &self.ctx.entry_points));
        let mut log_warnings = Vec::new();
        if let Some(log) = access_log::access_log(self.ctx, provider, written, &mut log_warnings) {
            self.frontend_logs.resize(number, None);
            self.frontend_logs.push(Some(log));
        }
        warnings.append(&mut log_warnings);
        for entry in entries {
            let input = frontend::FrontendInput {
                ctx: self.ctx,
                provider,
                name,
                number,
                document,
                frontend: written,
                written_backend,
            };
            let mut new_warnings = Vec::new();
            let mut state = frontend::CompileState {
                interner: self.interner,
                previous: &self.previous.snapshot.states,
                states: &mut self.states,
                warnings: &mut new_warnings,
            };
            let frontend = frontend::frontend(input, &backend, entry, &mut state);
            // Every entry point gives the same warnings: each is reported once.
            new_warnings.retain(|new| warnings.iter().all(|warning| warning.text != new.text));
            warnings.extend(new_warnings);
            placed.push(PlacedFrontend { name, written, entry, rule: rule.clone(), frontend: Arc::new(frontend?) });
        }
        Ok(())
    }

    /// Adds a TCP or UDP frontend to the tables of its entry points.
    fn place_layer4(
        &mut self,
        input: layer4_frontend::Layer4Input<'_>,
        layer: &layer4::Layer,
        entries: &[usize],
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<(), Diagnostic> {
        input.reject_http_options(layer)?;
        for &entry in entries {
            let info = &self.ctx.entry_points[entry];
            let mut new_warnings = Vec::new();
            match layer {
                layer4::Layer::Tcp(rule) => {
                    let owner = input.state_owner(info);
                    let mut states = self.states.carry_over(&self.previous.snapshot.states, &owner);
                    let frontend = Arc::new(input.tcp(info, &mut states, &mut new_warnings)?);
                    self.states.store(&owner, states);
                    let rule = layer4_frontend::rule_on(rule, info, &mut new_warnings);
                    self.layer4.add_tcp(entry, input.route(rule, frontend));
                }
                layer4::Layer::Udp => self.layer4.add_udp(entry, input.udp_route(info, &mut new_warnings)?),
                layer4::Layer::Http => {}
            }
            // Every entry point gives the same warnings: each is reported once.
            new_warnings.retain(|new| warnings.iter().all(|warning| warning.text != new.text));
            warnings.extend(new_warnings);
        }
        if let layer4::Layer::Tcp(rule) = layer {
            warnings.extend(rule.warnings().iter().cloned());
        }
        Ok(())
    }

    /// The indices of the frontend's entry points; unknown names are ignored, with a warning.
    fn entry_points_of(
        &self,
        written: &dynamic::Frontend,
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<Vec<usize>, Diagnostic> {
        let index = |wanted: &String| self.ctx.entry_points.iter().position(|entry| entry.name == *wanted);
        let entries: Vec<usize> = written.entry_points.iter().filter_map(index).collect();
        let known = || self.ctx.entry_points.iter().map(|e| e.name.as_str()).collect::<Vec<_>>().join(", ");
        if entries.is_empty() && !written.entry_points.is_empty() {
            let wanted = written.entry_points.join(", ");
            let text = format!("its entry points ({wanted}) do not exist: use one or more of {}", known());
            return Err(Diagnostic::new(Code::UnknownEntryPoint, "entryPoints", text));
        }
        for wanted in written.entry_points.iter().filter(|wanted| index(wanted).is_none()) {
            let text = format!("unknown entry point {wanted} ignored: use one of {}", known());
            warnings.push(Diagnostic::new(Code::UnknownEntryPoint, "entryPoints", text));
        }
        Ok(entries)
    }

    fn compile_backend(
        &mut self,
        provider: &str,
        name: &str,
        written: &dynamic::Backend,
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<Arc<Backend>, Diagnostic> {
        let number = self.backends.len();
        if let Some(unchanged) = self.previous.unchanged_backend(provider, name, written, number) {
            self.backends.push(Arc::clone(unchanged));
            return Ok(Arc::clone(unchanged));
        }
        let before = self.previous.backend(provider, name);
        let (backend, new_warnings) =
            backend::backend(self.ctx, provider, name, written, number, before, self.interner)?;
        warnings.extend(new_warnings);
        let backend = Arc::new(backend);
        self.backends.push(Arc::clone(&backend));
        Ok(backend)
    }

    /// Compiles the server named `error` of a backend that no frontend leads to, for error pages in the old spelling.
    fn unrouted_backend(&mut self, provider: &str, document: &DynamicConfig, name: &str) -> Option<Arc<Backend>> {
        let server = document.backends.get(name)?.servers.get("error")?.clone();
        let written =
            dynamic::Backend { servers: [("error".to_owned(), server)].into(), ..dynamic::Backend::default() };
        // This backend has no counters of its own, because no frontend's requests go there.
        let number = usize::MAX;
        let (backend, _) = backend::backend(self.ctx, provider, name, &written, number, None, self.interner).ok()?;
        Some(Arc::new(backend))
    }
}

/// The diagnostic about a name that no backend of the provider has, with the one that was probably meant.
fn missing_backend(key: impl Into<String>, name: &str, document: &DynamicConfig) -> Diagnostic {
    let hint = match did_you_mean(name, document.backends.keys()) {
        Some(near) => format!(": did you mean {near}?"),
        None => ": define it, or correct the name".to_owned(),
    };
    Diagnostic::new(Code::MissingBackend, key, format!("there is no backend {name:?} in this provider{hint}"))
}
