//! What stands between a frontend's own steps and its servers: circuit breaker and buffering once per request, connections and rate
//! once per try (docs/reference/middlewares.md#order).

use crate::config::dynamic::{self, Frontend};
use crate::config::middleware_states::FrontendStates;
use crate::middleware::breaker::Breaker;
use crate::middleware::buffering::{Buffering, BufferingSizes};
use crate::middleware::max_conn::MaxConn;
use crate::middleware::rate_limit::{Rate, RateLimit};
use crate::middleware::source_extractor::SourceExtractor;
use crate::middleware::{Chain, ChainScope, Middleware};

/// The compiled parts.
pub struct BackendChains {
    pub guard: Chain,
    pub attempt: Chain,
    pub buffering: Option<Buffering>,
}

/// Compiles them.
///
/// # Errors
/// An expression, an extractor or a rate that cannot be used: the frontend would not be protected as its author means (docs/reference/providers.md#rejected-objects).
pub fn inner(
    frontend: &Frontend,
    backend: &dynamic::Backend,
    place: ChainScope<'_>,
    states: &mut FrontendStates,
) -> Result<BackendChains, String> {
    let buffering = buffering(backend)?;
    let mut guard = Vec::new();
    if let Some(breaker) = &backend.circuit_breaker {
        let state = states.breaker(&breaker.expression).map_err(|e| format!("circuitBreaker: {e}"))?;
        guard.push(Middleware::Breaker(Breaker::new(state)));
    }
    guard.extend(buffering.clone().map(Middleware::Buffering));
    let mut attempt = Vec::new();
    if let Some(limit) = backend.max_conn.as_ref().filter(|limit| limit.amount != 0) {
        let source = SourceExtractor::parse(&limit.extractor_func).map_err(|e| format!("maxConn: {e}"))?;
        let state = states.conn(&limit.extractor_func);
        attempt.push(Middleware::MaxConn(MaxConn::new(limit.amount, source, state, place)));
    }
    if let Some(limit) = frontend.rate_limit.as_ref().filter(|limit| !limit.rate_set.is_empty()) {
        let source = SourceExtractor::parse(&limit.extractor_func).map_err(|e| format!("rateLimit: {e}"))?;
        let rates = limit.rate_set.iter().map(|(name, rate)| {
            Rate::new(rate.period.0, rate.average, rate.burst).map_err(|e| format!("rateLimit.rateSet.{name}: {e}"))
        });
        let rates = rates.collect::<Result<Vec<_>, _>>()?;
        let state = states.rate(&limit.extractor_func, &rates).map_err(|e| format!("rateLimit: {e}"))?;
        attempt.push(Middleware::RateLimit(RateLimit::new(source, state, place)));
    }
    Ok(BackendChains { guard: Chain::new(guard), attempt: Chain::new(attempt), buffering })
}

/// The table's presence turns buffering on, whatever it holds.
fn buffering(backend: &dynamic::Backend) -> Result<Option<Buffering>, String> {
    let Some(written) = &backend.buffering else { return Ok(None) };
    let sizes = BufferingSizes {
        max_request: written.max_request_body_bytes,
        mem_request: written.mem_request_body_bytes,
        max_response: written.max_response_body_bytes,
        mem_response: written.mem_response_body_bytes,
    };
    Buffering::new(sizes, &written.retry_expression).map(Some).map_err(|e| format!("buffering.retryExpression: {e}"))
}
