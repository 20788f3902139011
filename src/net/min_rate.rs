//! How fast a sender must be: one that drips holds a connection, and whatever waits behind it, for as long as it likes.

use std::time::Duration;
use std::{error, fmt, io};

use crate::limits;

/// Time spent waiting for a sender, against what came in it: waiting for the receiver does not count.
#[derive(Debug, Default)]
pub struct MinRate {
    waited: Duration,
    bytes: u64,
}

impl MinRate {
    /// So many bytes have come.
    pub fn add_bytes(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The sender has been waited for.
    ///
    /// # Errors
    /// [`TooSlow`]: less than [`limits::BODY_BYTES_PER_STALL_MIN`] came in a whole `period` of waiting.
    pub fn add_wait(&mut self, period: Duration, waited: Duration) -> io::Result<()> {
        self.waited += waited;
        if self.waited < period {
            return Ok(());
        }
        let MinRate { bytes, .. } = std::mem::take(self);
        if bytes < limits::BODY_BYTES_PER_STALL_MIN { Err(RateTooLow.into()) } else { Ok(()) }
    }
}

/// A sender of a body was waited for, and not enough came meanwhile.
#[derive(Debug)]
pub struct RateTooLow;

impl From<RateTooLow> for io::Error {
    fn from(slow: RateTooLow) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, slow)
    }
}

impl fmt::Display for RateTooLow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body came too slowly")
    }
}

impl error::Error for RateTooLow {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_that_drips_is_too_slow_and_one_that_pauses_is_not() {
        let period = Duration::from_secs(180);
        let mut drip = MinRate::default();
        let slow = (0..20).map(|_| {
            drip.add_bytes(1);
            drip.add_wait(period, Duration::from_secs(10))
        });
        let slow = slow.into_iter().find(Result::is_err);
        assert!(slow.is_some_and(|e| e.is_err_and(|e| e.kind() == io::ErrorKind::TimedOut)));
        let mut pauses = MinRate::default();
        for _ in 0..20 {
            pauses.add_bytes(2048);
            assert!(pauses.add_wait(period, Duration::from_secs(170)).is_ok());
        }
    }
}
