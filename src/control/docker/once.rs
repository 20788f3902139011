//! One listing of the Engine's containers or services without following its events, for `ringway check --docker`.

use std::collections::BTreeSet;

use tokio::time::{Instant, timeout};

use super::engine::Engine;
use super::inventory::ContainerInventory;
use super::settings::DockerProviderSettings;
use super::{self_container, swarm};
use crate::config::Rejected;
use crate::config::labels::ContainerFacts;

/// The containers, or the tasks of services, that the Engine lists.
#[derive(Debug, Default)]
pub struct Listing {
    pub containers: Vec<ContainerFacts>,
    /// The networks of the proxy's own container; empty on a host.
    pub own_networks: BTreeSet<String>,
    pub rejected: Vec<Rejected>,
    pub warnings: Vec<String>,
}

/// Lists once. Blocks until the Engine has answered, at most for the timeout of one request.
///
/// # Errors
/// The Engine does not answer, or not as an Engine does; the text says what to do.
pub fn list_once(settings: &DockerProviderSettings) -> Result<Listing, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("cannot ask the Docker Engine: {e}"))?;
    let wait = settings.request_timeout;
    let endpoint = &settings.endpoint;
    runtime.block_on(async {
        let too_late =
            |_| Err(format!("the Docker Engine at {endpoint} took longer than {wait:?}: check that it runs"));
        timeout(wait, list(settings)).await.unwrap_or_else(too_late)
    })
}

async fn list(settings: &DockerProviderSettings) -> Result<Listing, String> {
    let engine = Engine::connect(settings).await?;
    let own_ids = self_container::candidates();
    if settings.labels.swarm_mode {
        let services = swarm::list(&engine).await?;
        let (own, warning) = engine.inspect_first(&own_ids).await?;
        let own_networks = self_container::networks(own.as_slice(), &own_ids);
        let warnings = warning.into_iter().collect();
        return Ok(Listing { containers: services.containers, own_networks, rejected: services.rejected, warnings });
    }
    let mut inventory = ContainerInventory::default();
    inventory.begin_read(true, Instant::now());
    inventory.apply_listing(engine.list_all().await?, Instant::now());
    let containers = inventory.containers();
    Ok(Listing {
        own_networks: self_container::networks(&containers, &own_ids),
        rejected: inventory.rejected().cloned().collect(),
        warnings: inventory.warnings().collect(),
        containers,
    })
}
