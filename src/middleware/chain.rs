//! A chain of middlewares in the fixed order, which runs on the request path and, in reverse, on the response path.

use super::error_pages::ErrorPageRequest;
use super::{
    AuthRequest, AuthResponse, ChainState, Label, Middleware, Request, RequestInfo, Response, Verdict, VerifyJob,
};
use crate::http::Reply;

/// Compiled middlewares in their order. A frontend has three chains: `outer` and `inner` (breaker, buffering) run once per request,
/// `attempt` (connection limit, rate limit) once per attempt. An entry point has one (redirect, auth, compress, white list).
#[derive(Debug, Default)]
pub struct Chain {
    middlewares: Box<[Middleware]>,
}

/// The result of a chain on the request path. `at` is the index of the middleware that stopped the request: the response path begins
/// there.
#[derive(Debug)]
pub enum ChainProgress {
    /// All middlewares let the request pass.
    Done,
    Reply {
        reply: Reply,
        label: Option<Label>,
        at: usize,
    },
    Call {
        call: Box<AuthRequest>,
        at: usize,
    },
    Verify {
        verify: Box<VerifyJob>,
        at: usize,
    },
}

impl Chain {
    /// Sorts `middlewares` into the order of docs/reference/middlewares.md#order.
    pub fn new(mut middlewares: Vec<Middleware>) -> Self {
        middlewares.sort_by_key(Middleware::rank);
        Chain { middlewares: middlewares.into() }
    }

    pub fn middlewares(&self) -> &[Middleware] {
        &self.middlewares
    }

    pub fn is_empty(&self) -> bool {
        self.middlewares.is_empty()
    }

    /// Runs the request path, beginning with the middleware at index `from` (0 for a new request).
    pub fn on_request(
        &self,
        from: usize,
        request: &mut Request,
        info: &RequestInfo,
        chain_state: &mut ChainState,
    ) -> ChainProgress {
        for (at, middleware) in self.middlewares.iter().enumerate().skip(from) {
            match middleware.on_request(request, info, chain_state) {
                Verdict::Next => {}
                verdict => return stopped_by(verdict, at),
            }
        }
        ChainProgress::Done
    }

    /// Continues after the [`Verdict::Call`] of the middleware at index `at`, with the server's response, or `None` if the call failed.
    pub fn on_auth_response(
        &self,
        at: usize,
        response: Option<AuthResponse>,
        request: &mut Request,
        info: &RequestInfo,
        chain_state: &mut ChainState,
    ) -> ChainProgress {
        let verdict = match self.middlewares.get(at) {
            Some(Middleware::Forward(middleware)) => middleware.on_auth_response(response, request),
            // Only forward authentication makes calls: a response for any other middleware is a mistake of the caller.
            _ => reject_unexpected_result(),
        };
        self.resume(at, verdict, request, info, chain_state)
    }

    /// Continues after the [`Verdict::Verify`] of the middleware at index `at`. `matches`: the result of the job.
    pub fn on_verified(
        &self,
        at: usize,
        matches: bool,
        request: &mut Request,
        info: &RequestInfo,
        chain_state: &mut ChainState,
    ) -> ChainProgress {
        let verdict = match self.middlewares.get(at) {
            Some(middleware) => middleware.on_verified(matches, request, chain_state),
            None => reject_unexpected_result(),
        };
        self.resume(at, verdict, request, info, chain_state)
    }

    /// Runs the response path, innermost middleware first. `below` is the number of middlewares that see the response: all (the length of
    /// [`Chain::middlewares`]) for a backend's response, `at` for a local reply of the middleware at index `at`.
    ///
    /// Returns the error page to fetch instead, if one replaces this status, and the index of its middleware: the response path of the
    /// page begins there.
    pub fn on_response(
        &self,
        below: usize,
        request: &Request,
        response: &mut Response,
        info: &RequestInfo,
        chain_state: &mut ChainState,
    ) -> Option<(ErrorPageRequest, usize)> {
        for (at, middleware) in self.middlewares.iter().enumerate().take(below).rev() {
            if let Some(error_page) = middleware.on_response(request, response, info, chain_state) {
                return Some((error_page, at));
            }
        }
        None
    }

    fn resume(
        &self,
        at: usize,
        verdict: Verdict,
        request: &mut Request,
        info: &RequestInfo,
        chain_state: &mut ChainState,
    ) -> ChainProgress {
        match verdict {
            Verdict::Next => self.on_request(at + 1, request, info, chain_state),
            verdict => stopped_by(verdict, at),
        }
    }
}

fn stopped_by(verdict: Verdict, at: usize) -> ChainProgress {
    match verdict {
        Verdict::Next => ChainProgress::Done,
        Verdict::Reply { reply, label } => ChainProgress::Reply { reply, label, at },
        Verdict::Call(call) => ChainProgress::Call { call, at },
        Verdict::Verify(verify) => ChainProgress::Verify { verify, at },
    }
}

/// The verdict if a result is passed to a middleware that did not request one, a mistake of the caller: 500, because letting the request
/// pass would bypass authentication.
pub(super) fn reject_unexpected_result() -> Verdict {
    Verdict::Reply { reply: Reply::text(500, "Internal Server Error"), label: None }
}
