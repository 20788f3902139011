//! The retry policy: whether a failed attempt is followed by another one (docs/reference/backends.md#retry). The worker applies it; it is
//! not a middleware, because each attempt runs the attempt chain, chooses a server and forwards the request.

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

    pub fn attempts(self) -> u32 {
        self.attempts
    }

    /// Whether attempt `done` (the first is 1), which ended with a local reply, is followed by another one. 503 means that no server is up:
    /// another attempt would find none either.
    pub fn repeats_local_reply(self, done: u32, status: u16) -> bool {
        done < self.attempts && status != 503
    }
}
