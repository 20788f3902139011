//! Errors of an exchange with a backend server: cause, phase, and the response that the client gets.

use std::io;

/// The phase of the exchange in which it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangePhase {
    Connect,
    /// The server has refused the request, and certainly not processed any of it (RFC 9113 8.7).
    Refused,
    /// Sending the request: the server may have received a part of it.
    Send,
    /// Waiting for the response head.
    Await,
    /// Forwarding the response: its head has been sent to the client, so the connection can only be closed.
    Stream,
}

/// The cause, as far as it changes the response to the client.
#[derive(Debug)]
pub enum Cause {
    Io(io::Error),
    TimedOut,
    /// The server closed the connection before the message was complete.
    Closed,
    /// The server sent a response that violates HTTP, for this reason.
    Malformed(&'static str),
    /// The TLS handshake failed, or the server's certificate was refused.
    Tls(String),
    /// The server's host name has no IP address.
    Unresolved,
    /// The server cannot be sent this request, for this reason.
    Unsupported(&'static str),
}

impl Cause {
    /// The same cause for another request that fails with it.
    pub fn repeated(&self) -> Cause {
        match self {
            Cause::Io(e) => Cause::Io(io::Error::new(e.kind(), e.to_string())),
            Cause::TimedOut => Cause::TimedOut,
            Cause::Closed => Cause::Closed,
            Cause::Malformed(what) => Cause::Malformed(what),
            Cause::Tls(what) => Cause::Tls(what.clone()),
            Cause::Unresolved => Cause::Unresolved,
            Cause::Unsupported(what) => Cause::Unsupported(what),
        }
    }

    /// Whether a failed connect with this cause counts against the server. A lack of file descriptors in this process does not.
    pub fn is_unreachable(&self) -> bool {
        use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut};
        match self {
            Cause::TimedOut | Cause::Unresolved => true,
            Cause::Io(e) => matches!(
                e.kind(),
                ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable | TimedOut
            ),
            Cause::Closed | Cause::Malformed(_) | Cause::Tls(_) | Cause::Unsupported(_) => false,
        }
    }
}

/// A failed exchange with a backend server.
#[derive(Debug)]
pub struct ProxyError {
    pub phase: ExchangePhase,
    pub cause: Cause,
}

impl ProxyError {
    pub fn new(phase: ExchangePhase, cause: Cause) -> Self {
        ProxyError { phase, cause }
    }

    /// Whether no byte of the request was sent, or the server has refused it: then any method may be retried on another server
    /// (docs/reference/backends.md#retry).
    pub fn is_unsent(&self) -> bool {
        matches!(self.phase, ExchangePhase::Connect | ExchangePhase::Refused)
    }

    /// Whether the server has refused the request without processing any of it: it is shutting down, or has too many requests.
    pub fn is_refused(&self) -> bool {
        self.phase == ExchangePhase::Refused
    }

    /// The same error for a request that cannot be sent again, because a part of its body is gone.
    pub fn after_sending(self) -> Self {
        ProxyError { phase: ExchangePhase::Send, ..self }
    }

    /// Whether the cause is a connection that the server closed or reset: it is shutting down, or had closed an idle connection.
    pub fn is_broken(&self) -> bool {
        match &self.cause {
            Cause::Closed => true,
            Cause::Io(e) => e.kind() != io::ErrorKind::TimedOut,
            Cause::TimedOut | Cause::Malformed(_) | Cause::Tls(_) | Cause::Unresolved | Cause::Unsupported(_) => false,
        }
    }

    /// Whether the server ended the connection in order (FIN), instead of a response.
    pub fn is_closed(&self) -> bool {
        let is_end = match &self.cause {
            Cause::Closed => true,
            // TLS reports an end without close_notify in this way.
            Cause::Io(e) => e.kind() == io::ErrorKind::UnexpectedEof,
            _ => false,
        };
        self.phase == ExchangePhase::Await && is_end
    }

    /// Status and body of the response to the client, for every failure (docs/reference/entry-points.md#backend-and-client-failures,
    /// docs/reference/backends.md#failures).
    pub fn answer(&self) -> (u16, &'static str) {
        match &self.cause {
            Cause::TimedOut => (504, "Gateway Timeout"),
            Cause::Io(e) if e.kind() == io::ErrorKind::TimedOut => (504, "Gateway Timeout"),
            Cause::Io(_) | Cause::Closed | Cause::Unresolved | Cause::Unsupported(_) => (502, "Bad Gateway"),
            // Traefik sends 500 for a response that it cannot parse. 502 says whose fault it is
            // (docs/reference/security-promises.md#malformed-response).
            Cause::Malformed(_) => (502, "Bad Gateway"),
            Cause::Tls(_) => (500, "Internal Server Error"),
        }
    }
}

impl std::fmt::Display for ProxyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let doing = match self.phase {
            ExchangePhase::Connect => "connecting to it",
            ExchangePhase::Refused => "refused by the server",
            ExchangePhase::Send => "sending the request",
            ExchangePhase::Await => "waiting for its response",
            ExchangePhase::Stream => "forwarding its response",
        };
        match &self.cause {
            Cause::Io(e) => write!(f, "{doing}: {e}"),
            Cause::TimedOut => write!(f, "{doing}: timed out"),
            Cause::Closed => write!(f, "{doing}: the server closed the connection"),
            Cause::Malformed(what) => write!(f, "{doing}: malformed response: {what}"),
            Cause::Tls(what) => write!(f, "{doing}: TLS: {what}"),
            Cause::Unresolved => write!(f, "{doing}: the server name has no IP address"),
            Cause::Unsupported(why) => write!(f, "{doing}: {why}"),
        }
    }
}

impl std::error::Error for ProxyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_map_to_documented_responses() {
        let refused = ProxyError::new(ExchangePhase::Connect, Cause::Io(io::ErrorKind::ConnectionRefused.into()));
        assert_eq!(refused.answer(), (502, "Bad Gateway"));
        assert!(refused.is_unsent());
        assert_eq!(ProxyError::new(ExchangePhase::Connect, Cause::TimedOut).answer(), (504, "Gateway Timeout"));
        assert_eq!(ProxyError::new(ExchangePhase::Connect, Cause::Tls("unknown issuer".into())).answer().0, 500);
        let closed = ProxyError::new(ExchangePhase::Send, Cause::Closed);
        assert_eq!(closed.answer().0, 502);
        assert!(!closed.is_unsent(), "a request that the server may have received is not repeated");
        let refused = ProxyError::new(ExchangePhase::Refused, Cause::Closed);
        assert!(refused.is_unsent() && refused.is_refused() && refused.answer().0 == 502);
    }
}
