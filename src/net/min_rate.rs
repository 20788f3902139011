//! The minimum data rate of a body: without it a sender of single bytes could hold a connection, and the server behind it, indefinitely.

use std::time::Duration;
use std::{error, fmt, io};

use crate::limits;

/// Compares the bytes received from a sender with the time spent waiting for it. Waiting for the receiver does not count.
#[derive(Debug, Default)]
pub struct MinRate {
    waited: Duration,
    bytes: u64,
}

impl MinRate {
    /// Counts received bytes.
    pub fn add_bytes(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Counts time spent waiting for the sender.
    ///
    /// # Errors
    /// [`RateTooLow`] if less than [`limits::BODY_BYTES_PER_STALL_MIN`] arrived in a whole `period` of waiting.
    pub fn add_wait(&mut self, period: Duration, waited: Duration) -> io::Result<()> {
        self.waited += waited;
        if self.waited < period {
            return Ok(());
        }
        let MinRate { bytes, .. } = std::mem::take(self);
        if bytes < limits::BODY_BYTES_PER_STALL_MIN { Err(RateTooLow.into()) } else { Ok(()) }
    }
}

/// The sender of a body stayed below the minimum data rate.
#[derive(Debug)]
pub struct RateTooLow;

impl From<RateTooLow> for io::Error {
    fn from(error: RateTooLow) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, error)
    }
}

impl fmt::Display for RateTooLow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("body below the minimum data rate")
    }
}

impl error::Error for RateTooLow {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dripping_sender_is_too_slow_and_pausing_sender_is_not() {
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
