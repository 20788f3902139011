//! Resolves the names of servers on the control plane's thread: a look-up on a worker would block its ring
//! (docs/reference/drivers.md#name-look-ups).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::config::snapshot::ResolvedAddresses;

/// The time between two look-ups of a name. The system's resolver does not report the records' TTL.
pub const LOOK_UP_INTERVAL: Duration = Duration::from_secs(10);
/// The time-out of one look-up.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// Starts look-ups and remembers the names whose last look-up failed: a failure is logged once until a look-up succeeds.
#[derive(Default)]
pub struct NameResolver {
    failing: Rc<RefCell<BTreeSet<String>>>,
}

impl NameResolver {
    /// Looks up all `names`, each in a task of its own: a slow look-up must not delay the others.
    pub fn look_up_all(&self, names: Vec<Arc<ResolvedAddresses>>) {
        // Forgets the failures of names that no configuration has any more.
        self.failing.borrow_mut().retain(|host| names.iter().any(|name| name.host == *host));
        for name in names {
            self.look_up(name);
        }
    }

    /// Looks up the names that have no address yet, because they are new in the configuration: their first requests may be waiting.
    pub fn look_up_new(&self, names: Vec<Arc<ResolvedAddresses>>) {
        names.into_iter().filter(|name| name.load().is_empty()).for_each(|name| self.look_up(name));
    }

    fn look_up(&self, name: Arc<ResolvedAddresses>) {
        let failing = Rc::clone(&self.failing);
        tokio::task::spawn_local(async move {
            let look_up = tokio::net::lookup_host((name.host.as_str(), name.port));
            let reason = match tokio::time::timeout(LOOK_UP_TIMEOUT, look_up).await {
                Ok(Ok(found)) => {
                    failing.borrow_mut().remove(&name.host);
                    return name.resolved(found.collect());
                }
                Ok(Err(e)) => format!("has no address ({e})"),
                Err(_) => format!("could not be looked up within {} s", LOOK_UP_TIMEOUT.as_secs()),
            };
            name.resolved(Vec::new());
            if failing.borrow_mut().insert(name.host.clone()) {
                tracing::warn!("the server name {} {reason}: its last known addresses stay in use", name.host);
            }
        });
    }
}
