//! What the provider does from connection to connection: it lists, waits, and all the time hears what the Engine tells.

use std::collections::BTreeSet;
use std::future;
use std::pin::{Pin, pin};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::errors::Error;
use bollard::models::EventMessage;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::engine::Engine;
use super::events::RELIST_EVERY;
use super::failure::explain;
use super::inventory::{ContainerInventory, EventEffect, EventTime};
use super::unavailable::UnavailableContainers;
use super::{DockerProviderSettings, events, self_container, swarm};
use crate::config::labels::{self, ContainerFacts, DockerSettings, PROVIDER};
use crate::control::update::{ProviderUpdate, UpdateSender};

/// How long a burst of events is collected before the containers are listed again.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// How long the first routes wait for containers that have ended.
const ENDED_WAIT_MAX: Duration = Duration::from_secs(3);

/// Events that came together are published together, so many at the most.
const EVENTS_AT_ONCE_MAX: usize = 256;

/// Events as they come, those together that came together.
type Events = Pin<Box<dyn Stream<Item = Vec<Result<EventMessage, Error>>> + Send>>;

/// Why there is nothing more to do.
pub enum SessionEnd {
    /// Nobody listens to the provider any more.
    Closed,
    /// The connection to the Engine is of no use any more, and why.
    Broken(String),
}

pub struct Provider {
    settings: DockerProviderSettings,
    send: UpdateSender,
    /// The ids that the proxy's own container may have.
    own: Vec<String>,
    /// In swarm mode, the networks of that container, as the Engine told them last.
    own_networks: Option<BTreeSet<String>>,
    census: ContainerInventory,
    absent: UnavailableContainers,
    /// Those of the last connection, heard until a new one takes its place: what the Engine says of a container that stops counts
    /// while it answers nothing else.
    events: Option<Events>,
    /// When the last connection was made.
    connected: Instant,
    /// When the containers are listed again.
    due: Instant,
    /// Warnings that have been logged; each is logged once for as long as it lasts.
    told: BTreeSet<String>,
}

impl Provider {
    pub fn new(settings: DockerProviderSettings, send: UpdateSender) -> Self {
        let now = Instant::now();
        Provider {
            absent: UnavailableContainers::new(settings.unavailable_grace),
            settings,
            send,
            own: self_container::candidates(),
            own_networks: None,
            census: ContainerInventory::default(),
            events: None,
            connected: now,
            due: now,
            told: BTreeSet::new(),
        }
    }

    pub fn endpoint(&self) -> &str {
        &self.settings.endpoint
    }

    /// One connection to the Engine; ends well when there is nothing more to do.
    pub async fn session(&mut self) -> Result<(), SessionEnd> {
        // Events since before the first listing are asked for, so none can fall between the two.
        let since = events::replay_from(since_1970());
        let settings = self.settings.clone();
        let engine = self.run_with_events(Engine::connect(&settings)).await?.map_err(SessionEnd::Broken)?;
        tracing::info!(provider = PROVIDER, endpoint = self.endpoint(), "connected to the Docker Engine");
        if settings.labels.swarm_mode {
            return self.poll_swarm(&engine).await;
        }
        if !settings.watch {
            let listing = self.run_with_events(engine.list_all()).await?.map_err(SessionEnd::Broken)?;
            self.census.apply_listing(listing, Instant::now());
            self.publish_inventory();
            // One that gave no answer is asked for again, as after any failure.
            return self.census.warnings().next().map_or(Ok(()), |complaint| Err(SessionEnd::Broken(complaint)));
        }
        self.follow(&engine, since).await
    }

    /// Waits; what the Engine still tells is heard.
    pub async fn wait_to_reconnect(&mut self, wait: Duration) -> Result<(), SessionEnd> {
        let end = Instant::now() + wait;
        loop {
            match self.run_with_events(sleep_until(end)).await {
                // From then on there is nothing to hear, but the wait is not over.
                Err(SessionEnd::Broken(_)) => {}
                other => return other,
            }
        }
    }

    async fn follow(&mut self, engine: &Engine, since: i64) -> Result<(), SessionEnd> {
        self.events = Some(Box::pin(engine.events(since).ready_chunks(EVENTS_AT_ONCE_MAX)));
        self.connected = Instant::now();
        self.due = self.connected;
        loop {
            self.wait().await?;
            // An event from here on asks for one listing more.
            self.due = Instant::now() + RELIST_EVERY;
            let silent = self.census.begin_listing(Instant::now());
            let listing = match self.census.is_empty() {
                // Nothing is known of a container but what the Engine answers now.
                true => {
                    let listing = self.run_with_events(engine.list_all()).await?.map_err(SessionEnd::Broken)?;
                    self.load_exited(engine).await?;
                    listing
                }
                false => self.run_with_events(engine.list_skipping_slow(&silent)).await?.map_err(SessionEnd::Broken)?,
            };
            let now = Instant::now();
            self.census.apply_listing(listing, now);
            self.publish_inventory();
            let ends = self.census.next_end().into_iter().chain(self.absent.next_end(now));
            self.due = ends.fold(self.due, Instant::min);
        }
    }

