//! The facts about a request that middlewares get beside its head. Middlewares read no clock and no socket: all facts are arguments.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// The two clocks, read before the chain was called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds of a monotonic clock; all workers must read the same one.
    pub mono_nanos: u64,
    /// Seconds since 1970, UTC.
    pub unix_secs: u64,
}

/// Facts about one request that are not in its head.
#[derive(Clone, Copy)]
pub struct RequestInfo<'a> {
    /// The peer's address: that of the socket, or that of a trusted PROXY protocol header. Never X-Forwarded-For.
    pub peer: IpAddr,
    /// The peer's port, from the same source as its address.
    pub peer_port: u16,
    /// Whether the client's connection is TLS.
    pub secure: bool,
    /// Whether X-Forwarded-* fields of the peer count; its address alone decides that.
    pub trusted: bool,
    /// The trusted proxies in front of this one; empty if every peer is trusted.
    pub proxies: &'a [IpNet],
    pub now: Now,
    /// Path and query after the path modifiers.
    pub target: &'a [u8],
    /// Path and query as the client sent them.
    pub original_target: &'a [u8],
    /// A strip or replace modifier ran, so a redirect must lead back to the original path (docs/reference/middlewares.md#redirect).
    pub path_replaced: bool,
    /// The prefix that an AddPrefix modifier added; empty if none ran.
    pub added_prefix: &'a [u8],
    /// The client's certificates in DER, its own first; empty without client TLS authentication.
    pub client_certs: &'a [Vec<u8>],
    /// Fills a slice with unpredictable bytes. Only the middlewares that need some call it.
    pub random: fn(&mut [u8]),
}

/// The owner of a chain, which the access log names after a local reply (docs/reference/logs.md#labels-of-local-replies).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainScope<'a> {
    EntryPoint(&'a str),
    Frontend(&'a str),
}

/// The name of a local reply in the access log, in place of the frontend's name.
pub type Label = Arc<str>;

impl ChainScope<'_> {
    /// The label of a redirect: `entrypoint redirect for http`, `frontend redirect for web`.
    pub fn redirect(self) -> Label {
        match self {
            ChainScope::EntryPoint(name) => format!("entrypoint redirect for {name}").into(),
            ChainScope::Frontend(name) => format!("frontend redirect for {name}").into(),
        }
    }

    /// The label of any other middleware: `Auth for entrypoint http`, `Auth for web`, `ipwhitelister for entrypoint http` and so on.
    pub fn label(self, what: &str) -> Label {
        match self {
            ChainScope::EntryPoint(name) => format!("{what} for entrypoint {name}").into(),
            ChainScope::Frontend(name) => format!("{what} for {name}").into(),
        }
    }
}
