//! From what was written to what it means: one pure function. It never fails as a whole; what cannot be used is left out and said.

mod backend;
mod entry_point;
mod frontend;
mod hosts;
mod normalise;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use rustls::ClientConfig;

use super::Rejected;
use super::dynamic::Dynamic;
use super::snapshot::{Addresses, Backend, Snapshot};
use crate::middleware::credentials::CredentialMemory;
use crate::rule::{Route, Router, RouterOptions, Rule};
pub use entry_point::{EntryPointParts, InvalidEntryPoint, entry_point, listen_port};
pub use hosts::host_rules;

/// Reads a file as text.
pub type ReadFile = Box<dyn Fn(&str) -> io::Result<String> + Send + Sync>;

/// What compiling needs from the fixed configuration.
pub struct Fixture {
    pub entry_points: Vec<EntryFacts>,
    pub default_entry_points: Vec<String>,
    pub keep_trailing_slash: bool,
    pub allow_min_weight_zero: bool,
    /// `healthCheck.interval`
    pub health_interval: std::time::Duration,
    /// TLS towards https servers; the text says why there is none.
    pub client_tls: Result<Arc<ClientConfig>, String>,
    /// Recognises credentials that were verified before.
    pub credentials: Arc<CredentialMemory>,
    /// Reads a file that a configuration names: users, certificates.
    pub read: ReadFile,
}

/// What frontends may refer to.
#[derive(Debug, Clone)]
pub struct EntryFacts {
    pub name: String,
    pub port: u16,
    pub has_tls: bool,
    pub sanitize_path: bool,
}

/// The memory of verified credentials; `key` is random and made once per process.
pub fn credential_memory(key: [u8; 32]) -> Arc<CredentialMemory> {
    Arc::new(CredentialMemory::new(key))
}

/// Numbers and addresses that outlive a snapshot, so that warm connections and resolved names do too.
#[derive(Default)]
pub struct Interned {
    pools: HashMap<(String, bool), usize>,
    addresses: HashMap<(String, u16), Arc<Addresses>>,
}

impl Interned {
    fn pool(&mut self, address: &str, tls: bool) -> usize {
        let next = self.pools.len();
        *self.pools.entry((address.to_owned(), tls)).or_insert(next)
    }

    fn addresses(&mut self, host: &str, port: u16) -> Arc<Addresses> {
        let key = (host.to_owned(), port);
        Arc::clone(self.addresses.entry(key).or_insert_with(|| Arc::new(Addresses::new(host, port))))
    }

    /// The names that must be resolved.
    pub fn names(&self) -> Vec<Arc<Addresses>> {
        self.addresses.values().filter(|a| a.is_name()).cloned().collect()
    }

    /// Forgets addresses that no snapshot uses any more.
    pub fn forget_unused(&mut self) {
        self.addresses.retain(|_, addresses| Arc::strong_count(addresses) > 1);
    }
}

/// Compiles the providers' documents into the next snapshot. States of servers whose URL is unchanged live on.
pub fn compile(
    fixture: &Fixture,
    providers: &BTreeMap<String, Dynamic>,
    written: &[Rejected],
    previous: &Snapshot,
    interned: &mut Interned,
) -> Snapshot {
    let mut rejected = written.to_vec();
    let mut backends: Vec<Arc<Backend>> = Vec::new();
    let mut routes: Vec<Vec<Route<Arc<super::snapshot::Frontend>>>> =
        fixture.entry_points.iter().map(|_| Vec::new()).collect();
    let mut shown = BTreeMap::new();
    for (provider, dynamic) in providers {
        let dynamic = normalise::normalised(dynamic, &fixture.default_entry_points);
        let mut compiled: HashMap<&str, Arc<Backend>> = HashMap::new();
        for (name, frontend) in &dynamic.frontends {
            let mut refuse = |reason: String| {
                rejected.push(Rejected { provider: provider.clone(), name: format!("frontend {name}"), reason })
            };
            let outcome =
                place(fixture, provider, &dynamic, name, frontend, previous, interned, &mut compiled, &mut backends);
            match outcome {
                Ok(placed) => {
                    for (entry, route) in placed.routes {
                        routes[entry].push(route);
                    }
                    placed.warnings.into_iter().for_each(refuse);
                }
                Err(reason) => refuse(format!("{reason}; this frontend is skipped")),
            }
        }
        shown.insert(provider.clone(), dynamic);
    }
    let options = |entry: &EntryFacts| RouterOptions {
        keep_trailing_slash: fixture.keep_trailing_slash,
        sanitize_path: entry.sanitize_path,
    };
    let routers = routes
        .into_iter()
        .zip(&fixture.entry_points)
        .map(|(routes, entry)| Router::build(routes, options(entry)))
        .collect();
    Snapshot { routers, providers: shown, rejected, backends }
}

struct Placed {
    routes: Vec<(usize, Route<Arc<super::snapshot::Frontend>>)>,
    /// Parts that were left out while the rest serves.
    warnings: Vec<String>,
}

/// One frontend on all its entry points.
#[expect(clippy::too_many_arguments, reason = "the caller's loop variables, used nowhere else")]
fn place<'d>(
    fixture: &Fixture,
    provider: &str,
    dynamic: &'d Dynamic,
    name: &str,
    frontend: &'d super::dynamic::Frontend,
    previous: &Snapshot,
    interned: &mut Interned,
    compiled: &mut HashMap<&'d str, Arc<Backend>>,
    backends: &mut Vec<Arc<Backend>>,
) -> Result<Placed, String> {
    let mut warnings = Vec::new();
    let (entries, unknown): (Vec<_>, Vec<_>) = frontend
        .entry_points
        .iter()
        .map(|wanted| (wanted, fixture.entry_points.iter().position(|e| e.name == *wanted)))
        .partition(|(_, at)| at.is_some());
    warnings.extend(
        unknown.iter().map(|(wanted, _)| {
            format!("there is no entry point {wanted:?}: it is left out; name one of [entryPoints]")
        }),
    );
    let entries: Vec<usize> = entries.into_iter().filter_map(|(_, at)| at).collect();
    if entries.is_empty() {
        return Err("none of its entry points exists".to_owned());
    }
    let rules: Vec<&str> = frontend.routes.values().map(|route| route.rule.as_str()).collect();
    let rule = Rule::parse_all(rules.iter().copied()).map_err(|e| e.to_string())?;
    warnings.extend(rule.warnings().iter().map(ToString::to_string));
    let backend = match compiled.get(frontend.backend.as_str()) {
        Some(backend) => Arc::clone(backend),
        None => {
            let (id, written) = dynamic
                .backends
                .get_key_value(&frontend.backend)
                .ok_or_else(|| format!("there is no backend {:?} in this provider", frontend.backend))?;
            let before = previous.backends.iter().find(|b| b.provider == provider && b.name == *id);
            let (backend, notes) = backend::backend(fixture, provider, id, written, backends.len(), before, interned)?;
            warnings.extend(notes);
            let backend = Arc::new(backend);
            backends.push(Arc::clone(&backend));
            compiled.insert(id, Arc::clone(&backend));
            backend
        }
    };
    let mut routes = Vec::new();
    for entry in entries {
        let written_backend = &dynamic.backends[&frontend.backend];
        let made =
            frontend::frontend(fixture, provider, name, frontend, written_backend, &backend, entry, &mut warnings)?;
        let route = Route {
            rule: rule.clone(),
            priority: frontend.priority,
            provider: provider.to_owned(),
            name: name.to_owned(),
            value: Arc::new(made),
        };
        routes.push((entry, route));
    }
    Ok(Placed { routes, warnings })
}
