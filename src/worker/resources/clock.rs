//! A worker's time: read when something has happened and used until the next, and the Date field kept for a second.
//!
//! A request asks for the time in a dozen places. One reading costs as much as finding its route, so only those places read that follow
//! a wait; the others take what was read last, which a busy worker's requests and an idle one's ticks keep fresh.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The worker's clock.
pub struct Clock {
    start: Instant,
    mono_nanos: Cell<u64>,
    /// What lies between the monotonic reading and the wall's, in nanoseconds.
    wall_offset: Cell<u64>,
    date_secs: Cell<u64>,
    date: RefCell<String>,
    /// The time that a test has set.
    #[cfg(test)]
    set: Cell<Option<Duration>>,
}

impl Clock {
    /// `start` is the same for all workers, so that their monotonic readings can be compared.
    pub fn new(start: Instant) -> Self {
        let clock = Clock {
            start,
            mono_nanos: Cell::default(),
            wall_offset: Cell::default(),
            date_secs: Cell::default(),
            date: RefCell::default(),
            #[cfg(test)]
            set: Cell::default(),
        };
        clock.follow_wall();
        clock
    }

    /// Reads the clock: nanoseconds since the process started.
    pub fn read(&self) -> u64 {
        let nanos = self.elapsed().as_nanos() as u64;
        self.mono_nanos.set(nanos);
        nanos
    }

    #[cfg(not(test))]
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    #[cfg(test)]
    fn elapsed(&self) -> Duration {
        self.set.get().unwrap_or_else(|| self.start.elapsed())
    }

    /// From here on it is `elapsed` after the start until it is set again.
    #[cfg(test)]
    pub fn set(&self, elapsed: Duration) {
        self.set.set(Some(elapsed));
        self.read();
    }

    /// Reads the wall's clock too, which may be set to another time while the process runs.
    pub fn follow_wall(&self) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        self.wall_offset.set(wall.saturating_sub(self.read()));
    }

    /// Nanoseconds since the process started, as read last.
    pub fn mono_nanos(&self) -> u64 {
        self.mono_nanos.get()
    }

    /// Nanoseconds since 1970, as the wall's clock says.
    pub fn unix_nanos(&self) -> u64 {
        self.wall_offset.get() + self.mono_nanos.get()
    }

    pub fn unix_secs(&self) -> u64 {
        self.unix_nanos() / 1_000_000_000
    }

    /// Calls `with` on the Date field's value (RFC 9110 5.6.7); formatting it once a second is all that it costs.
    pub fn with_date<T>(&self, with: impl FnOnce(&[u8]) -> T) -> T {
        let secs = self.unix_secs();
        if self.date_secs.replace(secs) != secs {
            *self.date.borrow_mut() = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(secs));
        }
        with(self.date.borrow().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_the_one_of_now() {
        let clock = Clock::new(Instant::now());
        let text = clock.with_date(|d| String::from_utf8(d.to_vec()).expect("ascii"));
        let date = httpdate::parse_http_date(&text).expect("a date");
        assert!(SystemTime::now().duration_since(date).is_ok_and(|d| d.as_secs() < 3), "{text}");
        assert_eq!(clock.with_date(<[u8]>::to_vec), text.as_bytes());
    }
}
