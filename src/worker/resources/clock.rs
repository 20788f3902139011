//! A worker's clock: the time as it was read last, and the value of the Date field, formatted once a second.
//!
//! A request needs the time in a dozen places, and reading the system's clock costs as much as finding the route. So the clock is read only
//! after a wait; all other places use the last reading, which requests keep fresh in a busy worker and timer ticks in an idle one.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The worker's clock.
pub struct Clock {
    start: Instant,
    mono_nanos: Cell<u64>,
    /// The difference of the wall clock and the monotonic reading, in nanoseconds.
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

    /// Stops the clock at `elapsed` after the start, until it is set again.
    #[cfg(test)]
    pub fn set(&self, elapsed: Duration) {
        self.set.set(Some(elapsed));
        self.read();
    }

    /// Reads the wall clock too, which may be set to another time while the process runs.
    pub fn follow_wall(&self) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        self.wall_offset.set(wall.saturating_sub(self.read()));
    }

    /// Nanoseconds since the process started, as read last.
    pub fn mono_nanos(&self) -> u64 {
        self.mono_nanos.get()
    }

    /// Nanoseconds since 1970, by the wall clock.
    pub fn unix_nanos(&self) -> u64 {
        self.wall_offset.get() + self.mono_nanos.get()
    }

    pub fn unix_secs(&self) -> u64 {
        self.unix_nanos() / 1_000_000_000
    }

    /// Calls `with` on the Date field's value (RFC 9110 5.6.7), which is formatted once a second.
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
    fn date_field_is_current_time() {
        let clock = Clock::new(Instant::now());
        let text = clock.with_date(|d| String::from_utf8(d.to_vec()).expect("ascii"));
        let date = httpdate::parse_http_date(&text).expect("a date");
        assert!(SystemTime::now().duration_since(date).is_ok_and(|d| d.as_secs() < 3), "{text}");
        assert_eq!(clock.with_date(<[u8]>::to_vec), text.as_bytes());
    }
}
