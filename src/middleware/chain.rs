//! A chain of steps in the fixed order, and the walk through it in both directions.

use super::error_pages::ErrorPageRequest;
use super::{
    AuthRequest, AuthResponse, ChainState, Label, Middleware, Request, RequestInfo, Response, Verdict, VerifyJob,
};
use crate::http::Reply;

/// Compiled steps. A frontend has two: `outer` (once per request) and `attempt` (once per try: connections and rate);
/// an entry point has one of its own (redirect, auth, compress, white list).
#[derive(Debug, Default)]
pub struct Chain {
    steps: Box<[Middleware]>,
}

/// How far a request came. `at` is the step that stopped it: the way back begins there.
#[derive(Debug)]
pub enum ChainProgress {
    /// All steps passed.
    Done,
    Reply {
        reply: Reply,
        label: Option<Label>,
        at: usize,
    },
    Ask {
        ask: Box<AuthRequest>,
        at: usize,
    },
    Verify {
        verify: Box<VerifyJob>,
        at: usize,
    },
}

impl Chain {
    /// Puts the steps into the order of docs/reference/middlewares.md#order, whatever order they come in.
    pub fn new(mut steps: Vec<Middleware>) -> Self {
        steps.sort_by_key(Middleware::rank);
        Chain { steps: steps.into() }
    }

    pub fn steps(&self) -> &[Middleware] {
        &self.steps
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Walks a request in, starting at step `from` (0 for a new request).
    pub fn on_request(
        &self,
        from: usize,
        request: &mut Request,
        facts: &RequestInfo,
        passage: &mut ChainState,
    ) -> ChainProgress {
        for (at, step) in self.steps.iter().enumerate().skip(from) {
            match step.on_request(request, facts, passage) {
                Verdict::Next => {}
                verdict => return stopped(verdict, at),
            }
        }
        ChainProgress::Done
    }

    /// Goes on after an [`Ask`] of step `at`. `None`: the call failed.
    pub fn on_answer(
        &self,
        at: usize,
        answer: Option<AuthResponse>,
        request: &mut Request,
        facts: &RequestInfo,
        passage: &mut ChainState,
    ) -> ChainProgress {
        let verdict = match self.steps.get(at) {
            Some(Middleware::Forward(step)) => step.on_answer(answer, request),
            // Only forward auth asks; anything else handed back here was never asked for.
            _ => refuse_unasked(),
        };
        self.resume(at, verdict, request, facts, passage)
    }

    /// Goes on after a [`Verify`] of step `at`.
    pub fn on_verified(
        &self,
        at: usize,
        matches: bool,
        request: &mut Request,
        facts: &RequestInfo,
        passage: &mut ChainState,
    ) -> ChainProgress {
        let verdict = match self.steps.get(at) {
            Some(Middleware::Basic(step) | Middleware::BasicList(step)) => step.on_verified(matches, request, passage),
            _ => refuse_unasked(),
        };
        self.resume(at, verdict, request, facts, passage)
    }

    /// Walks an answer back out, innermost step first. `below` is the number of steps it passes: all of them
    /// ([`Chain::steps`]'s length) for a backend's answer, `at` for an answer that step `at` gave.
    ///
    /// Gives the error page to fetch instead, if one catches the status, and the step it belongs to: the page's way back
    /// begins there.
    pub fn on_response(
        &self,
        below: usize,
        request: &Request,
        answer: &mut Response,
        facts: &RequestInfo,
        passage: &mut ChainState,
    ) -> Option<(ErrorPageRequest, usize)> {
        for (at, step) in self.steps.iter().enumerate().take(below).rev() {
            if let Some(page) = step.on_response(request, answer, facts, passage) {
                return Some((page, at));
            }
        }
        None
    }

    fn resume(
        &self,
        at: usize,
        verdict: Verdict,
        request: &mut Request,
        facts: &RequestInfo,
        passage: &mut ChainState,
    ) -> ChainProgress {
        match verdict {
            Verdict::Next => self.on_request(at + 1, request, facts, passage),
            verdict => stopped(verdict, at),
        }
    }
}

fn stopped(verdict: Verdict, at: usize) -> ChainProgress {
    match verdict {
        Verdict::Next => ChainProgress::Done,
        Verdict::Reply { reply, label } => ChainProgress::Reply { reply, label, at },
        Verdict::Ask(ask) => ChainProgress::Ask { ask, at },
        Verdict::Verify(verify) => ChainProgress::Verify { verify, at },
    }
}

/// A result for a step that asked nothing is a mistake of the caller's; letting the request pass would open the door.
fn refuse_unasked() -> Verdict {
    Verdict::Reply { reply: Reply::text(500, "Internal Server Error"), label: None }
}
