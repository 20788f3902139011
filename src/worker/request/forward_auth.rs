//! Forward authentication: the call to the authentication server (docs/reference/middlewares.md#forward).

use std::time::Duration;

use super::fetch::{FetchError, FetchRequest, fetch};
use crate::config::snapshot::ServerEndpoint;
use crate::http::connection_auth::is_bound_credential;
use crate::http::edits::push_value;
use crate::limits::{AUTH_RESPONSE_BYTES_MAX, AUTH_RESPONSE_SECS, Bound};
use crate::middleware::{AuthRequest, AuthResponse};
use crate::worker::resources::context::UpstreamResponse;
use crate::worker::resources::dial::Dial;
use crate::worker::resources::memory_budget::BufferedBody;
use crate::worker::worker::Worker;

/// A whole response of an authentication server.
pub struct FetchedAuthResponse<'w> {
    response: UpstreamResponse,
    body: BufferedBody<'w>,
}

impl FetchedAuthResponse<'_> {
    pub fn status(&self) -> u16 {
        self.response.head.status
    }

    pub fn as_auth_response(&self) -> AuthResponse<'_> {
        AuthResponse { head: &self.response.head, bytes: &self.response.bytes, body: self.body.bytes() }
    }
}

/// Calls the authentication server. Returns `None` if the call failed: the middleware then replies with 500.
pub async fn call<'w, D: Dial>(
    worker: &'w Worker<D>,
    auth_request: &AuthRequest,
    server: Option<&ServerEndpoint>,
) -> Option<FetchedAuthResponse<'w>> {
    // A chain with forward authentication is compiled together with its server.
    let endpoint = server?;
    let request = FetchRequest {
        head: request(auth_request),
        body: &[],
        is_head: false,
        repeatable: true,
        body_bytes_max: AUTH_RESPONSE_BYTES_MAX,
        endpoint,
        binds: binds_connection(auth_request),
        client: None,
        owner: None,
    };
    let limit = Duration::from_secs(AUTH_RESPONSE_SECS);
    let mut response = UpstreamResponse::default();
    let fetched = match worker.deadlines.within(limit, fetch(worker, request, &mut response)).await {
        Ok(fetched) => fetched,
        Err(_) => {
            worker.exceeded(Bound::AuthAnswer);
            tracing::warn!(server = %endpoint.url, "forward authentication: no response within {AUTH_RESPONSE_SECS} s");
            return None;
        }
    };
    match fetched {
        Ok(body) => Some(FetchedAuthResponse { response, body }),
        Err(FetchError::Failed(e)) => {
            tracing::warn!(server = %endpoint.url, "forward authentication: {e}");
            None
        }
        Err(FetchError::TooLarge) => {
            tracing::warn!(server = %endpoint.url, "forward authentication: the response's body is longer than {AUTH_RESPONSE_BYTES_MAX} bytes, or too much is held in memory already");
            None
        }
    }
}

/// Whether the call carries the client's credentials of a scheme that authenticates the connection. The next client must not call on it.
fn binds_connection(auth_request: &AuthRequest) -> bool {
    let mut fields = auth_request.fields.iter();
    fields.any(|(name, value)| name.eq_ignore_ascii_case(b"authorization") && is_bound_credential(value))
}

/// The head of a `GET` with exactly the fields of `auth_request`, without a body.
fn request(auth_request: &AuthRequest) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"GET ");
    out.extend_from_slice(auth_request.server.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in &auth_request.fields {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        push_value(&mut out, value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}
