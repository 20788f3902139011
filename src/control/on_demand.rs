//! Certificates on demand: a name that a client asks for in its handshake and that has a route is requested from ACME
//! (docs/reference/acme.md#on-demand).

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::Instant;

use super::acme::DomainRequest;
use crate::tls::resolver::UnknownName;

/// Names that wait to be looked at; further ones are dropped, and looked at when a client asks again.
const WAITING_MAX: usize = 16;
/// Names that may be requested within [`PERIOD`]: a stranger can ask for every name of a `HostRegexp` rule.
const NAMES_PER_PERIOD: usize = 10;
const PERIOD: Duration = Duration::from_secs(3600);
/// The minimum pause between two looks: each compares a name with all rules.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// Names that are remembered as requested. Their certificates are renewed without that too.
const NAMES_MAX: usize = 1000;

/// The names that clients have asked for.
pub struct OnDemandNames {
    waiting: Receiver<String>,
    requested: Vec<DomainRequest>,
    known: HashSet<String>,
    /// When names of the last period were requested.
    times: VecDeque<Instant>,
    looked_at: Option<Instant>,
}

/// Makes the function that handshakes call for a name without a certificate, and the names for the control plane.
pub fn on_demand() -> (UnknownName, OnDemandNames) {
    let (sender, waiting) = channel(WAITING_MAX);
    // A full channel drops the name: the handshake must not wait.
    let ask: UnknownName = Arc::new(move |name: &str| drop(sender.try_send(name.to_owned())));
    let (requested, known, times) = (Vec::new(), HashSet::new(), VecDeque::new());
    (ask, OnDemandNames { waiting, requested, known, times, looked_at: None })
}

impl OnDemandNames {
    /// Waits for a name that a client asks for and that has not been requested.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            let name = self.waiting.recv().await?;
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            if !self.known.contains(&name) {
                return Some(name);
            }
        }
    }

    /// Takes a name if it has a route, and no more than a few names were taken in the last hour. Returns whether it was taken.
    pub fn accept(&mut self, name: &str, now: Instant, has_route: impl Fn(&str) -> bool) -> bool {
        if self.looked_at.is_some_and(|at| now.duration_since(at) < LOOK_PAUSE) {
            return false;
        }
        self.looked_at = Some(now);
        while self.times.front().is_some_and(|at| now.duration_since(*at) >= PERIOD) {
            self.times.pop_front();
        }
        if self.known.len() >= NAMES_MAX || !has_route(name) {
            return false;
        }
        if self.times.len() >= NAMES_PER_PERIOD {
            tracing::warn!("acme.onDemand: {NAMES_PER_PERIOD} names were requested within an hour, {name} has to wait");
            return false;
        }
        self.times.push_back(now);
        self.known.insert(name.to_owned());
        self.requested.push(DomainRequest { main: name.to_owned(), sans: Vec::new() });
        true
    }

    /// The requests for all names that were taken.
    pub fn requests(&self) -> &[DomainRequest] {
        &self.requested
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_without_a_route_and_too_many_names_are_not_taken() {
        let (ask, mut names) = on_demand();
        let mut now = Instant::now();
        let mut take = |names: &mut OnDemandNames, name: &str, after: Duration| {
            now += after;
            names.accept(name, now, |name| name.ends_with(".test"))
        };
        assert!(!take(&mut names, "a.other", LOOK_PAUSE));
        assert!(!take(&mut names, "a.test", Duration::ZERO), "the rules were looked at a moment ago");
        for number in 0..NAMES_PER_PERIOD {
            assert!(take(&mut names, &format!("n{number}.test"), LOOK_PAUSE));
        }
        assert!(!take(&mut names, "more.test", LOOK_PAUSE), "too many in an hour");
        assert!(take(&mut names, "more.test", PERIOD));
        assert_eq!(names.requests().len(), NAMES_PER_PERIOD + 1);
        ask("N1.test.");
        ask("new.test");
        assert_eq!(names.next().await.as_deref(), Some("new.test"), "a name that was taken is not looked at again");
        (0..2 * WAITING_MAX).for_each(|_| ask("flood.test"));
    }
}
