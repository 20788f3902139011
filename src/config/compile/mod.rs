//! From what was written to what it means: one pure function. It never fails as a whole; what cannot be used is left out and said.

mod auth;
mod backend;
mod entry_point;
mod frontend;
mod hosts;
mod backend_chains;
mod defaults;
mod error_pages;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use aws_lc_rs::digest::Digest;
use rustls::ClientConfig;

use super::Rejected;
use super::dynamic::{self, ClientTls, Documents, DynamicConfig};
use super::middleware_states::MiddlewareStates;
use super::snapshot::{Backend, Frontend, ResolvedAddresses, Snapshot};
use crate::middleware::credentials::CredentialCache;
use crate::rule::{Diagnostic, Route, Router, RouterOptions, Rule};
pub use defaults::with_defaults;
pub use entry_point::{EntryPointParts, InvalidEntryPoint, entry_point, listen_port};
pub use hosts::host_rules;

/// Reads a file as text.
pub type ReadFile = Box<dyn Fn(&str) -> io::Result<String> + Send + Sync>;

/// TLS towards a forward-auth server: its own table, or none for the system's roots.
pub type AuthTls = Box<dyn Fn(Option<&ClientTls>) -> Result<AuthTlsConfig, String> + Send + Sync>;

/// How such a server is told from an impostor.
pub struct AuthTlsConfig {
    pub config: Arc<ClientConfig>,
    /// Of the settings and the certificates themselves: another one where a file was renewed under the same name.
    pub digest: Digest,
}

/// What compiling needs from the fixed configuration.
pub struct CompileContext {
    pub entry_points: Vec<EntryPointInfo>,
    pub default_entry_points: Vec<String>,
    pub keep_trailing_slash: bool,
    pub allow_min_weight_zero: bool,
    /// `healthCheck.interval`
    pub health_interval: std::time::Duration,
    /// TLS towards https servers; the text says why there is none.
    pub client_tls: Result<Arc<ClientConfig>, String>,
    /// Recognises credentials that were verified before.
    pub credentials: Arc<CredentialCache>,
    /// Reads a file that a configuration names: users, certificates.
    pub read: ReadFile,
    pub auth_tls: AuthTls,
    /// `[retry]` and its attempts; 0 means one per server.
    pub retry: Option<i64>,
    /// Fills a slice with bytes that nobody can predict.
    pub random: fn(&mut [u8]),
}

/// What frontends may refer to.
#[derive(Debug, Clone)]
pub struct EntryPointInfo {
    pub name: String,
    pub port: u16,
    pub has_tls: bool,
    pub sanitize_path: bool,
}

/// The memory of verified credentials; `key` is random and made once per process.
pub fn credential_memory(key: [u8; 32]) -> Arc<CredentialCache> {
    Arc::new(CredentialCache::new(key))
}

/// Numbers and addresses that outlive a snapshot, so that warm connections and resolved names do too.
#[derive(Default)]
pub struct EndpointInterner {
    pools: HashMap<(String, bool), usize>,
    addresses: HashMap<(String, u16), Arc<ResolvedAddresses>>,
}

impl EndpointInterner {
    fn pool(&mut self, address: &str, tls: bool) -> usize {
        let next = self.pools.len();
        *self.pools.entry((address.to_owned(), tls)).or_insert(next)
    }

    fn addresses(&mut self, host: &str, port: u16) -> Arc<ResolvedAddresses> {
        let key = (host.to_owned(), port);
        Arc::clone(self.addresses.entry(key).or_insert_with(|| Arc::new(ResolvedAddresses::new(host, port))))
    }

    /// The names that must be resolved.
    pub fn names(&self) -> Vec<Arc<ResolvedAddresses>> {
        self.addresses.values().filter(|a| a.is_name()).cloned().collect()
    }

    /// Forgets addresses that no snapshot uses any more.
    pub fn forget_unused(&mut self) {
        self.addresses.retain(|_, addresses| Arc::strong_count(addresses) > 1);
    }
}

