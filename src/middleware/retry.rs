//! When a failed try is followed by another one (docs/reference/backends.md#retry). A policy for the worker, not a step: the attempt chain,
//! the choice of a server and the exchange are inside it.

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The backend answered, whatever the status.
    Answered,
    /// Nothing of the request was sent: connecting or the TLS handshake failed or took too long.
    NotSent,
    /// The backend failed after request bytes had been written: it may have acted on them.
    Sent,
    /// A step of the attempt chain answered, or no server could be asked, with this status.
    Local(u16),
}

/// The total number of tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
}

impl RetryPolicy {
    /// `configured`: 0 or less means one try per configured server.
    pub fn new(configured: i64, servers: usize) -> Self {
        let attempts = if configured > 0 { u32::try_from(configured).ok() } else { u32::try_from(servers).ok() };
        RetryPolicy { attempts: attempts.unwrap_or(u32::MAX).max(1) }
    }

    /// One try and no more: without `[retry]`.
    pub fn off() -> Self {
        RetryPolicy { attempts: 1 }
    }

    pub fn attempts(self) -> u32 {
        self.attempts
    }

    /// Whether the `done`-th try (the first is 1) that ended so is followed by another one.
    pub fn again(self, done: u32, end: AttemptEnd) -> bool {
        done < self.attempts
            && match end {
                AttemptEnd::NotSent => true,
                // Without any server another try finds none either; every other local answer counts as a failed try.
                AttemptEnd::Local(status) => status != 503,
                AttemptEnd::Answered | AttemptEnd::Sent => false,
            }
    }
}
