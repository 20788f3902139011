//! Upgrade requests: the response that opens a tunnel, and the bytes that a client sends ahead of it
//! (docs/reference/backends.md#upgrades).

use std::cell::Cell;

use super::request_body::client_gone;
use super::response_context::ResponseContext;
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::upgrade::is_offered;
use crate::http::{RequestHead, Upgrade};
use crate::worker::message::stream::{BodyReader, RelayError};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::UpstreamResponse;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Checks that a 101 switches to a protocol that the client has offered, after a request that was sent whole. Anything else could make
/// client and server read the same bytes as different protocols.
///
/// # Errors
/// The 101 is not used: the client gets 502.
pub fn check_switch(context: &ResponseContext<'_>, response: &UpstreamResponse) -> Result<(), ProxyError> {
    let refused = |why| Err(ProxyError::new(ExchangePhase::Await, Cause::Malformed(why)));
    if !context.head.upgrade.is_forwarded() {
        return refused("101 to a request that asked for no upgrade");
    }
    if !context.request_sent.get() {
        return refused("101 before the request's body was complete");
    }
    match is_offered(context.head, context.bytes, &response.head.fields, &response.bytes) {
        true => Ok(()),
        false => refused("101 with an Upgrade that the request did not offer"),
    }
}

/// Waits until the client of an upgrade request has disconnected, as [`super::request_body::wait_for_disconnect`] does, and notes bytes
/// that it sends ahead of the response. The race polls this future before the response: the note is true when the head is written.
pub async fn watch_client<R: BodyReader, D: Dial>(
    worker: &Worker<D>,
    client: &mut R,
    has_sent_ahead: &Cell<bool>,
) -> RelayError {
    while !client.disconnects_or_sends(&worker.deadlines, has_sent_ahead).await {}
    client_gone()
}

/// Notes whether bytes have arrived behind an upgrade request whose body has been read.
pub fn note_bytes_ahead<R: BodyReader>(head: &RequestHead, client: &mut R, peer: &ClientInfo) {
    if head.upgrade.is_requested() {
        peer.has_sent_ahead.set(!client.is_quiet());
    }
}

/// Forwards a request without the upgrade that it asks for.
pub fn ignore_upgrade(head: &mut RequestHead) {
    if head.upgrade.is_requested() {
        head.upgrade = Upgrade::Ignored;
    }
}
