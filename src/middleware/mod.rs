//! The middlewares of Traefik v1, which decide by the head of a request or response. They are variants of one closed enum, compiled once,
//! and run in one fixed order (docs/reference/middlewares.md#order). A middleware does no I/O, but may count in its own state; time and
//! random bytes are arguments ([`RequestInfo`]).
//!
//! A middleware returns a [`Verdict`]. Work that it cannot do itself it returns as a value: a call to another server ([`AuthRequest`]) or
//! a slow computation ([`VerifyJob`]). The worker does the work and passes the result back to the [`Chain`].

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
pub mod tcp_max_conn;
pub mod redirect_template;
pub mod validators;
pub mod white_list;

mod preview;
mod rolling_window;

pub use chain::{Chain, ChainProgress};
pub use chain_state::ChainState;
pub use credentials::VerifyJob;
pub use forward_auth::{AuthRequest, AuthResponse};
pub use message::{Request, Response};
pub use request_info::{ChainScope, Label, Now, RequestInfo};

use crate::http::Reply;
use error_pages::ErrorPageRequest;

/// An element of a chain. [`Chain::new`] sorts middlewares into their fixed order.
#[derive(Debug)]
pub enum Middleware {
    ErrorPages(error_pages::ErrorPages),
    /// The white list of a frontend, which runs early. That of an entry point is [`Middleware::EntryWhiteList`].
    WhiteList(white_list::WhiteList),
    Redirect(redirect::Redirect),
    RequestHeaders(headers::CustomHeaders),
    ResponseHeaders(headers::CustomHeaders),
    Secure(Box<security_headers::SecurityHeaders>),
    /// The deprecated `basicAuth` list, which runs before `auth` and does not replace it.
    BasicList(basic_auth::BasicAuth),
    ClientCert(client_cert::ClientCert),
    Basic(basic_auth::BasicAuth),
    Digest(digest_auth::DigestAuth),
    Forward(forward_auth::ForwardAuth),
    /// Entry points only.
    Compress,
    /// The last middleware of an entry point: a 401 is sent before this list is checked (docs/reference/entry-points.md#request-path).
    EntryWhiteList(white_list::WhiteList),
    Breaker(breaker::Breaker),
    Buffering(buffering::Buffering),
    MaxConn(max_conn::MaxConn),
    RateLimit(rate_limit::RateLimit),
}

/// The decision of a middleware about a request.
#[derive(Debug)]
pub enum Verdict {
    /// Continue with the next middleware, or forward the request.
    Next,
    /// Send this local reply and run no further middleware. Without a label the access log names frontend and backend as usual.
    Reply { reply: Reply, label: Option<Label> },
    /// Make one call to another server and pass its response to [`Chain::on_auth_response`].
    Call(Box<AuthRequest>),
    /// Run this job in a thread pool and pass its result to [`Chain::on_verified`].
    Verify(Box<VerifyJob>),
}

impl Verdict {
    fn reply(reply: Reply, label: &Label) -> Self {
        Verdict::Reply { reply, label: Some(label.clone()) }
    }
}

impl Middleware {
    /// Runs the middleware on the request path.
    pub fn on_request(&self, request: &mut Request, info: &RequestInfo, chain_state: &mut ChainState) -> Verdict {
        match self {
            Middleware::WhiteList(middleware) | Middleware::EntryWhiteList(middleware) => {
                middleware.on_request(request, info)
            }
            Middleware::Redirect(middleware) => middleware.on_request(request, info),
            Middleware::RequestHeaders(middleware) => middleware.on_request(request),
            Middleware::Secure(middleware) => middleware.on_request(request, info, chain_state),
            Middleware::BasicList(middleware) | Middleware::Basic(middleware) => {
                middleware.on_request(request, chain_state)
            }
            Middleware::Digest(middleware) => middleware.on_request(request, info, chain_state),
            Middleware::Forward(middleware) => middleware.on_request(request, info),
            Middleware::ClientCert(middleware) => middleware.on_request(request, info),
            Middleware::Breaker(middleware) => middleware.on_request(info, chain_state),
            Middleware::Buffering(middleware) => middleware.on_request(request),
            Middleware::MaxConn(middleware) => middleware.on_request(request, info, chain_state),
            Middleware::RateLimit(middleware) => middleware.on_request(request, info),
            Middleware::Compress => compress::on_request(request, chain_state),
            // These two act on responses only.
            Middleware::ErrorPages(_) | Middleware::ResponseHeaders(_) => Verdict::Next,
        }
    }

    /// Continues after a [`Verdict::Verify`] of this middleware, with the result of the job.
    pub fn on_verified(&self, matches: bool, request: &mut Request, chain_state: &mut ChainState) -> Verdict {
        match self {
            Middleware::Basic(middleware) | Middleware::BasicList(middleware) => {
                middleware.on_verified(matches, request, chain_state)
            }
            _ => chain::reject_unexpected_result(),
        }
    }

    /// Runs the middleware on the response path. `Some` if an error page replaces the response: the caller drops the response and fetches
    /// the page.
    pub fn on_response(
        &self,
        request: &Request,
        response: &mut Response,
        info: &RequestInfo,
        chain_state: &mut ChainState,
    ) -> Option<ErrorPageRequest> {
        match self {
            Middleware::ErrorPages(middleware) => return middleware.page_for(response.status()),
            Middleware::Secure(middleware) => middleware.on_response(response, info, chain_state),
            Middleware::ResponseHeaders(middleware) => middleware.on_response(response),
            Middleware::Breaker(middleware) => middleware.on_response(response.status(), info, chain_state),
            Middleware::Compress => compress::on_response(request, response, chain_state),
            // These act on requests only. The worker buffers bodies with `Buffering`'s own methods; the permit of a connection limit is
            // released by `ChainState`.
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

    /// The position in the fixed order.
    fn rank(&self) -> u8 {
        match self {
            Middleware::ErrorPages(_) => 0,
            Middleware::WhiteList(_) => 1,
            Middleware::Redirect(_) => 2,
            Middleware::RequestHeaders(_) => 3,
            // Before `Secure`, so that it runs after `Secure` on the response path: a custom header wins.
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

// A chain is one block of memory, in which each middleware takes the size of the largest: box a variant that is larger than the others.
const _: () = assert!(size_of::<Middleware>() <= 256);
