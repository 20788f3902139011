//! The call to the authentication server that a middleware asks for (docs/reference/middlewares.md#forward).

use std::time::Duration;

use super::fetch::{FetchError, FetchRequest, fetch};
use crate::config::snapshot::ServerEndpoint;
use crate::http::edits::push_value;
use crate::limits::{AUTH_ANSWER_BYTES_MAX, AUTH_ANSWER_SECS, Bound};
use crate::middleware::{AuthRequest, AuthResponse};
use crate::worker::resources::context::UpstreamResponse;
use crate::worker::resources::dial::Dial;
use crate::worker::resources::memory_budget::BufferedBody;
use crate::worker::worker::Worker;

/// A server's answer, whole.
pub struct FetchedAuthResponse<'w> {
    answer: UpstreamResponse,
    body: BufferedBody<'w>,
}

impl FetchedAuthResponse<'_> {
    pub fn as_auth_response(&self) -> AuthResponse<'_> {
        AuthResponse { head: &self.answer.head, bytes: &self.answer.bytes, body: self.body.bytes() }
    }
}

/// Calls the authentication server. `None` when that failed: the step then answers 500.
pub async fn call<'w, D: Dial>(
    worker: &'w Worker<D>,
    ask: &AuthRequest,
    server: Option<&ServerEndpoint>,
) -> Option<FetchedAuthResponse<'w>> {
    // A chain with forward authentication is compiled together with its server.
    let endpoint = server?;
    let request = FetchRequest {
        head: request(ask),
        body: &[],
        is_head: false,
        repeatable: true,
        body_bytes_max: AUTH_ANSWER_BYTES_MAX,
        endpoint,
    };
    let limit = Duration::from_secs(AUTH_ANSWER_SECS);
    let mut answer = UpstreamResponse::default();
    let fetched = match worker.deadlines.within(limit, fetch(worker, request, &mut answer)).await {
        Ok(fetched) => fetched,
        Err(_) => {
            worker.exceeded(Bound::AuthAnswer);
            tracing::warn!(server = %endpoint.url, "forward authentication: no answer within {AUTH_ANSWER_SECS} s");
            return None;
        }
    };
    match fetched {
        Ok(body) => Some(FetchedAuthResponse { answer, body }),
        Err(FetchError::Failed(e)) => {
            tracing::warn!(server = %endpoint.url, "forward authentication: {e}");
            None
        }
        Err(FetchError::TooLarge) => {
            tracing::warn!(server = %endpoint.url, "forward authentication: the answer's body is longer than {AUTH_ANSWER_BYTES_MAX} bytes, or too much is held in memory already");
            None
        }
    }
}

/// `GET` with exactly the fields of the ask, and no body.
fn request(ask: &AuthRequest) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"GET ");
    out.extend_from_slice(ask.server.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in &ask.fields {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        push_value(&mut out, value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}
