//! A worker's time: one reading per use, and the Date field kept for a second.

use std::cell::{Cell, RefCell};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The worker's clock.
pub struct Clock {
    start: Instant,
    date_secs: Cell<u64>,
    date: RefCell<String>,
}

impl Clock {
    /// `start` is the same for all workers, so that their monotonic readings can be compared.
    pub fn new(start: Instant) -> Self {
        Clock { start, date_secs: Cell::new(0), date: RefCell::new(String::new()) }
    }

    /// Nanoseconds since the process started.
    pub fn mono_nanos(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Nanoseconds since 1970, as the wall clock says.
    pub fn unix_nanos(&self) -> i128 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i128)
    }

    /// Calls `with` on the Date field's value (RFC 9110 5.6.7); formatting it once a second is all that it costs.
    pub fn with_date<T>(&self, with: impl FnOnce(&[u8]) -> T) -> T {
        let now = SystemTime::now();
        let secs = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        if self.date_secs.replace(secs) != secs {
            *self.date.borrow_mut() = httpdate::fmt_http_date(now);
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
