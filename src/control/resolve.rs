//! Names of servers, resolved away from the workers: a look-up there would block a ring (runtime.md, accept and connect).

use std::sync::Arc;
use std::time::Duration;

use crate::config::snapshot::Addresses;

/// How often names are looked up again. The system's resolver does not tell their lifetime.
pub const EVERY: Duration = Duration::from_secs(10);
/// One look-up.
const LIMIT: Duration = Duration::from_secs(5);

/// Looks all of them up, each in a task of its own: one slow name must not hold up the others.
pub fn all(names: Vec<Arc<Addresses>>) {
    for name in names {
        tokio::task::spawn_local(async move {
            match tokio::time::timeout(LIMIT, tokio::net::lookup_host((name.host.as_str(), name.port))).await {
                Ok(Ok(found)) => name.resolved(found.collect()),
                Ok(Err(e)) => tracing::warn!(
                    "the server name {} has no address ({e}): its last known addresses stay in use",
                    name.host
                ),
                Err(_) => tracing::warn!(
                    "the look-up of the server name {} took too long: its last known addresses stay in use",
                    name.host
                ),
            }
        });
    }
}
