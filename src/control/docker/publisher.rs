//! Publishes one configuration for the containers of all Docker hosts, at every change of one of them.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::joined::{HostListing, join};
use super::settings::DockerProviderSettings;
use super::stopped;
use super::unavailable::UnavailableContainers;
use crate::config::labels::{self, ContainerFacts, ContainerReport, PROVIDER, shown_name};
use crate::control::update::{ProviderUpdate, UpdateSender};

/// The last listings of all hosts, and what was published of them.
pub struct Publisher {
    settings: DockerProviderSettings,
    send: UpdateSender,
    /// In the order of the configuration; one without `[[docker.hosts]]`.
    hosts: Vec<HostState>,
    unavailable: UnavailableContainers,
    /// The warnings of the last configuration. A warning is logged only if it is not among them.
    logged: BTreeSet<String>,
    /// The reports on the containers of the last configuration.
    reports: Vec<ContainerReport>,
    is_published: bool,
}

/// The last listing of a host, and the reports on it.
#[derive(Default)]
struct HostState {
    /// `None` until the first listing, and while the host is unreachable.
    listing: Option<HostListing>,
    /// The reports on its stopped containers.
    stopped: Vec<ContainerReport>,
    /// Why the host could not be listed at the start; empty if it has not been tried or was listed.
    failure: String,
}

impl Publisher {
    pub fn new(settings: DockerProviderSettings, send: UpdateSender) -> Self {
        let hosts = settings.hosts.len().max(1);
        Publisher {
            unavailable: UnavailableContainers::new(settings.unavailable_grace),
            hosts: (0..hosts).map(|_| HostState::default()).collect(),
            settings,
            send,
            logged: BTreeSet::new(),
            reports: Vec::new(),
            is_published: false,
        }
    }

    /// Replaces the listing of a host, and publishes the configuration of all.
    pub fn set_listing(&mut self, index: usize, listing: HostListing) {
        let listing = listing.of_host(self.settings.host_key(index));
        if let Some(host) = self.hosts.get_mut(index) {
            host.listing = Some(listing);
            host.failure.clear();
        }
        self.publish();
    }

    /// Removes the containers of a host, and publishes the configuration of the others.
    pub fn remove_host(&mut self, index: usize, reason: &str) {
        if let Some(host) = self.hosts.get_mut(index) {
            *host = HostState { failure: reason.to_owned(), ..HostState::default() };
        }
        self.publish();
    }

    /// Notes that a host cannot be listed. The start waits no longer for the host, and for none if none can be listed.
    pub fn report_failure(&mut self, index: usize, reason: &str) {
        self.send.count_failure();
        let Some(host) = self.hosts.get_mut(index) else { return };
        if host.listing.is_none() {
            reason.clone_into(&mut host.failure);
        }
        if !self.is_published {
            self.publish();
        }
    }

    /// Replaces the reports on a host's stopped containers.
    pub fn set_stopped(&mut self, index: usize, mut stopped: Vec<ContainerReport>) {
        let key = self.settings.host_key(index);
        stopped.iter_mut().for_each(|report| report.name = shown_name(&report.name, key));
        if let Some(host) = self.hosts.get_mut(index) {
            host.stopped = stopped;
        }
        self.publish_reports();
    }

    /// Adds containers that exited before the host's first listing, each with the time since its exit.
    pub fn add_exited(&mut self, index: usize, mut exited: Vec<(ContainerFacts, Duration)>) {
        let key = self.settings.host_key(index);
        exited.iter_mut().for_each(|(facts, _)| key.clone_into(&mut facts.host));
        self.unavailable.add_exited(exited, Instant::now());
    }

    /// The next time at which the grace of an unavailable container ends.
    pub fn next_expiry(&self, now: Instant) -> Option<Instant> {
        self.unavailable.next_expiry(now)
    }

    /// Publishes the configuration that the containers' labels describe. The first one waits until every host has been listed or has failed:
    /// without the others, requests for their containers would get 404.
    fn publish(&mut self) {
        let is_pending = |host: &HostState| host.listing.is_none() && host.failure.is_empty();
        if !self.is_published && self.hosts.iter().any(is_pending) {
            return;
        }
        if !self.is_published && self.hosts.iter().all(|host| host.listing.is_none()) {
            let reasons: Vec<&str> = self.hosts.iter().map(|host| host.failure.as_str()).collect();
            self.send.mark_unavailable(PROVIDER, &reasons.join("; "));
            return;
        }
        self.is_published = true;
        let listings: Vec<Option<&HostListing>> = self.hosts.iter().map(|host| host.listing.as_ref()).collect();
        let joined = join(&self.settings, &listings);
        let mut translated = labels::translate(&joined.containers, &joined.labels);
        let unavailable = self.unavailable.apply_listing(&joined.containers, Instant::now());
        // Warnings about their labels were logged while these containers were available.
        labels::unavailable::keep(&mut translated.dynamic, labels::translate(&unavailable, &joined.labels).dynamic);
        self.reports = std::mem::take(&mut translated.reports);
        self.reports.extend(stopped::unreadable(&joined.rejected));
        let mut rejected = joined.rejected;
        rejected.append(&mut translated.rejected);
        let of_labels = translated.warnings.iter().map(ToString::to_string);
        let warnings: BTreeSet<String> = of_labels.chain(joined.warnings).collect();
        for warning in warnings.difference(&self.logged) {
            tracing::warn!(provider = PROVIDER, "{warning}");
        }
        self.logged = warnings;
        self.publish_reports();
        // A closed channel means that the process is shutting down; the loop notices that.
        let _ = self.send.send(ProviderUpdate { provider: PROVIDER, dynamic: translated.dynamic, rejected });
    }

    /// Publishes the reports on all containers.
    fn publish_reports(&self) {
        if !self.send.wants_reports() {
            return;
        }
        let running: HashSet<&str> = self.reports.iter().map(|report| report.id.as_str()).collect();
        let stopped = self.hosts.iter().flat_map(|host| &host.stopped);
        let stopped = stopped.filter(|report| !running.contains(report.id.as_str()));
        self.send.publish_reports(self.reports.iter().chain(stopped).cloned().collect());
    }
}
