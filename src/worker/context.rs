//! What one conversation with a client needs while a request is under way. Kept between requests and lent to the next connection
//! when this one is idle, so that a warm request allocates nothing and an idle connection holds nothing.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::read_buffer::{BufferPool, ReadBuffer};
use crate::http::{Edits, RequestHead, RequestView, ResponseHead};
use crate::limits;
use crate::middleware::{ChainState, Now, Request, RequestInfo};
use crate::rule;

/// Who is on the other end of a client connection.
#[derive(Debug, Clone)]
pub struct ClientInfo {
    /// Index of the entry point.
    pub entry: usize,
    pub address: SocketAddr,
    /// The address as text, for the fields and the log.
    pub ip_text: Box<str>,
    pub secure: bool,
    /// The certificates it showed in its TLS handshake, in DER, its own first.
    pub certs: Vec<Vec<u8>>,
    /// The peer's own X-Forwarded-* words count: judged by its address alone.
    pub trusted: bool,
}

/// The memory of one exchange.
#[derive(Default)]
pub struct ExchangeContext {
    /// Bytes from the client behind the head.
    pub read_buffer: ReadBuffer,
    pub head: RequestHead,
    /// The bytes of the head; its ranges point in here.
    pub bytes: Vec<u8>,
    pub edits: Edits,
    /// The target after the path modifiers; only meaningful when `path.changed`.
    pub target: Vec<u8>,
    pub path: PathRewrite,
    pub chain_state: ChainState,
    pub scratch: rule::Scratch,
    pub out: Vec<u8>,
    pub response: UpstreamResponse,
    /// The request's body has been read to its end, so another request may follow.
    pub body_read: bool,
}

/// The backend's side of it.
#[derive(Default)]
pub struct UpstreamResponse {
    pub read_buffer: ReadBuffer,
    pub head: ResponseHead,
    pub bytes: Vec<u8>,
    pub edits: Edits,
    pub out: Vec<u8>,
    /// A kept connection was dead when the request went out on it, and the request is repeated. A second kept one may be dead as well,
    /// and a third sending is one too many: what is tried now is tried on new connections.
    pub repeated: bool,
}

impl UpstreamResponse {
    /// Forgets a response; memory stays, and bytes that follow it too.
    pub fn forget(&mut self, buffers: &BufferPool) {
        self.edits.clear();
        if self.bytes.capacity() > 0 {
            buffers.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

/// What the path modifiers did.
#[derive(Debug, Default)]
pub struct PathRewrite {
    pub changed: bool,
    /// A strip or a replacement ran: redirects lead back to the original path (docs/reference/middlewares.md#redirect).
    pub replaced: bool,
    pub added_prefix: Vec<u8>,
}

impl ExchangeContext {
    /// Forgets the last request; memory and unread bytes stay.
    pub fn clear(&mut self, buffers: &BufferPool) {
        if self.bytes.capacity() > 0 {
            buffers.give_back(std::mem::take(&mut self.bytes));
        }
        self.edits.clear();
        self.chain_state.clear();
        self.path.changed = false;
        self.path.replaced = false;
        self.path.added_prefix.clear();
        self.body_read = false;
        self.response.forget(buffers);
        self.response.repeated = false;
        // Bytes of a backend that nobody asked for must never become a response to anyone (docs/reference/security-promises.md#unsolicited-response).
        self.response.read_buffer.discard(buffers);
        // One request with a very large head must not cost its size for the life of the process.
        for buffer in [&mut self.out, &mut self.target, &mut self.response.out] {
            if buffer.capacity() > limits::POOLED_BUFFER_BYTES_MAX {
                *buffer = Vec::new();
            }
        }
    }

    pub fn view(&self) -> RequestView<'_> {
        RequestView { head: &self.head, bytes: &self.bytes, edits: &self.edits }
    }

    /// The target as it goes to the backend.
    pub fn target(&self) -> &[u8] {
        if self.path.changed { &self.target } else { self.head.target.of(&self.bytes) }
    }

    /// The request as the steps of a chain take it, with the facts beside it and room for their notes.
    pub fn chain_input<'a>(
        &'a mut self,
        peer: &'a ClientInfo,
        proxies: &'a [IpNet],
        now: Now,
    ) -> (Request<'a>, RequestInfo<'a>, &'a mut ChainState) {
        let original_target = self.head.target.of(&self.bytes);
        let facts = RequestInfo {
            peer: unmap_ipv4(peer.address.ip()),
            peer_port: peer.address.port(),
            secure: peer.secure,
            trusted: peer.trusted,
            proxies,
            now,
            target: if self.path.changed { &self.target } else { original_target },
            original_target,
            path_replaced: self.path.replaced,
            added_prefix: &self.path.added_prefix,
            client_certs: &peer.certs,
            random: fill_random,
        };
        (Request { head: &self.head, bytes: &self.bytes, edits: &mut self.edits }, facts, &mut self.chain_state)
    }
}

/// An IPv4 client that came over an IPv6 socket is an IPv4 client.
pub fn unmap_ipv4(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Unpredictable bytes; a system without a random source must not go on with guessable ones.
pub fn fill_random(bytes: &mut [u8]) {
    if aws_lc_rs::rand::fill(bytes).is_err() {
        std::process::abort();
    }
}
