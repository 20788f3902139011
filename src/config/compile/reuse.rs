//! Finds the frontends and backends of the previous snapshot that need not be compiled again: nothing that they are compiled from has
//! changed. Of ten thousand frontends, a change of one file changes one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::config::dynamic;
use crate::config::snapshot::{Backend, Frontend, Snapshot};

/// The previous snapshot, with what is looked up in it for each object.
pub(super) struct PreviousSnapshot<'a> {
    pub snapshot: &'a Snapshot,
    backends: HashMap<(&'a str, &'a str), &'a Arc<Backend>>,
    /// The frontends of each entry point by their number.
    frontends: Vec<Vec<Option<&'a Arc<Frontend>>>>,
    /// Provider and name of the frontends with a report. They are compiled again, because each compilation makes its own reports.
    reported: HashSet<(&'a str, &'a str)>,
}

/// The text and the backend that a frontend is compiled from.
#[derive(Clone, Copy)]
pub(super) struct FrontendSource<'a> {
    pub provider: &'a str,
    pub name: &'a str,
    pub number: usize,
    pub written: &'a dynamic::Frontend,
    pub backend: &'a Arc<Backend>,
}

impl<'a> PreviousSnapshot<'a> {
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let frontends = snapshot.routers.iter().map(|router| {
            let mut numbered = vec![None; snapshot.frontends.len()];
            for frontend in router.values() {
                if let Some(slot) = numbered.get_mut(frontend.number) {
                    *slot = Some(frontend);
                }
            }
            numbered
        });
        let name_of = |name: &'a str| name.strip_prefix("frontend ");
        let reports = snapshot.rejected.iter().filter_map(|r| Some((r.provider.as_str(), name_of(&r.name)?)));
        PreviousSnapshot {
            snapshot,
            backends: snapshot.backends.iter().map(|b| ((b.provider.as_str(), b.name.as_str()), b)).collect(),
            frontends: frontends.collect(),
            reported: reports.collect(),
        }
    }

    /// The backend with this name, whatever it was compiled from.
    pub fn backend(&self, provider: &str, name: &str) -> Option<&'a Arc<Backend>> {
        self.backends.get(&(provider, name)).copied()
    }

    /// The backend, if it can be used as it is.
    pub fn unchanged_backend(
        &self,
        provider: &str,
        name: &str,
        written: &dynamic::Backend,
        number: usize,
    ) -> Option<&'a Arc<Backend>> {
        let backend =
            self.backend(provider, name).filter(|backend| backend.number == number && !backend.is_reported)?;
        let before = self.snapshot.providers.get(provider)?.backends.get(name)?;
        (before == written).then_some(backend)
    }

    /// The frontend on each of the entry points, if it can be used as it is on all of them.
    pub fn unchanged_frontends(&self, source: FrontendSource<'_>, entries: &[usize]) -> Option<Vec<Arc<Frontend>>> {
        let FrontendSource { provider, name, number, written, backend } = source;
        if needs_more_than_text(written) || self.reported.contains(&(provider, name)) {
            return None;
        }
        let (owner, called) = self.snapshot.frontends.get(number)?;
        if owner != provider || called != name {
            return None;
        }
        let on_entry = |entry: &usize| {
            let frontend = (*self.frontends.get(*entry)?.get(number)?)?;
            // A backend is the same object only if it has not changed.
            Arc::ptr_eq(&frontend.backend, backend).then(|| Arc::clone(frontend))
        };
        let frontends = entries.iter().map(on_entry).collect::<Option<Vec<_>>>()?;
        (self.snapshot.providers.get(provider)?.frontends.get(name)? == written).then_some(frontends)
    }
}

/// Whether a frontend is compiled from files or from other frontends, or has a log of its own.
fn needs_more_than_text(written: &dynamic::Frontend) -> bool {
    !written.errors.is_empty()
        || written.auth.is_some()
        || !written.basic_auth.is_empty()
        || written.access_log.is_some()
}
