//! Names of servers, resolved away from the workers: a look-up there would block a ring (docs/reference/drivers.md#name-look-ups, accept and connect).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::config::snapshot::ResolvedAddresses;

/// How often names are looked up again. The system's resolver does not tell their lifetime.
pub const EVERY: Duration = Duration::from_secs(10);
/// One look-up.
const LIMIT: Duration = Duration::from_secs(5);

/// The look-ups, and which of the names failed last time: each failure is told once for as long as it lasts.
#[derive(Default)]
pub struct NameResolver {
    failing: Rc<RefCell<BTreeSet<String>>>,
}

impl NameResolver {
    /// Looks all of them up, each in a task of its own: one slow name must not hold up the others.
    pub fn start(&self, names: Vec<Arc<ResolvedAddresses>>) {
        // Names that no configuration has any more are forgotten.
        self.failing.borrow_mut().retain(|host| names.iter().any(|name| name.host == *host));
        for name in names {
            self.one(name);
        }
    }

    /// As [`LookUps::start`], for names that have just come with a configuration: their first requests are waiting.
    pub fn start_new(&self, names: Vec<Arc<ResolvedAddresses>>) {
        names.into_iter().filter(|name| name.load().is_empty()).for_each(|name| self.one(name));
    }

    fn one(&self, name: Arc<ResolvedAddresses>) {
        let failing = Rc::clone(&self.failing);
        tokio::task::spawn_local(async move {
            let looked = tokio::time::timeout(LIMIT, tokio::net::lookup_host((name.host.as_str(), name.port))).await;
            let reason = match looked {
                Ok(Ok(found)) => {
                    failing.borrow_mut().remove(&name.host);
                    return name.resolved(found.collect());
                }
                Ok(Err(e)) => format!("has no address ({e})"),
                Err(_) => format!("was not answered within {} s", LIMIT.as_secs()),
            };
            name.resolved(Vec::new());
            if failing.borrow_mut().insert(name.host.clone()) {
                tracing::warn!("the server name {} {reason}: its last known addresses stay in use", name.host);
            }
        });
    }
}
