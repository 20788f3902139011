//! How fast a sender must be: one that drips holds a connection, and whatever waits behind it, for as long as it likes.

use std::time::Duration;
use std::{error, fmt, io};

use crate::limits;

/// Time spent waiting for a sender, against what came in it: waiting for the receiver does not count.
#[derive(Debug, Default)]
pub struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// So many bytes have come.
    pub fn came(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The sender has been waited for.
    ///
    /// # Errors
    /// [`TooSlow`]: less than [`limits::BODY_BYTES_PER_STALL_MIN`] came in a whole `period` of waiting.
    pub fn waited(&mut self, period: Duration, waited: Duration) -> io::Result<()> {
        self.waited += waited;
        if self.waited < period {
            return Ok(());
        }
        let Pace { bytes, .. } = std::mem::take(self);
        if bytes < limits::BODY_BYTES_PER_STALL_MIN { Err(TooSlow.into()) } else { Ok(()) }
    }
}

/// A sender of a body was waited for, and not enough came meanwhile.
#[derive(Debug)]
pub struct TooSlow;

impl From<TooSlow> for io::Error {
    fn from(slow: TooSlow) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, slow)
    }
}

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body came too slowly")
    }
}

impl error::Error for TooSlow {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_that_drips_is_too_slow_and_one_that_pauses_is_not() {
        let period = Duration::from_secs(180);
        let mut drip = Pace::default();
        let slow = (0..20).map(|_| {
            drip.came(1);
            drip.waited(period, Duration::from_secs(10))
        });
        let slow = slow.into_iter().find(Result::is_err);
        assert!(slow.is_some_and(|e| e.is_err_and(|e| e.kind() == io::ErrorKind::TimedOut)));
        let mut pauses = Pace::default();
        for _ in 0..20 {
            pauses.came(2048);
            assert!(pauses.waited(period, Duration::from_secs(170)).is_ok());
        }
    }
}