/// Compiles the providers' documents into the next snapshot. States of servers whose URL is unchanged live on.
pub fn compile(
    fixture: &CompileContext,
    providers: &Documents,
    written: &[Rejected],
    previous: &Snapshot,
    interned: &mut EndpointInterner,
) -> Snapshot {
    let mut compiler = Compiler {
        fixture,
        previous,
        interned,
        rejected: written.to_vec(),
        backends: Vec::new(),
        states: MiddlewareStates::default(),
        routes: fixture.entry_points.iter().map(|_| Vec::new()).collect(),
    };
    let mut shown = BTreeMap::new();
    for (provider, dynamic) in providers {
        let dynamic = defaults::with_defaults(Arc::clone(dynamic), &fixture.default_entry_points);
        compiler.provider(provider, &dynamic);
        shown.insert(provider.clone(), dynamic);
    }
    let options = |entry: &EntryPointInfo| RouterOptions {
        keep_trailing_slash: fixture.keep_trailing_slash,
        sanitize_path: entry.sanitize_path,
    };
    let Compiler { rejected, backends, states, routes, .. } = compiler;
    let routers = routes
        .into_iter()
        .zip(&fixture.entry_points)
        .map(|(routes, entry)| Router::build(routes, options(entry)))
        .collect();
    Snapshot { routers, providers: shown, rejected, backends, states }
}

/// A snapshot in the making.
struct Compiler<'a> {
    fixture: &'a CompileContext,
    previous: &'a Snapshot,
    interned: &'a mut EndpointInterner,
    rejected: Vec<Rejected>,
    backends: Vec<Arc<Backend>>,
    states: MiddlewareStates,
    routes: Vec<Vec<Route<Arc<Frontend>>>>,
}

/// A frontend on one entry point, before its route is made.
struct PlacedFrontend<'d> {
    name: &'d str,
    written: &'d dynamic::Frontend,
    entry: usize,
    rule: Rule,
    frontend: Frontend,
}

