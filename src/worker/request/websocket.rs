//! The key and its acceptance in the handshake of a WebSocket: one side has them if its version of HTTP needs them, the other side may not
//! (RFC 8441 5).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::response_context::ResponseContext;
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::{RequestView, ResponseView};
use crate::worker::resources::client_info::fill_random;
use crate::worker::resources::context::{ExchangeContext, UpstreamResponse};

const KEY: &[u8] = b"Sec-WebSocket-Key";
const ACCEPT: &[u8] = b"Sec-WebSocket-Accept";
/// The text that a server appends to the key (RFC 6455 4.2.2).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Gives a request whose client sends no key one of its own, for servers that need it.
#[cold]
pub fn add_key(ctx: &mut ExchangeContext) {
    if ctx.head.websocket && ctx.view().first(KEY).is_none() {
        let mut random = [0; 16];
        fill_random(&mut random);
        ctx.edits.set(KEY, STANDARD.encode(random).as_bytes());
    }
}

/// Checks that a 101 accepts the key that the proxy has sent for its client, and accepts the key of a client whose server has seen none.
///
/// # Errors
/// The server has accepted another key: it may have answered another request.
pub fn translate_accept(context: &ResponseContext<'_>, response: &mut UpstreamResponse) -> Result<(), ProxyError> {
    if !context.head.websocket {
        return Ok(());
    }
    let view = RequestView { head: context.head, bytes: context.bytes, edits: context.edits };
    let Some(expected) = view.first(KEY).map(accept_of) else { return Ok(()) };
    if response.head.is_tunnel_on_stream() {
        response.edits.set(ACCEPT, expected.as_bytes());
        return Ok(());
    }
    let received = ResponseView { head: &response.head, bytes: &response.bytes, edits: &response.edits };
    if context.head.extended_connect && received.first(ACCEPT) != Some(expected.as_bytes()) {
        let cause = Cause::Malformed("101 with a Sec-WebSocket-Accept that does not match the key");
        return Err(ProxyError::new(ExchangePhase::Await, cause));
    }
    Ok(())
}

fn accept_of(key: &[u8]) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.trim_ascii(), GUID].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_is_that_of_the_standard() {
        assert_eq!(accept_of(b" dGhlIHNhbXBsZSBub25jZQ== "), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
