//! The provider's loop over connections to the Engine: it lists containers and waits, and handles the Engine's events all the time.

use std::collections::BTreeSet;
use std::future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::engine::{Engine, Inspections};
use super::event_stream::ReadEvent;
use super::events::Event;
use super::failure::{RequestError, explain};
use super::inventory::{ContainerInventory, EventEffect, EventTime, NextRead};
use super::joined::HostListing;
use super::publisher::Publisher;
use super::settings::DockerProviderSettings;
use super::{events, self_container, swarm};
use crate::config::labels::PROVIDER;
use crate::control::update::UpdateSender;

/// How long the servers of one of several hosts stay after the connection to its Engine was lost (docs/reference/providers.md#several-docker-hosts).
/// A restart of the Engine takes about as long.
const LEAVES_AFTER: Duration = Duration::from_secs(3);

/// How often all containers are listed without an event, in case one was lost.
const RELIST_EVERY: Duration = Duration::from_secs(300);

/// How soon all containers are listed after an event that cannot be read. An Engine that sends nothing else causes no more listings.
const RELIST_AFTER_ODD_EVENT: Duration = Duration::from_secs(10);

/// How long events are collected before their containers are inspected.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// How long the first configuration waits for the list of exited containers.
const EXITED_WAIT_MAX: Duration = Duration::from_secs(3);

/// How long the reports on stopped containers may keep the next read waiting.
const STOPPED_WAIT_MAX: Duration = Duration::from_secs(1);

/// The largest number of events that are handled, and published, together.
const EVENT_BATCH_MAX: usize = 256;

/// The event stream in batches: each batch has the events that are available at once.
type Events = Pin<Box<dyn Stream<Item = Vec<Result<ReadEvent, RequestError>>> + Send>>;

/// Whether the servers of the host are in the configuration.
#[derive(Debug, Clone)]
enum Presence {
    /// They are not: the host has not been listed, or is unreachable.
    Absent,
    Listed,
    /// They are until this time, because the host is unreachable, and why.
    LeavesAt(Instant, String),
}

/// Why a session with the Engine ended.
pub enum SessionEnd {
    /// The receiver of the provider's updates was dropped.
    Closed,
    /// The connection to the Engine failed, and why.
    Broken(String),
}

pub struct Provider {
    settings: DockerProviderSettings,
    /// The name of the host, with `[[docker.hosts]]`.
    host: Option<String>,
    /// Receives the listings of this host, whose number is `index`.
    publisher: Arc<Mutex<Publisher>>,
    index: usize,
    send: UpdateSender,
    presence: Presence,
    /// The ids that the proxy's own container may have.
    own_ids: Vec<String>,
    /// In swarm mode, the last known networks of the proxy's own container.
    own_networks: Option<BTreeSet<String>>,
    inventory: ContainerInventory,
    /// The event stream of the last connection, which is read until the next connection replaces it: stopping containers must be removed
    /// even while the Engine does not answer requests.
    events: Option<Events>,
    /// The time of the last connection.
    connected: Instant,
    /// The time of the next read of containers.
    next_read: Instant,
    /// The time of the next listing of all containers.
    next_listing: Instant,
    /// Why the last unreadable event could not be read; a warning until the next listing.
    odd_event: Option<String>,
}

impl Provider {
    /// Follows the Engine at `settings.endpoint`, which is the one of the host at `index` if it has a name.
    pub fn new(
        settings: DockerProviderSettings,
        host: Option<String>,
        publisher: Arc<Mutex<Publisher>>,
        index: usize,
        send: UpdateSender,
    ) -> Self {
        let now = Instant::now();
        Provider {
            settings,
            host,
            publisher,
            index,
            send,
            presence: Presence::Absent,
            own_ids: self_container::candidates(),
            own_networks: None,
            inventory: ContainerInventory::default(),
            events: None,
            connected: now,
            next_read: now,
            next_listing: now,
            odd_event: None,
        }
    }

    pub fn endpoint(&self) -> &str {
        &self.settings.endpoint
    }

    /// The name of the host, with `[[docker.hosts]]`.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Whether the host's servers are in the configuration and stay there.
    pub fn is_listed(&self) -> bool {
        matches!(self.presence, Presence::Listed)
    }

