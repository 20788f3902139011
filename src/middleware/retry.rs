//! The retry policy: whether a failed attempt is followed by another one (docs/reference/backends.md#retry). The worker applies it; it is
//! not a middleware, because each attempt runs the attempt chain, chooses a server and forwards the request.

/// The end of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The backend responded, with whatever status.
    Answered,
    /// No byte of the request was sent: connecting or the TLS handshake failed or timed out.
    NotSent,
    /// The backend failed after request bytes had been written: it may have acted on them.
    Sent,
    /// A local reply with this status: a middleware of the attempt chain made it, or no server was available.
    Local(u16),
}

/// The maximum number of attempts per request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
}

impl RetryPolicy {
    /// `configured`: 0 or less means one attempt per configured server, at least one.
    pub fn new(configured: i64, servers: usize) -> Self {
        let attempts = if configured > 0 { u32::try_from(configured).ok() } else { u32::try_from(servers).ok() };
        RetryPolicy { attempts: attempts.unwrap_or(u32::MAX).max(1) }
    }

    /// A single attempt, for a configuration without `[retry]`.
    pub fn off() -> Self {
        RetryPolicy { attempts: 1 }
    }

    pub fn attempts(self) -> u32 {
        self.attempts
    }

    /// Whether attempt `done` (the first is 1), which ended with `end`, is followed by another one.
    pub fn again(self, done: u32, end: AttemptEnd) -> bool {
        done < self.attempts
            && match end {
                AttemptEnd::NotSent => true,
                // 503 means that no server is up: another attempt would find none either. Every other local reply is a failed attempt.
                AttemptEnd::Local(status) => status != 503,
                AttemptEnd::Answered | AttemptEnd::Sent => false,
            }
    }
}
