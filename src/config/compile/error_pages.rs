//! Compiles error pages: the statuses that a frontend catches, and the backend whose chain serves the page
//! (docs/reference/middlewares.md#error-pages).

use std::collections::HashMap;
use std::sync::Arc;

use super::missing_backend;
use crate::config::dynamic::{self, DynamicConfig};
use crate::config::snapshot::{Backend, ErrorPageSource, Frontend};
use crate::diagnostics::{Code, Diagnostic};
use crate::middleware::Middleware;
use crate::middleware::error_pages::{ErrorPage, ErrorPages};

/// Compiles the error-page middleware. A page that cannot be used is ignored, with a warning; `None` if no page remains.
pub fn middleware(
    frontend: &dynamic::Frontend,
    document: &DynamicConfig,
    warnings: &mut Vec<Diagnostic>,
) -> Option<Middleware> {
    let mut pages = Vec::new();
    for (name, page) in &frontend.errors {
        let problem = if page.backend == frontend.backend {
            let text = "its backend is the frontend's own, the one that failed; name another backend";
            Some((Code::InvalidErrorPage, text.to_owned()))
        } else if !document.backends.contains_key(&page.backend) {
            let missing = missing_backend("", &page.backend, document);
            Some((missing.code, missing.text))
        } else {
            match ErrorPage::new(&page.status, &page.backend, &page.query) {
                Ok(compiled) => {
                    pages.push(compiled);
                    None
                }
                Err(e) => Some((Code::InvalidErrorPage, e.to_string())),
            }
        };
        let diagnostic = |(code, why)| {
            Diagnostic::new(code, format!("errors.{name}"), format!("error page errors.{name} ignored: {why}"))
        };
        warnings.extend(problem.map(diagnostic));
    }
    (!pages.is_empty()).then(|| Middleware::ErrorPages(ErrorPages::new(pages)))
}

/// The names of the backends that serve the frontend's error pages.
pub fn backend_names(frontend: &dynamic::Frontend) -> impl Iterator<Item = &str> {
    let names = frontend.errors.values().map(|page| page.backend.as_str());
    names.filter(|name| *name != frontend.backend)
}

/// The sources of error pages by entry point and backend of one provider: the chains of each backend's first frontend.
#[derive(Default)]
pub struct ErrorPageSources {
    sources: HashMap<(usize, String), ErrorPageSource>,
}

impl ErrorPageSources {
    /// Adds the chains of a frontend on `entry`, unless a frontend of the same backend has been added before.
    pub fn add(&mut self, entry: usize, frontend: &Frontend) {
        let key = (entry, frontend.backend.name.clone());
        self.sources.entry(key).or_insert_with(|| ErrorPageSource {
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

    /// The source of the pages of backend `name`. A backend without a frontend on this entry point serves pages only by its server named
    /// `error` (the old spelling), which `unrouted_backend` compiles; without that server the page is 500.
    pub fn get(
        &self,
        entry: usize,
        name: &str,
        unrouted_backend: impl FnOnce() -> Option<Arc<Backend>>,
    ) -> ErrorPageSource {
        match self.sources.get(&(entry, name.to_owned())) {
            Some(source) => source.clone(),
            None => ErrorPageSource {
                name: name.into(),
                backend: unrouted_backend(),
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