    /// Notes that a session ended. While events of the last connection still arrive, the Engine is busy and not unreachable.
    pub fn on_failure(&mut self, reason: &str) {
        self.publisher().report_failure(self.index, reason);
        if self.events.is_none() {
            self.expect_leave(reason);
        }
    }

    /// Has the servers of the host removed soon. The containers of the only Engine without a name stay until it says otherwise.
    fn expect_leave(&mut self, reason: &str) {
        if self.host.is_some() && self.is_listed() {
            self.presence = Presence::LeavesAt(Instant::now() + LEAVES_AFTER, reason.to_owned());
        }
    }

    /// Removes the servers of the host.
    fn leave(&mut self, reason: &str) {
        self.presence = Presence::Absent;
        tracing::warn!(
            provider = PROVIDER,
            host = self.host,
            "the host is unreachable: its servers are removed until it is back"
        );
        self.publisher().remove_host(self.index, reason);
    }

    /// Runs one connection to the Engine. Returns `Ok` only if the containers or services were to be read once and have been.
    pub async fn session(&mut self) -> Result<(), SessionEnd> {
        // The event stream starts before the first listing, so that no event is missed between the two.
        let since = events::replay_from(since_1970());
        let settings = self.settings.clone();
        let engine = self.run_with_events(Engine::connect(&settings)).await?.map_err(SessionEnd::Broken)?;
        let api = engine.api().1.trim_start_matches('/').to_owned();
        tracing::info!(
            provider = PROVIDER,
            host = self.host,
            endpoint = self.endpoint(),
            api,
            "connected to the Docker Engine"
        );
        if let Presence::LeavesAt(..) = self.presence {
            self.presence = Presence::Listed;
        }
        if settings.labels.swarm_mode {
            return self.poll_swarm(&engine).await;
        }
        if !settings.watch {
            let listing = self.run_with_events(engine.list_all()).await?.map_err(SessionEnd::Broken)?;
            self.inventory.apply_listing(listing, Instant::now());
            self.presence = Presence::Listed;
            self.publish_inventory();
            // If an inspection failed, everything is listed again after a back-off, as after any failure.
            return self
                .inventory
                .unresponsive_warnings()
                .next()
                .map_or(Ok(()), |warning| Err(SessionEnd::Broken(warning)));
        }
        self.follow_events(&engine, since).await
    }

    /// Waits, and meanwhile handles events of the last connection.
    pub async fn wait_to_reconnect(&mut self, wait: Duration) -> Result<(), SessionEnd> {
        let end = Instant::now() + wait;
        loop {
            match self.run_with_events(sleep_until(end)).await {
                // The event stream is closed, but the wait is not over.
                Err(SessionEnd::Broken(_)) => {}
                other => return other,
            }
        }
    }

    /// Reads containers whenever a read is due, and publishes the result. Events make the next read due earlier.
    async fn follow_events(&mut self, engine: &Engine, since: u64) -> Result<(), SessionEnd> {
        self.events = Some(Box::pin(engine.events(since).ready_chunks(EVENT_BATCH_MAX)));
        self.connected = Instant::now();
        // Events of the time without a connection are unknown: the first read is one of all containers.
        self.next_read = self.connected;
        self.next_listing = self.connected;
        loop {
            self.wait_until_due().await?;
            self.read_containers(engine).await?;
            let now = Instant::now();
            self.presence = Presence::Listed;
            self.publish_inventory();
            self.load_stopped(engine).await?;
            let changes = self.inventory.next_read().into_iter().chain(self.publisher().next_expiry(now));
            self.next_read = changes.fold(self.next_read.min(self.next_listing), Instant::min);
        }
    }

