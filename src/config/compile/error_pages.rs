//! Error pages: which statuses a frontend catches, and which backend's chain serves the page (docs/reference/middlewares.md#error-pages).

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::dynamic::{self, DynamicConfig};
use crate::config::snapshot::{Backend, ErrorPageSource, Frontend};
use crate::middleware::Middleware;
use crate::middleware::error_pages::{ErrorPage, ErrorPages};

/// The step, if a page is left after those that cannot be used; they are said in `warnings`.
pub fn step(frontend: &dynamic::Frontend, document: &DynamicConfig, warnings: &mut Vec<String>) -> Option<Middleware> {
    let mut pages = Vec::new();
    for (name, page) in &frontend.errors {
        let refused = if page.backend == frontend.backend {
            Some("its backend is the frontend's own, which is the one that failed".to_owned())
        } else if !document.backends.contains_key(&page.backend) {
            Some(format!("there is no backend {:?} in this provider", page.backend))
        } else {
            match ErrorPage::new(&page.status, &page.backend, &page.query) {
                Ok(compiled) => {
                    pages.push(compiled);
                    None
                }
                Err(e) => Some(e.to_string()),
            }
        };
        warnings.extend(refused.map(|why| format!("errors.{name}: {why}; this error page is left out")));
    }
    (!pages.is_empty()).then(|| Middleware::ErrorPages(ErrorPages::new(pages)))
}

/// The names of the backends that the frontend's pages come from.
pub fn backend_names(frontend: &dynamic::Frontend) -> impl Iterator<Item = &str> {
    let names = frontend.errors.values().map(|page| page.backend.as_str());
    names.filter(|name| *name != frontend.backend)
}

/// How an entry point reaches the backends of a provider: by the chain of the first frontend of each.
#[derive(Default)]
pub struct ErrorPageSources {
    ways: HashMap<(usize, String), ErrorPageSource>,
}

impl ErrorPageSources {
    /// Takes note of a frontend on `entry`; the first one of a backend counts.
    pub fn note(&mut self, entry: usize, frontend: &Frontend) {
        let key = (entry, frontend.backend.name.clone());
        self.ways.entry(key).or_insert_with(|| ErrorPageSource {
            name: frontend.backend.name.as_str().into(),
            backend: Some(Arc::clone(&frontend.backend)),
            inner: Arc::clone(&frontend.inner),
            attempt: Arc::clone(&frontend.attempt),
            buffering: frontend.slow.as_ref().and_then(|slow| slow.buffering.clone()),
            retry: frontend.retry,
            pass_host: frontend.pass_host,
            is_unrouted: false,
        });
    }

    /// Where the page comes from. A backend without a frontend here answers only by its server named `error` (the old spelling), which
    /// `lone` compiles; without one the page is 500.
    pub fn to(&self, entry: usize, name: &str, lone: impl FnOnce() -> Option<Arc<Backend>>) -> ErrorPageSource {
        match self.ways.get(&(entry, name.to_owned())) {
            Some(way) => way.clone(),
            None => ErrorPageSource {
                name: name.into(),
                backend: lone(),
                inner: Arc::default(),
                attempt: Arc::default(),
                buffering: None,
                retry: None,
                pass_host: true,
                is_unrouted: true,
            },
        }
    }
}
