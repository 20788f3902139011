//! The Docker provider: follows an Engine and publishes the configuration that its containers' labels ask for
//! (dynamic.md 1). It only ever reads: every request is a GET.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use tokio::time::Instant;

use super::update::{Sender, Update};
use crate::config::dynamic::ClientTls;
use crate::config::labels::{self, ContainerFacts, DockerSettings, PROVIDER};

mod absent;
mod backoff;
mod engine;
mod own;
mod signal;
mod swarm;
mod tls;
mod transport;
mod watch;

use absent::Absent;
use backoff::Backoff;
use engine::{Engine, Listing};
use watch::{Reaction, Stopping};

/// How long a burst of events is collected before the containers are listed again.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// The provider's part of the static configuration (dynamic.md 1.1), and where the Engine is.
#[derive(Debug, Clone)]
pub struct DockerProviderSettings {
    /// `unix:///path`, `tcp://host:port`.
    pub endpoint: String,
    /// TLS over tcp.
    pub tls: Option<ClientTls>,
    /// False: one listing, never again.
    pub watch: bool,
    /// How long the Engine may take to answer one request; the event stream has no limit.
    pub request_timeout: Duration,
    /// The time between two listings in swarm mode.
    pub swarm_refresh: Duration,
    /// How long a name whose containers cannot answer is still known; zero: not at all.
    pub unavailable_grace: Duration,
    /// How labels are read; `own_networks` is found out by the provider itself.
    pub labels: DockerSettings,
}

impl Default for DockerProviderSettings {
    fn default() -> Self {
        DockerProviderSettings {
            endpoint: "unix:///var/run/docker.sock".to_owned(),
            tls: None,
            watch: true,
            request_timeout: Duration::from_secs(30),
            swarm_refresh: Duration::from_secs(15),
            unavailable_grace: Duration::ZERO,
            labels: DockerSettings { exposed_by_default: true, ..DockerSettings::default() },
        }
    }
}

/// Publishes a complete set at the start and after every change, until the receiver is gone; with `watch = false` once.
///
/// While the Engine cannot be reached nothing is published, so the last configuration stays.
pub async fn run(settings: DockerProviderSettings, send: Sender) {
    let absent = Absent::new(settings.unavailable_grace);
    let mut provider = Provider { settings, send, absent, told: BTreeSet::new() };
    let mut backoff = Backoff::default();
    loop {
        let started = Instant::now();
        let reason = match provider.session().await {
            Ok(()) => return,
            Err(reason) => reason,
        };
        if provider.send.is_closed() {
            return;
        }
        provider.send.cannot(PROVIDER, &reason);
        let wait = backoff.after_run(started.elapsed());
        tracing::error!(provider = PROVIDER, endpoint = %provider.settings.endpoint,
            "{reason}; the last configuration stays, next attempt in {:.1} s", wait.as_secs_f64());
        tokio::select! {
            () = provider.send.closed() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

struct Provider {
    settings: DockerProviderSettings,
    send: Sender,
    absent: Absent,
    /// Warnings that have been logged; each is logged once for as long as it lasts.
    told: BTreeSet<String>,
}

impl Provider {
    /// One connection to the Engine; ends well when there is nothing more to do, and with the reason when it breaks.
    async fn session(&mut self) -> Result<(), String> {
        // Events since before the first listing are asked for, so none can fall between the two.
        let since = watch::replay_from(unix_now());
        let engine = Engine::connect(&self.settings).await?;
        let own = own::candidates();
        tracing::info!(provider = PROVIDER, endpoint = %self.settings.endpoint, "connected to the Docker Engine");
        if self.settings.labels.swarm_mode {
            return self.poll_swarm(&engine, &own).await;
        }
        if !self.settings.watch {
            let containers = engine.list().await?.containers;
            let own_networks = own::networks(&containers, &own);
            self.publish(containers, own_networks);
            return Ok(());
        }
        self.follow(&engine, since, &own).await
    }

    async fn follow(&mut self, engine: &Engine, since: i64, own: &[String]) -> Result<(), String> {
        let mut events = pin!(engine.events(since));
        let mut stopping = Stopping::default();
        let mut hosts = HashMap::new();
        let mut due = Instant::now();
        loop {
            tokio::select! {
                biased;
                event = events.next() => {
                    let event = event.ok_or("the Docker Engine closed the event stream")?;
                    let event = event.map_err(|error| engine.explain("read events", &error))?;
                    let now = Instant::now();
                    if react(&watch::reaction(&event, &hosts), &mut stopping, now, watch::age(&event, unix_now())) {
                        due = due.min(now + DEBOUNCE);
                    }
                }
                () = self.send.closed() => return Ok(()),
                () = tokio::time::sleep_until(due) => {
                    let Listing { mut containers, stops } = engine.list().await?;
                    hosts = stops;
                    let now = Instant::now();
                    stopping.forget_old(now);
                    for container in containers.iter_mut().filter(|c| stopping.has(&c.id)) {
                        container.running = false;
                    }
                    let own_networks = own::networks(&containers, own);
                    self.publish(containers, own_networks);
                    let ends = stopping.next_end().into_iter().chain(self.absent.next_end(now));
                    due = ends.min().unwrap_or(now + watch::RELIST_EVERY).min(now + watch::RELIST_EVERY);
                }
            }
        }
    }

    /// Services change without events of their own, so they are listed again and again.
    async fn poll_swarm(&mut self, engine: &Engine, own: &[String]) -> Result<(), String> {
        loop {
            let services = swarm::list(&self.settings, &engine.api_version()).await?;
            let own_networks = match own.is_empty() {
                true => BTreeSet::new(),
                false => own::networks(&engine.list().await?.containers, own),
            };
            self.publish(services, own_networks);
            if !self.settings.watch {
                return Ok(());
            }
            tokio::select! {
                () = self.send.closed() => return Ok(()),
                () = tokio::time::sleep(self.settings.swarm_refresh) => {}
            }
        }
    }

    fn publish(&mut self, containers: Vec<ContainerFacts>, own_networks: BTreeSet<String>) {
        let settings = DockerSettings { own_networks, ..self.settings.labels.clone() };
        let mut made = labels::translate(&containers, &settings);
        let absent = self.absent.take_in(&containers, Instant::now());
        // What there is to say of their labels has been said when they could answer.
        labels::absent::keep(&mut made.dynamic, labels::translate(&absent, &settings).dynamic);
        let warnings: BTreeSet<String> = made.warnings.into_iter().collect();
        for warning in warnings.difference(&self.told) {
            tracing::warn!(provider = PROVIDER, "{warning}");
        }
        self.told = warnings;
        // A closed channel means that the program ends; the loop notices.
        let _ = self.send.send(Update { provider: PROVIDER, dynamic: made.dynamic, rejected: made.rejected });
    }
}

/// Applies an event to the stopping set; true when the containers must be listed again.
fn react(reaction: &Reaction, stopping: &mut Stopping, now: Instant, age: Duration) -> bool {
    match reaction {
        Reaction::Ignore => return false,
        Reaction::Relist => {}
        Reaction::Stopping(id, grace) => stopping.mark(id, now + grace.saturating_sub(age)),
        Reaction::Changed(id) => stopping.clear(id),
    }
    true
}

/// Seconds since 1970.
fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