    /// Lists all containers if that is due, else inspects those that may have changed, if any.
    async fn read_containers(&mut self, engine: &Engine) -> Result<(), SessionEnd> {
        let now = Instant::now();
        let read = self.inventory.begin_read(now >= self.next_listing, now);
        if let NextRead::All(_) = read {
            self.next_listing = now + RELIST_EVERY;
            self.odd_event = None;
        }
        // An event from here on requests one more read.
        self.next_read = self.next_listing;
        match read {
            NextRead::All(skipped) => {
                let listing = match self.inventory.is_empty() {
                    // Without an earlier listing there is no last known state for a container whose inspection is skipped or times out.
                    true => {
                        let listing = self.run_with_events(engine.list_all()).await?.map_err(SessionEnd::Broken)?;
                        self.load_exited(engine).await?;
                        listing
                    }
                    false => {
                        self.run_with_events(engine.list_skipping_slow(&skipped)).await?.map_err(SessionEnd::Broken)?
                    }
                };
                self.inventory.apply_listing(listing, Instant::now());
            }
            NextRead::Some(ids) => {
                let inspections = match ids.is_empty() {
                    true => Inspections::default(),
                    false => self.run_with_events(engine.read(ids)).await?.map_err(SessionEnd::Broken)?,
                };
                self.inventory.apply_some(inspections, Instant::now());
            }
        }
        Ok(())
    }

    /// Lists the stopped containers, for the API. If that fails, the last known ones stay.
    async fn load_stopped(&mut self, engine: &Engine) -> Result<(), SessionEnd> {
        if !self.send.wants_reports() {
            return Ok(());
        }
        match self.run_with_events(timeout(STOPPED_WAIT_MAX, engine.stopped())).await? {
            Ok(Ok(stopped)) => self.publisher().set_stopped(self.index, stopped),
            Ok(Err(reason)) => tracing::debug!(provider = PROVIDER, "{reason}"),
            Err(_) => tracing::debug!(provider = PROVIDER, "listing stopped containers took too long"),
        }
        Ok(())
    }

    /// Adds the containers that exited before this process started to the unavailable ones: no listing of running containers has them. If
    /// that fails, the start continues without them.
    async fn load_exited(&mut self, engine: &Engine) -> Result<(), SessionEnd> {
        let grace = self.settings.unavailable_grace;
        if grace.is_zero() {
            return Ok(());
        }
        let exited =
            self.run_with_events(timeout(EXITED_WAIT_MAX, engine.recently_exited(grace, since_1970()))).await?;
        match exited.unwrap_or_else(|_| Err(format!("the Docker Engine took longer than {EXITED_WAIT_MAX:?}"))) {
            Ok(exited) => self.publisher().add_exited(self.index, exited),
            Err(reason) => tracing::warn!(
                provider = PROVIDER,
                "cannot list recently exited containers (404 instead of 503 for them): {reason}"
            ),
        }
        Ok(())
    }

    /// Waits until the next read is due. Events make it due earlier.
    async fn wait_until_due(&mut self) -> Result<(), SessionEnd> {
        loop {
            let due = self.next_read;
            tokio::select! {
                biased;
                batch = next_events(&mut self.events) => self.on_events(batch)?,
                () = self.send.closed() => return Err(SessionEnd::Closed),
                reason = leave_time(&self.presence) => self.leave(&reason),
                () = sleep_until(due) => return Ok(()),
            }
        }
    }

