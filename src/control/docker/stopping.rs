//! Tracks the containers that got a stop signal and still run.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Containers that got a stop signal and have not exited yet. They still run, but get no new requests.
#[derive(Debug, Default)]
pub struct StoppingContainers {
    marks: HashMap<String, StopMark>,
}

#[derive(Debug)]
struct StopMark {
    /// When the container counts as having survived its signal.
    until: Instant,
    /// When the Engine sent the signal, since 1970.
    signalled: Option<Duration>,
}

impl StoppingContainers {
    /// Marks the container, which got its stop signal at `signalled`, as stopping until `until` or until it exits or starts.
    pub fn mark(&mut self, id: &str, signalled: Option<Duration>, until: Instant) {
        self.marks.insert(id.to_owned(), StopMark { until, signalled });
    }

    pub fn clear(&mut self, id: &str) {
        self.marks.remove(id);
    }

    /// Clears the container's mark if its signal is older than `started`, the time of the container's last start. Such a signal ended an
    /// earlier run, even if the events of that exit and start were lost.
    pub fn clear_before(&mut self, id: &str, started: Option<Duration>) {
        let signalled = self.marks.get(id).and_then(|mark| mark.signalled);
        if started.zip(signalled).is_some_and(|(started, signalled)| started > signalled) {
            self.clear(id);
        }
    }

    pub fn contains(&self, id: &str) -> bool {
        self.marks.contains_key(id)
    }

    /// Removes the marks whose time is over: those containers have survived their signal.
    pub fn remove_elapsed(&mut self, now: Instant) {
        self.marks.retain(|_, mark| mark.until > now);
    }

    /// The containers whose time is over.
    pub fn elapsed(&self, now: Instant) -> impl Iterator<Item = &String> {
        self.marks.iter().filter(move |(_, mark)| mark.until <= now).map(|(id, _)| id)
    }

    /// The next time at which a container that survived its signal gets requests again.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.marks.values().map(|mark| mark.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stop_marks_are_removed_when_elapsed() {
        let (mut stopping, now) = (StoppingContainers::default(), Instant::now());
        stopping.mark("a", None, now + Duration::from_secs(1));
        stopping.mark("b", None, now + Duration::from_secs(9));
        assert_eq!(stopping.next_expiry(), Some(now + Duration::from_secs(1)));
        stopping.remove_elapsed(now + Duration::from_secs(1));
        assert!(!stopping.contains("a") && stopping.contains("b"));
        stopping.clear("b");
        assert_eq!(stopping.next_expiry(), None);
    }
}
