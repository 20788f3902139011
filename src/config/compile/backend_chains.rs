//! Compiles the chains between a frontend's own middlewares and its servers: circuit breaker and buffering once per request, connection
//! limit and rate limit once per attempt (docs/reference/middlewares.md#order).

use super::reasons::invalid_middleware;
use crate::config::dynamic::{self, Frontend};
use crate::config::middleware_states::FrontendStates;
use crate::diagnostics::Diagnostic;
use crate::middleware::breaker::Breaker;
use crate::middleware::buffering::{Buffering, BufferingSizes};
use crate::middleware::max_conn::MaxConn;
use crate::middleware::rate_limit::{Rate, RateLimit};
use crate::middleware::source_extractor::SourceExtractor;
use crate::middleware::{Chain, ChainScope, Middleware};

/// The compiled chains, and the buffering options that one of them contains.
pub struct BackendChains {
    /// Middlewares that run once per request.
    pub inner: Chain,
    /// Middlewares that run once per attempt.
    pub attempt: Chain,
    pub buffering: Option<Buffering>,
}

/// Compiles both chains.
///
/// # Errors
/// An expression, an extractor or a rate that cannot be used: the frontend would not be protected as its author means
/// (docs/reference/providers.md#rejected-objects).
pub fn backend_chains(
    frontend: &Frontend,
    backend: &dynamic::Backend,
    scope: ChainScope<'_>,
    states: &mut FrontendStates,
) -> Result<BackendChains, Diagnostic> {
    let of_backend =
        |option: &str, text: String| invalid_middleware(&format!("backends.{}.{option}", frontend.backend), text);
    let of_rate = |text: String| invalid_middleware("ratelimit", text);
    let buffering = buffering(backend).map_err(|text| of_backend("buffering", text))?;
    let mut inner = Vec::new();
    if let Some(breaker) = &backend.circuit_breaker {
        let state = states
            .breaker(&breaker.expression)
            .map_err(|e| of_backend("circuitbreaker", format!("circuitBreaker: {e}")))?;
        inner.push(Middleware::Breaker(Breaker::new(state)));
    }
    inner.extend(buffering.clone().map(Middleware::Buffering));
    let mut attempt = Vec::new();
    if let Some(limit) = backend.max_conn.as_ref().filter(|limit| limit.amount != 0) {
        let source = SourceExtractor::parse(&limit.extractor_func)
            .map_err(|e| of_backend("maxconn", format!("maxConn: {e}")))?;
        let state = states.conn(&limit.extractor_func);
        attempt.push(Middleware::MaxConn(MaxConn::new(limit.amount, source, state, scope)));
    }
    if let Some(limit) = frontend.rate_limit.as_ref().filter(|limit| !limit.rate_set.is_empty()) {
        let source = SourceExtractor::parse(&limit.extractor_func).map_err(|e| of_rate(format!("rateLimit: {e}")))?;
        let rates = limit.rate_set.iter().map(|(name, rate)| {
            Rate::new(rate.period.0, rate.average, rate.burst)
                .map_err(|e| of_rate(format!("rateLimit.rateSet.{name}: {e}")))
        });
        let rates = rates.collect::<Result<Vec<_>, _>>()?;
        let state = states.rate(&limit.extractor_func, &rates).map_err(|e| of_rate(format!("rateLimit: {e}")))?;
        attempt.push(Middleware::RateLimit(RateLimit::new(source, state, scope)));
    }
    Ok(BackendChains { inner: Chain::new(inner), attempt: Chain::new(attempt), buffering })
}

/// Compiles buffering; a `buffering` table turns it on, even an empty one.
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
