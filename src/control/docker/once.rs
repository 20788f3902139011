//! Lists the containers or services of all Engines a single time, without following their events, for `ringway check --docker`.

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::engine::Engine;
use super::inventory::ContainerInventory;
use super::joined::{HostListing, join};
use super::settings::DockerProviderSettings;
use super::{self_container, swarm};
use crate::config::Rejected;
use crate::config::labels::{ContainerFacts, DockerSettings};

/// The containers, or the tasks of services, that the Engines list.
#[derive(Debug)]
pub struct Listing {
    pub containers: Vec<ContainerFacts>,
    /// How their labels are read.
    pub labels: DockerSettings,
    pub rejected: Vec<Rejected>,
    pub warnings: Vec<String>,
}

/// Lists all Engines once. Blocks until each has answered, at most for the timeout of one request. Of several hosts, one that does not answer
/// is named in the warnings.
///
/// # Errors
/// No Engine answers, or none as an Engine does; the text says what to do.
pub fn list_once(settings: &DockerProviderSettings) -> Result<Listing, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("cannot ask the Docker Engine: {e}"))?;
    let engines = settings.engines();
    let answers = runtime.block_on(join_all(engines.iter().map(|(_, settings)| list_in_time(settings))));
    let (mut listings, mut failures) = (Vec::new(), Vec::new());
    for (index, ((host, _), answer)) in engines.iter().zip(answers).enumerate() {
        match answer {
            Ok(listing) => listings.push(Some(listing.of_host(settings.host_key(index)))),
            Err(reason) => {
                failures.push(host.as_ref().map_or_else(|| reason.clone(), |host| format!("host {host}: {reason}")));
                listings.push(None);
            }
        }
    }
    if listings.iter().all(Option::is_none) {
        return Err(failures.join("; "));
    }
    let listings: Vec<Option<&HostListing>> = listings.iter().map(Option::as_ref).collect();
    let joined = join(settings, &listings);
    let warnings = joined.warnings.into_iter().chain(failures).collect();
    Ok(Listing {
        containers: joined.containers.into_owned(),
        labels: joined.labels,
        rejected: joined.rejected,
        warnings,
    })
}

async fn list_in_time(settings: &DockerProviderSettings) -> Result<HostListing, String> {
    let (wait, endpoint) = (settings.request_timeout, &settings.endpoint);
    let too_late = |_| Err(format!("the Docker Engine at {endpoint} took longer than {wait:?}: check that it runs"));
    timeout(wait, list(settings)).await.unwrap_or_else(too_late)
}

async fn list(settings: &DockerProviderSettings) -> Result<HostListing, String> {
    let engine = Engine::connect(settings).await?;
    let own_ids = self_container::candidates();
    if settings.labels.swarm_mode {
        let services = swarm::list(&engine).await?;
        let (own, warning) = engine.inspect_first(&own_ids).await?;
        let own_networks = self_container::networks(own.as_slice(), &own_ids);
        let warnings = warning.into_iter().collect();
        return Ok(HostListing {
            containers: services.containers,
            own_networks,
            rejected: services.rejected,
            warnings,
        });
    }
    let mut inventory = ContainerInventory::default();
    inventory.begin_read(true, Instant::now());
    inventory.apply_listing(engine.list_all().await?, Instant::now());
    let containers = inventory.containers();
    Ok(HostListing {
        own_networks: self_container::networks(&containers, &own_ids),
        rejected: inventory.rejected().cloned().collect(),
        warnings: inventory.warnings().collect(),
        containers,
    })
}
