//! What to do with a head: the middlewares of Traefik v1 as steps of one closed enum, compiled once, in one fixed order
//! (docs/reference/middlewares.md#order). Pure: a step may count in its own state, but does no I/O; time and random bytes come with [`Facts`].
//!
//! A step answers with a [`Verdict`]. What it cannot do itself it hands out as a value: one upstream call ([`Ask`]) or a
//! piece of work that takes long ([`Verify`]); the worker does it and hands the result back.

pub mod basic_auth;
pub mod breaker;
pub mod buffering;
pub mod chain;
pub mod chain_state;
pub mod client_cert;
pub mod compress;
pub mod credentials;
pub mod digest_auth;
pub mod error_pages;
pub mod expression;
pub mod request_info;
pub mod forward_auth;
pub mod gzip;
pub mod headers;
pub mod max_conn;
pub mod md5_crypt;
pub mod message;
pub mod rate_limit;
pub mod redirect;
pub mod request_permit;
pub mod retry;
pub mod security_headers;
pub mod source_extractor;
pub mod redirect_template;
pub mod white_list;

mod rolling_window;

pub use chain::{Chain, ChainProgress};
pub use chain_state::ChainState;
pub use credentials::VerifyJob;
pub use forward_auth::{AuthRequest, AuthResponse};
pub use message::{Request, Response};
pub use request_info::{ChainScope, Label, Now, RequestInfo};

use crate::http::Reply;
use error_pages::ErrorPageRequest;

/// One step of a chain; [`Chain::new`] puts steps into their fixed order.
#[derive(Debug)]
pub enum Middleware {
    ErrorPages(error_pages::ErrorPages),
    /// A frontend's white list, which comes early; an entry point's is [`Middleware::EntryWhiteList`].
    WhiteList(white_list::WhiteList),
    Redirect(redirect::Redirect),
    RequestHeaders(headers::CustomHeaders),
    ResponseHeaders(headers::CustomHeaders),
    Secure(Box<security_headers::SecurityHeaders>),
    /// The deprecated `basicAuth` list, which comes before `auth` and does not replace it.
    BasicList(basic_auth::BasicAuth),
    ClientCert(client_cert::ClientCert),
    Basic(basic_auth::BasicAuth),
    Digest(digest_auth::DigestAuth),
    Forward(forward_auth::ForwardAuth),
    /// Entry points only.
    Compress,
    /// The last of an entry point's chain: a 401 is sent before the list is looked at (docs/reference/entry-points.md#request-path).
    EntryWhiteList(white_list::WhiteList),
    Breaker(breaker::Breaker),
    Buffering(buffering::Buffering),
    MaxConn(max_conn::MaxConn),
    RateLimit(rate_limit::RateLimit),
}

/// What a step wants.
#[derive(Debug)]
pub enum Verdict {
    /// The next step, or the backend.
    Next,
    /// This answer, and no further steps. Without a label the access log names frontend and backend as usual.
    Reply { reply: Reply, label: Option<Label> },
    /// One call to another server; its answer goes to [`Chain::on_answer`].
    Ask(Box<AuthRequest>),
    /// Work for a thread pool; its result goes to [`Chain::on_verified`].
    Verify(Box<VerifyJob>),
}

impl Verdict {
    fn reply(reply: Reply, label: &Label) -> Self {
        Verdict::Reply { reply, label: Some(label.clone()) }
    }
}

impl Middleware {
    /// The step's turn on the way in.
    pub fn on_request(&self, request: &mut Request, facts: &RequestInfo, passage: &mut ChainState) -> Verdict {
        match self {
            Middleware::WhiteList(step) | Middleware::EntryWhiteList(step) => step.on_request(request, facts),
            Middleware::Redirect(step) => step.on_request(request, facts),
            Middleware::RequestHeaders(step) => step.on_request(request),
            Middleware::Secure(step) => step.on_request(request, facts, passage),
            Middleware::BasicList(step) | Middleware::Basic(step) => step.on_request(request, passage),
            Middleware::Digest(step) => step.on_request(request, facts, passage),
            Middleware::Forward(step) => step.on_request(request, facts),
            Middleware::ClientCert(step) => step.on_request(request, facts),
            Middleware::Breaker(step) => step.on_request(facts, passage),
            Middleware::Buffering(step) => step.on_request(request),
            Middleware::MaxConn(step) => step.on_request(request, facts, passage),
            Middleware::RateLimit(step) => step.on_request(request, facts),
            Middleware::Compress => compress::on_request(request, passage),
            // These two act on responses only.
            Middleware::ErrorPages(_) | Middleware::ResponseHeaders(_) => Verdict::Next,
        }
    }

    /// The step's turn on the way back. An error page asks for its own request; the answer so far is then dropped.
    pub fn on_response(
        &self,
        request: &Request,
        answer: &mut Response,
        facts: &RequestInfo,
        passage: &mut ChainState,
    ) -> Option<ErrorPageRequest> {
        match self {
            Middleware::ErrorPages(step) => return step.page_for(answer.status()),
            Middleware::Secure(step) => step.on_response(answer, facts, passage),
            Middleware::ResponseHeaders(step) => step.on_response(answer),
            Middleware::Breaker(step) => step.on_response(answer.status(), facts, passage),
            Middleware::Compress => compress::on_response(request, answer, passage),
            // These decide about requests only. Buffering's work on bodies is the worker's, by `Buffering`'s own methods;
            // a connection's lease is given back when the passage is cleared.
            Middleware::WhiteList(_)
            | Middleware::EntryWhiteList(_)
            | Middleware::Redirect(_)
            | Middleware::RequestHeaders(_)
            | Middleware::BasicList(_)
            | Middleware::Basic(_)
            | Middleware::Digest(_)
            | Middleware::Forward(_)
            | Middleware::ClientCert(_)
            | Middleware::Buffering(_)
            | Middleware::MaxConn(_)
            | Middleware::RateLimit(_) => {}
        }
        None
    }

    /// The place in the fixed order.
    fn rank(&self) -> u8 {
        match self {
            Middleware::ErrorPages(_) => 0,
            Middleware::WhiteList(_) => 1,
            Middleware::Redirect(_) => 2,
            Middleware::RequestHeaders(_) => 3,
            // Before `Secure`, so that on the way back it comes after it: a custom header wins.
            Middleware::ResponseHeaders(_) => 4,
            Middleware::Secure(_) => 5,
            Middleware::BasicList(_) => 6,
            Middleware::ClientCert(_) => 7,
            Middleware::Basic(_) => 8,
            Middleware::Digest(_) => 9,
            Middleware::Forward(_) => 10,
            Middleware::Compress => 11,
            Middleware::EntryWhiteList(_) => 12,
            Middleware::Breaker(_) => 13,
            Middleware::Buffering(_) => 14,
            Middleware::MaxConn(_) => 15,
            Middleware::RateLimit(_) => 16,
        }
    }
}

// A chain is one run of memory: a step that outgrows the others belongs in a box.
const _: () = assert!(size_of::<Middleware>() <= 256);