impl Compiler<'_> {
    /// One provider: all frontends first, then their error pages, which lead through other frontends' chains.
    fn provider(&mut self, provider: &str, document: &DynamicConfig) {
        let mut compiled: HashMap<&str, Arc<Backend>> = HashMap::new();
        let mut placed = Vec::new();
        let mut ways = error_pages::ErrorPageSources::default();
        for (name, frontend) in &document.frontends {
            let mut warnings: Vec<Diagnostic> = Vec::new();
            let before = placed.len();
            if let Err(reason) =
                self.place(provider, document, name, frontend, &mut compiled, &mut placed, &mut warnings)
            {
                warnings.push(reason.reworded(|reason| format!("{reason}; this frontend is skipped")));
            }
            placed[before..].iter().for_each(|made| ways.note(made.entry, &made.frontend));
            for reason in warnings {
                self.refuse(provider, name, reason);
            }
        }
        for mut made in placed {
            if let Some(slow) = &mut made.frontend.slow {
                slow.pages = error_pages::backend_names(made.written)
                    .filter(|name| document.backends.contains_key(*name))
                    .map(|name| ways.to(made.entry, name, || self.unrouted_backend(provider, document, name)))
                    .collect();
            }
            self.routes[made.entry].push(Route {
                rule: made.rule,
                priority: made.written.priority,
                provider: provider.to_owned(),
                name: made.name.to_owned(),
                value: Arc::new(made.frontend),
            });
        }
    }

    fn refuse(&mut self, provider: &str, frontend: &str, remark: Diagnostic) {
        let name = format!("frontend {frontend}");
        let Diagnostic { text: reason, bound } = remark;
        self.rejected.push(Rejected { provider: provider.to_owned(), name, reason, bound });
    }

    /// One frontend on all its entry points; those that it stands on before one fails stay (docs/reference/providers.md#rejected-objects).
    #[expect(clippy::too_many_arguments, reason = "the caller's loop variables, used nowhere else")]
    fn place<'d>(
        &mut self,
        provider: &str,
        document: &'d DynamicConfig,
        name: &'d str,
        written: &'d dynamic::Frontend,
        compiled: &mut HashMap<&'d str, Arc<Backend>>,
        placed: &mut Vec<PlacedFrontend<'d>>,
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<(), Diagnostic> {
        let entries = self.entries(written, warnings)?;
        let rules: Vec<&str> = written.routes.values().map(|route| route.rule.as_str()).collect();
        let rule = Rule::parse_all(rules.iter().copied())?;
        warnings.extend(rule.warnings().iter().cloned());
        let (id, written_backend) = document
            .backends
            .get_key_value(&written.backend)
            .ok_or_else(|| format!("there is no backend {:?} in this provider", written.backend))?;
        let backend = match compiled.get(id.as_str()) {
            Some(backend) => Arc::clone(backend),
            None => {
                let backend = self.backend(provider, id, written_backend, warnings)?;
                compiled.insert(id, Arc::clone(&backend));
                backend
            }
        };
        for entry in entries {
            let fixture = self.fixture;
            let source =
                frontend::FrontendInput { fixture, provider, name, document, frontend: written, written_backend };
            let mut notes = Vec::new();
            let mut workshop = frontend::CompileState {
                interned: self.interned,
                previous: &self.previous.states,
                states: &mut self.states,
                warnings: &mut notes,
            };
            let made = frontend::frontend(source, &backend, entry, &mut workshop);
            // Each entry point has the same remarks.
            notes.retain(|note| warnings.iter().all(|warning| warning.text != *note));
            warnings.extend(notes.into_iter().map(Diagnostic::from));
            placed.push(PlacedFrontend { name, written, entry, rule: rule.clone(), frontend: made? });
        }
        Ok(())
    }

    /// The places of the frontend's entry points; unknown ones are left out and said.
    fn entries(&self, written: &dynamic::Frontend, warnings: &mut Vec<Diagnostic>) -> Result<Vec<usize>, String> {
        let place = |wanted: &String| self.fixture.entry_points.iter().position(|entry| entry.name == *wanted);
        let entries: Vec<usize> = written.entry_points.iter().filter_map(place).collect();
        let known = || self.fixture.entry_points.iter().map(|e| e.name.as_str()).collect::<Vec<_>>().join(", ");
        if entries.is_empty() {
            let wanted = written.entry_points.join(", ");
            return Err(format!("its entry points ({wanted}) do not exist: use one or more of {}", known()));
        }
        for wanted in written.entry_points.iter().filter(|wanted| place(wanted).is_none()) {
            let note = format!("there is no entry point {wanted}: it is left out; use one or more of {}", known());
            warnings.push(note.into());
        }
        Ok(entries)
    }

    fn backend(
        &mut self,
        provider: &str,
        name: &str,
        written: &dynamic::Backend,
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<Arc<Backend>, String> {
        let before = self.previous.backends.iter().find(|b| b.provider == provider && b.name == name);
        let number = self.backends.len();
        let (made, notes) = backend::backend(self.fixture, provider, name, written, number, before, self.interned)?;
        warnings.extend(notes.into_iter().map(Diagnostic::from));
        let made = Arc::new(made);
        self.backends.push(Arc::clone(&made));
        Ok(made)
    }

    /// The server named `error` of a backend that no frontend leads to, for error pages in the old spelling.
    fn unrouted_backend(&mut self, provider: &str, document: &DynamicConfig, name: &str) -> Option<Arc<Backend>> {
        let server = document.backends.get(name)?.servers.get("error")?.clone();
        let written =
            dynamic::Backend { servers: [("error".to_owned(), server)].into(), ..dynamic::Backend::default() };
        // It has no counters of its own, as no frontend's requests go there.
        let number = usize::MAX;
        let (made, _) = backend::backend(self.fixture, provider, name, &written, number, None, self.interned).ok()?;
        Some(Arc::new(made))
    }
}
