//! What can go wrong between a client and a backend: whose fault, at which point, and what the client is told.

use std::io;

/// Where the exchange was when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangePhase {
    Connect,
    /// Sending the request: the backend may have seen some of it.
    Send,
    /// Waiting for the response head.
    Await,
    /// The response's head has gone to the client: only closing is left.
    Stream,
}

/// The cause, as far as it changes the answer.
#[derive(Debug)]
pub enum Cause {
    Io(io::Error),
    TimedOut,
    /// The backend closed before the message was complete.
    Closed,
    /// What the backend sent is no HTTP response we accept.
    Malformed(&'static str),
    /// The backend's certificate or handshake.
    Tls(String),
    /// The backend's name has no address.
    Unresolved,
}

impl Cause {
    /// Whether a connect that failed so says something about the server; a lack of descriptors here does not.
    pub fn is_unreachable(&self) -> bool {
        use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut};
        match self {
            Cause::TimedOut | Cause::Unresolved => true,
            Cause::Io(e) => matches!(
                e.kind(),
                ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable | TimedOut
            ),
            Cause::Closed | Cause::Malformed(_) | Cause::Tls(_) => false,
        }
    }
}

/// A failed exchange with a backend.
#[derive(Debug)]
pub struct ProxyError {
    pub phase: ExchangePhase,
    pub cause: Cause,
}

impl ProxyError {
    pub fn new(phase: ExchangePhase, cause: Cause) -> Self {
        ProxyError { phase, cause }
    }

    /// Nothing of the request reached a backend: any method may be tried on another server (docs/reference/backends.md#retry).
    pub fn is_unsent(&self) -> bool {
        self.phase == ExchangePhase::Connect
    }

    /// The connection broke off without an answer: a server that is told to stop, or one that had given the connection up.
    pub fn is_broken(&self) -> bool {
        match &self.cause {
            Cause::Closed => true,
            Cause::Io(e) => e.kind() != io::ErrorKind::TimedOut,
            Cause::TimedOut | Cause::Malformed(_) | Cause::Tls(_) | Cause::Unresolved => false,
        }
    }

    /// THE table from failure to answer (docs/reference/entry-points.md#backend-and-client-failures, docs/reference/backends.md#failures): status and body.
    pub fn answer(&self) -> (u16, &'static str) {
        match &self.cause {
            Cause::TimedOut => (504, "Gateway Timeout"),
            Cause::Io(e) if e.kind() == io::ErrorKind::TimedOut => (504, "Gateway Timeout"),
            Cause::Io(_) | Cause::Closed | Cause::Unresolved => (502, "Bad Gateway"),
            // Traefik answers 500 to a response it cannot parse; docs/reference/security-promises.md#malformed-response ask for 502, the honest code.
            Cause::Malformed(_) => (502, "Bad Gateway"),
            Cause::Tls(_) => (500, "Internal Server Error"),
        }
    }
}

impl std::fmt::Display for ProxyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let doing = match self.phase {
            ExchangePhase::Connect => "connecting to it",
            ExchangePhase::Send => "sending the request",
            ExchangePhase::Await => "waiting for its response",
            ExchangePhase::Stream => "passing its response on",
        };
        match &self.cause {
            Cause::Io(e) => write!(f, "{doing}: {e}"),
            Cause::TimedOut => write!(f, "{doing}: timed out"),
            Cause::Closed => write!(f, "{doing}: it closed the connection"),
            Cause::Malformed(what) => write!(f, "{doing}: malformed response: {what}"),
            Cause::Tls(what) => write!(f, "{doing}: TLS: {what}"),
            Cause::Unresolved => write!(f, "{doing}: its name has no address"),
        }
    }
}

impl std::error::Error for ProxyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_are_those_of_the_contract() {
        let refused = ProxyError::new(ExchangePhase::Connect, Cause::Io(io::ErrorKind::ConnectionRefused.into()));
        assert_eq!(refused.answer(), (502, "Bad Gateway"));
        assert!(refused.is_unsent());
        assert_eq!(ProxyError::new(ExchangePhase::Connect, Cause::TimedOut).answer(), (504, "Gateway Timeout"));
        assert_eq!(ProxyError::new(ExchangePhase::Connect, Cause::Tls("unknown issuer".into())).answer().0, 500);
        let closed = ProxyError::new(ExchangePhase::Send, Cause::Closed);
        assert_eq!(closed.answer().0, 502);
        assert!(!closed.is_unsent(), "a request that may have been seen is not repeated");
    }
}
