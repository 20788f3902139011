//! The reusable memory and state of one exchange. A context is kept between requests and lent to another connection when its own is idle,
//! so that a warm request allocates nothing and an idle connection holds nothing.

use ipnet::IpNet;

use super::buffers::BufferPool;
use super::client_info::{ClientInfo, fill_random, unmap_ipv4};
use crate::http::{Edits, RequestHead, RequestView, ResponseHead};
use crate::limits;
use crate::middleware::{ChainState, Now, Request, RequestInfo};
use crate::observe::trace::RequestTrace;
use crate::rule;

/// The memory of one exchange.
#[derive(Default)]
pub struct ExchangeContext {
    pub head: RequestHead,
    /// The bytes of the request's head; the head's ranges point in here.
    pub bytes: Vec<u8>,
    pub edits: Edits,
    /// The target after the path modifiers; only meaningful if `path.changed`.
    pub target: Vec<u8>,
    pub path: PathRewrite,
    pub chain_state: ChainState,
    pub scratch: rule::Scratch,
    pub response: UpstreamResponse,
    /// The request's body has been read to its end, so another request may follow.
    pub body_read: bool,
    /// The request, if it has to be sent again although its body has been read.
    pub unprocessed: UnprocessedRequest,
    /// Why the last attempt failed, for `/api/errors`; empty if none failed.
    pub failure: String,
    /// The request's trace; `None` as long as tracing is off.
    pub trace: Option<Box<RequestTrace>>,
}

/// The body of a request that was sent, and that the server certainly has not processed.
#[derive(Default)]
pub struct UnprocessedRequest {
    /// The body without framing.
    pub payload: Vec<u8>,
    /// `payload` is the whole body of the request, which is sent again.
    pub is_kept: bool,
    /// The attempt in progress keeps the body that it sends.
    pub is_wanted: bool,
}

impl UnprocessedRequest {
    pub fn keep(&mut self, payload: Vec<u8>) {
        (self.payload, self.is_kept) = (payload, true);
    }
}

/// A server's response, without its body.
#[derive(Default)]
pub struct UpstreamResponse {
    pub head: ResponseHead,
    /// The bytes of the response's head; the head's ranges point in here.
    pub bytes: Vec<u8>,
    pub edits: Edits,
    /// The head as the client got it, for the access log; empty if no line shows it.
    pub sent_head: Vec<u8>,
    /// The server of the last attempt has sent bytes, so the request is not sent again.
    pub has_begun: bool,
    /// The server of the last attempt closed the connection before it could read the request, so the request may be sent again.
    pub is_unprocessed: bool,
    /// A pooled connection was stale when the request went out on it, and the request is sent again. Other pooled connections may be stale
    /// as well, and a third sending is one too many: further attempts use new connections.
    pub repeated: bool,
    /// The attempt probes an ejected server: it uses a new connection.
    pub is_probe: bool,
}

impl UpstreamResponse {
    /// Clears the response; the memory is kept for the next one.
    pub fn forget(&mut self, buffers: &BufferPool) {
        self.edits.clear();
        self.has_begun = false;
        self.is_unprocessed = false;
        if self.bytes.capacity() > 0 {
            buffers.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

/// The changes that the path modifiers made.
#[derive(Debug, Default)]
pub struct PathRewrite {
    pub changed: bool,
    /// A strip or a replacement ran: redirects lead back to the original path (docs/reference/middlewares.md#redirect).
    pub replaced: bool,
    pub added_prefix: Vec<u8>,
}

impl ExchangeContext {
    /// Clears the last request; the memory is kept for the next one.
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
        self.failure.clear();
        if self.unprocessed.is_kept {
            self.unprocessed = UnprocessedRequest::default();
        }
        self.response.forget(buffers);
        self.response.repeated = false;
        self.response.sent_head.clear();
        if self.response.sent_head.capacity() > limits::POOLED_BUFFER_BYTES_MAX {
            self.response.sent_head = Vec::new();
        }
        // One request with a very long target must not cost its size for the life of the process.
        if self.target.capacity() > limits::POOLED_BUFFER_BYTES_MAX {
            self.target = Vec::new();
        }
    }

    pub fn view(&self) -> RequestView<'_> {
        RequestView { head: &self.head, bytes: &self.bytes, edits: &self.edits }
    }

    /// The target as it is sent to the server.
    pub fn target(&self) -> &[u8] {
        if self.path.changed { &self.target } else { self.head.target.of(&self.bytes) }
    }

    /// The input of a chain's middlewares: the request, the read-only information about it, and the chain state.
    pub fn chain_input<'a>(
        &'a mut self,
        peer: &'a ClientInfo,
        proxies: &'a [IpNet],
        now: Now,
    ) -> (Request<'a>, RequestInfo<'a>, &'a mut ChainState) {
        let original_target = self.head.target.of(&self.bytes);
        let info = RequestInfo {
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
        (Request { head: &self.head, bytes: &self.bytes, edits: &mut self.edits }, info, &mut self.chain_state)
    }
}
