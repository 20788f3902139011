//! How many requests of one source may be under way at once (docs/reference/middlewares.md#connection-limit).

use std::sync::Arc;

use super::request_permit::ConnState;
use super::source_extractor::SourceExtractor;
use super::{ChainScope, ChainState, Label, Request, RequestInfo, Verdict};
use crate::http::Reply;

/// A limit of requests under way per source, upgraded connections included.
#[derive(Debug)]
pub struct MaxConn {
    amount: i64,
    source: SourceExtractor,
    state: Arc<ConnState>,
    label: Label,
}

impl MaxConn {
    /// A negative `amount` refuses everything, as in Traefik v1; the caller leaves the step out when it is 0.
    pub fn new(amount: i64, source: SourceExtractor, state: Arc<ConnState>, place: ChainScope) -> Self {
        MaxConn { amount, source, state, label: place.label("connection limit") }
    }

    pub fn on_request(&self, request: &Request, facts: &RequestInfo, passage: &mut ChainState) -> Verdict {
        let key = self.source.key(&self.state.hasher, request, facts);
        match self.state.try_acquire(key, self.amount) {
            Some(lease) => {
                passage.leases.push(lease);
                Verdict::Next
            }
            None => Verdict::reply(Reply::text(429, format!("max connections reached: {}", self.amount)), &self.label),
        }
    }
}