    /// Awaits the work, and meanwhile handles events.
    async fn run_with_events<T>(&mut self, work: impl Future<Output = T>) -> Result<T, SessionEnd> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                batch = next_events(&mut self.events) => self.on_events(batch)?,
                () = self.send.closed() => return Err(SessionEnd::Closed),
                reason = leave_time(&self.presence) => self.leave(&reason),
                done = &mut work => return Ok(done),
            }
        }
    }

    /// Handles a batch of events, or the end of the event stream. A configuration without a removed container is published at once: if the
    /// Engine were asked first, the container would get requests until the Engine answered.
    fn on_events(&mut self, batch: Option<Vec<Result<ReadEvent, RequestError>>>) -> Result<(), SessionEnd> {
        let now = Instant::now();
        let (mut effect, mut end) = (EventEffect::None, None);
        match batch {
            None => end = Some("the Docker Engine closed the event stream".to_owned()),
            Some(events) => {
                for event in events {
                    match event {
                        Ok(Ok(event)) => {
                            effect = effect.max(self.inventory.on_event(&event, self.time_of(&event), now))
                        }
                        Ok(Err(reason)) => self.on_odd_event(reason, now),
                        Err(error) => end = Some(explain(&self.settings.endpoint, "read events", &error)),
                    }
                }
            }
        }
        if effect > EventEffect::None {
            self.next_read = self.next_read.min(now + DEBOUNCE);
        }
        if effect == EventEffect::Removed && !matches!(self.presence, Presence::Absent) {
            self.publish_inventory();
        }
        match end {
            None => Ok(()),
            Some(reason) => {
                self.events = None;
                self.expect_leave(&reason);
                Err(SessionEnd::Broken(reason))
            }
        }
    }

    /// Notes an event that cannot be read, and lists all containers soon: the event may have been about any of them.
    fn on_odd_event(&mut self, reason: String, now: Instant) {
        if self.odd_event.is_none() {
            tracing::warn!(
                provider = PROVIDER,
                endpoint = self.endpoint(),
                "an event of the Docker Engine cannot be read: {reason}; all containers are listed again within {} s",
                RELIST_AFTER_ODD_EVENT.as_secs()
            );
            self.odd_event = Some(reason);
        }
        self.next_listing = self.next_listing.min(now + RELIST_AFTER_ODD_EVENT);
        self.next_read = self.next_read.min(self.next_listing);
    }

    fn time_of(&self, event: &Event) -> EventTime {
        let age = events::age(event, since_1970());
        EventTime { age, is_history: age > self.connected.elapsed() }
    }

    /// Lists and publishes the services every `swarm_refresh`. In swarm mode the provider reads no events.
    async fn poll_swarm(&mut self, engine: &Engine) -> Result<(), SessionEnd> {
        loop {
            let services = self.run_with_events(swarm::list(engine)).await?.map_err(SessionEnd::Broken)?;
            let own_warning = self.load_own_networks(engine).await?;
            let own_networks = self.own_networks.clone().unwrap_or_default();
            self.presence = Presence::Listed;
            let listing = HostListing {
                containers: services.containers,
                own_networks,
                rejected: services.rejected,
                warnings: own_warning.into_iter().collect(),
            };
            self.publisher().set_listing(self.index, listing);
            if !self.settings.watch {
                return Ok(());
            }
            self.run_with_events(sleep(self.settings.swarm_refresh)).await?;
        }
    }

    /// Loads the networks of the proxy's own container. If its inspection fails, the last known networks stay, and the result is a warning
    /// for the log.
    async fn load_own_networks(&mut self, engine: &Engine) -> Result<Option<String>, SessionEnd> {
        let own_ids = self.own_ids.clone();
        match self.run_with_events(engine.inspect_first(&own_ids)).await? {
            Ok((container, warning)) => {
                self.own_networks = Some(self_container::networks(container.as_slice(), &own_ids));
                Ok(warning)
            }
            // Without known networks, services could get addresses in networks that the proxy is not in.
            Err(reason) if self.own_networks.is_none() => Err(SessionEnd::Broken(reason)),
            Err(reason) => Ok(Some(format!("{reason}; using the last known networks of the proxy's own container"))),
        }
    }

    fn publish_inventory(&mut self) {
        let containers = self.inventory.containers();
        let own_networks = self_container::networks(&containers, &self.own_ids);
        let warnings = self.inventory.warnings().collect();
        let rejected = self.inventory.rejected().cloned().collect();
        self.publisher().set_listing(self.index, HostListing { containers, own_networks, rejected, warnings });
    }

    /// The listings of all hosts and their common updates. No task holds it across a wait.
    fn publisher(&self) -> MutexGuard<'_, Publisher> {
        self.publisher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until the servers of the host are to be removed, and gives the reason; if they are not, indefinitely.
async fn leave_time(presence: &Presence) -> String {
    match presence {
        Presence::LeavesAt(at, reason) => {
            sleep_until(*at).await;
            reason.clone()
        }
        Presence::Absent | Presence::Listed => future::pending().await,
    }
}

/// Waits for the next batch of events; without a stream, indefinitely.
async fn next_events(events: &mut Option<Events>) -> Option<Vec<Result<ReadEvent, RequestError>>> {
    match events {
        Some(events) => events.next().await,
        None => future::pending().await,
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