    /// What ended before this process began is in no listing of running containers, and known all the same for its grace. A start
    /// can do without.
    async fn load_exited(&mut self, engine: &Engine) -> Result<(), SessionEnd> {
        let grace = self.settings.unavailable_grace;
        if grace.is_zero() {
            return Ok(());
        }
        let answer = self.run_with_events(timeout(ENDED_WAIT_MAX, engine.ended(grace, since_1970()))).await?;
        match answer.unwrap_or_else(|_| Err(format!("the Docker Engine took longer than {ENDED_WAIT_MAX:?}"))) {
            Ok(ended) => self.absent.remember(ended, Instant::now()),
            Err(reason) => tracing::warn!(
                provider = PROVIDER,
                "containers that ended a short while ago stay unknown, and their names are answered 404: {reason}"
            ),
        }
        Ok(())
    }

    /// Until the next listing is due, which events bring forward.
    async fn wait(&mut self) -> Result<(), SessionEnd> {
        loop {
            let due = self.due;
            tokio::select! {
                biased;
                heard = next(&mut self.events) => self.on_events(heard)?,
                () = self.send.closed() => return Err(SessionEnd::Closed),
                () = sleep_until(due) => return Ok(()),
            }
        }
    }

    /// Awaits the work, and hears events meanwhile.
    async fn run_with_events<T>(&mut self, work: impl Future<Output = T>) -> Result<T, SessionEnd> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                heard = next(&mut self.events) => self.on_events(heard)?,
                () = self.send.closed() => return Err(SessionEnd::Closed),
                done = &mut work => return Ok(done),
            }
        }
    }

    /// Acts on what the event stream brought. A container that is out is published as such at once: to ask the Engine first would
    /// send it requests for as long as the answer takes.
    fn on_events(&mut self, heard: Option<Vec<Result<EventMessage, Error>>>) -> Result<(), SessionEnd> {
        let now = Instant::now();
        let (mut news, mut end) = (EventEffect::None, None);
        match heard {
            None => end = Some("the Docker Engine closed the event stream".to_owned()),
            Some(events) => {
                for event in events {
                    match event {
                        Ok(event) => news = news.max(self.census.on_event(&event, self.when(&event), now)),
                        Err(error) => end = Some(explain(&self.settings.endpoint, "read events", &error)),
                    }
                }
            }
        }
        if news > EventEffect::None {
            self.due = self.due.min(now + DEBOUNCE);
        }
        if news == EventEffect::TakenOut {
            self.publish_inventory();
        }
        match end {
            None => Ok(()),
            Some(reason) => {
                self.events = None;
                Err(SessionEnd::Broken(reason))
            }
        }
    }

    fn when(&self, event: &EventMessage) -> EventTime {
        let age = events::age(event, since_1970());
        EventTime { age, is_history: age > self.connected.elapsed() }
    }

    /// Services change without events of their own, so they are listed again and again.
    async fn poll_swarm(&mut self, engine: &Engine) -> Result<(), SessionEnd> {
        loop {
            let services = swarm::list(&self.settings, &engine.api_version()).await.map_err(SessionEnd::Broken)?;
            let complaint = self.learn_own_networks(engine).await?;
            self.publish(&services, self.own_networks.clone().unwrap_or_default(), complaint);
            if !self.settings.watch {
                return Ok(());
            }
            self.run_with_events(sleep(self.settings.swarm_refresh)).await?;
        }
    }

    /// Those that the proxy's own container was in last stay while the Engine gives no answer for it; then the log should have why.
    async fn learn_own_networks(&mut self, engine: &Engine) -> Result<Option<String>, SessionEnd> {
        let own = self.own.clone();
        match self.run_with_events(engine.first_of(&own)).await? {
            Ok(container) => {
                self.own_networks = Some(self_container::networks(container.as_slice(), &own));
                Ok(None)
            }
            // Services could get addresses in networks that the proxy is not in.
            Err(reason) if self.own_networks.is_none() => Err(SessionEnd::Broken(reason)),
            Err(reason) => Ok(Some(format!("{reason}; the proxy's own container counts as it was before"))),
        }
    }

    fn publish_inventory(&mut self) {
        let containers = self.census.containers();
        let own_networks = self_container::networks(&containers, &self.own);
        let complaints: Vec<String> = self.census.warnings().collect();
        self.publish(&containers, own_networks, complaints);
    }

    /// `complaints`: what the log should have beside the labels' own.
    fn publish(
        &mut self,
        containers: &[ContainerFacts],
        own_networks: BTreeSet<String>,
        complaints: impl IntoIterator<Item = String>,
    ) {
        let settings = DockerSettings { own_networks, ..self.settings.labels.clone() };
        let mut made = labels::translate(containers, &settings);
        let absent = self.absent.apply_listing(containers, Instant::now());
        // What there is to say of their labels has been said when they could answer.
        labels::unavailable::keep(&mut made.dynamic, labels::translate(&absent, &settings).dynamic);
        let warnings: BTreeSet<String> = made.warnings.into_iter().chain(complaints).collect();
        for warning in warnings.difference(&self.told) {
            tracing::warn!(provider = PROVIDER, "{warning}");
        }
        self.told = warnings;
        // A closed channel means that the program ends; the loop notices.
        let _ = self.send.send(ProviderUpdate { provider: PROVIDER, dynamic: made.dynamic, rejected: made.rejected });
    }
}

/// The next events; without a stream there are none, ever.
async fn next(events: &mut Option<Events>) -> Option<Vec<Result<EventMessage, Error>>> {
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
