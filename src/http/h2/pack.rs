//! Packs heads, written as lines by [`crate::http::forward`], into header blocks.

/// The first bytes of the first header block on a connection: a size update that says that the encoder uses no dynamic table
/// (RFC 7541 4.2, 6.3). A peer may have set a bound below the default, and has to be told that the encoder keeps to it.
pub const FIRST_BLOCK_PREFIX: [u8; 1] = [0x20];

/// A head that has no form in HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpackable(pub &'static str);

/// Appends the header block of a request. `lines` is the head as [`crate::http::forward::write_request`] writes it.
pub fn encode_request(
    _lines: &[u8],
    _secure: bool,
    _extended_connect: bool,
    _out: &mut Vec<u8>,
) -> Result<(), Unpackable> {
    todo!()
}

/// Appends the header block of a response. With `extended_connect`, a 101 becomes a 200 (RFC 8441 5).
pub fn encode_response(_lines: &[u8], _extended_connect: bool, _out: &mut Vec<u8>) {
    todo!()
}

/// Appends the header block of trailers.
pub fn encode_trailers(_lines: &[u8], _out: &mut Vec<u8>) {
    todo!()
}
