//! What a step knows beside the head: arguments in, notes out. No step asks the world for anything.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// The two clocks as they stood when the step was called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds of a clock that only goes forward; all workers must read the same one.
    pub mono_nanos: u64,
    /// Seconds since 1970, UTC.
    pub unix_secs: u64,
}

/// What is true of one request outside of its head.
#[derive(Clone, Copy)]
pub struct RequestInfo<'a> {
    /// The peer's address: the socket's, or what a trusted PROXY line said. Never X-Forwarded-For.
    pub peer: IpAddr,
    /// The peer's port, of the same source.
    pub peer_port: u16,
    /// The client's connection is TLS.
    pub secure: bool,
    /// The peer's own X-Forwarded-* words count: judged by its address alone.
    pub trusted: bool,
    /// The proxies in front whose words count; empty where everybody's do.
    pub proxies: &'a [IpNet],
    pub now: Now,
    /// Path and query after the path modifiers.
    pub target: &'a [u8],
    /// Path and query as the client sent them.
    pub original_target: &'a [u8],
    /// A strip or replace modifier ran, so a redirect must lead back to the original path (docs/reference/middlewares.md#redirect).
    pub path_replaced: bool,
    /// What an AddPrefix modifier put in front; empty if none ran.
    pub added_prefix: &'a [u8],
    /// The client's certificates in DER, its own first; empty without client TLS authentication.
    pub client_certs: &'a [Vec<u8>],
    /// Fills a slice with bytes nobody can predict. Called only by the steps that need some.
    pub random: fn(&mut [u8]),
}

/// Where a chain sits: it names itself in the access log (docs/reference/logs.md#labels-of-local-replies).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainScope<'a> {
    EntryPoint(&'a str),
    Frontend(&'a str),
}

/// The name an answer carries in the access log instead of the frontend's.
pub type Label = Arc<str>;

impl ChainScope<'_> {
    /// `redirect`'s label: `entrypoint redirect for http`, `frontend redirect for web`.
    pub fn redirect(self) -> Label {
        match self {
            ChainScope::EntryPoint(name) => format!("entrypoint redirect for {name}").into(),
            ChainScope::Frontend(name) => format!("frontend redirect for {name}").into(),
        }
    }

    /// `Auth for entrypoint http`, `Auth for web`, `ipwhitelister for entrypoint http` and so on.
    pub fn label(self, what: &str) -> Label {
        match self {
            ChainScope::EntryPoint(name) => format!("{what} for entrypoint {name}").into(),
            ChainScope::Frontend(name) => format!("{what} for {name}").into(),
        }
    }
}
