//! The connection limit: how many requests of one source may be active at once (docs/reference/middlewares.md#connection-limit).

use std::sync::Arc;

use super::request_permit::ConnState;
use super::source_extractor::SourceExtractor;
use super::{ChainScope, ChainState, Label, Request, RequestInfo, Verdict};
use crate::http::Reply;

/// A limit of active requests per source, upgraded connections included.
#[derive(Debug)]
pub struct MaxConn {
    amount: i64,
    source: SourceExtractor,
    state: Arc<ConnState>,
    label: Label,
}

impl MaxConn {
    /// A negative `amount` refuses all requests, as in Traefik v1. If it is 0 there is no limit, and the caller makes no middleware.
    pub fn new(amount: i64, source: SourceExtractor, state: Arc<ConnState>, scope: ChainScope) -> Self {
        MaxConn { amount, source, state, label: scope.label("connection limit") }
    }

    pub fn on_request(&self, request: &Request, info: &RequestInfo, chain_state: &mut ChainState) -> Verdict {
        let key = self.source.key(&self.state.hasher, request, info);
        match self.state.try_acquire(key, self.amount) {
            Some(permit) => {
                chain_state.permits.push(permit);
                Verdict::Next
            }
            None => self.refuse(),
        }
    }

    /// The verdict that a request would get now. No permit is taken.
    pub fn preview(&self, request: &Request, info: &RequestInfo) -> Verdict {
        let key = self.source.key(&self.state.hasher, request, info);
        if self.state.has_room(key, self.amount) { Verdict::Next } else { self.refuse() }
    }

    /// The number of requests of one source that may be active.
    pub fn amount(&self) -> i64 {
        self.amount
    }

    fn refuse(&self) -> Verdict {
        Verdict::reply(Reply::text(429, format!("max connections reached: {}", self.amount)), &self.label)
    }
}
