//! The id of a request, `X-Request-Id` (docs/reference/entry-points.md#request-id).

use crate::worker::resources::client_info::fill_random;
use crate::worker::resources::context::ExchangeContext;

pub const REQUEST_ID: &[u8] = b"X-Request-Id";
/// The longest id of a client that is kept.
const ID_BYTES_MAX: usize = 128;
const RANDOM_BYTES: usize = 16;

/// Keeps the id that the request has if its client is trusted and the id is harmless; else gives the request a new one.
pub fn ensure_request_id(ctx: &mut ExchangeContext, is_trusted: bool) {
    if is_trusted && has_usable_id(ctx) {
        return;
    }
    let mut random = [0; RANDOM_BYTES];
    fill_random(&mut random);
    let mut id = [0; 2 * RANDOM_BYTES];
    for (digits, byte) in id.chunks_exact_mut(2).zip(random) {
        digits.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    ctx.edits.set(REQUEST_ID, &id);
}

fn digit(value: u8) -> u8 {
    b"0123456789abcdef"[usize::from(value & 15)]
}

/// Whether the request has exactly one id, of visible ASCII characters.
fn has_usable_id(ctx: &ExchangeContext) -> bool {
    let fields = ctx.head.fields.iter().filter(|field| field.name.of(&ctx.bytes).eq_ignore_ascii_case(REQUEST_ID));
    let mut ids = fields.map(|field| field.value.of(&ctx.bytes).trim_ascii());
    let (first, second) = (ids.next(), ids.next());
    second.is_none()
        && first.is_some_and(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX && id.iter().all(u8::is_ascii_graphic))
}
