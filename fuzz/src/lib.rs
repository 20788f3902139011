//! Shared by several fuzz targets: comparing heads with httparse, framing a body, compiling a configuration without a control plane. The
//! whole exchange has `harness`, `wire` and `reading`.

#[path = "../../tests/support/h2_observer.rs"]
pub mod h2_observer;
pub mod h2_server;
#[path = "../../tests/support/h2_wire.rs"]
pub mod h2_wire;
#[path = "../../tests/support/memory_transport.rs"]
mod memory_transport;
pub mod reading;
#[expect(dead_code, reason = "its thousand hosts are for benches")]
#[path = "../../tests/support/shared.rs"]
mod shared;
pub mod harness;
pub mod tcp_harness;
pub mod wire;

use std::io;
use std::time::Duration;

use ringway::config::compile::EntryPointInfo;
use ringway::config::compile::{CompileContext, EndpointInterner, compile, credential_memory};
use ringway::config::dynamic::{Documents, DynamicConfig};
use ringway::config::snapshot::Snapshot;
use ringway::http::h1::body::{CHUNK_END, Decoder, chunk_prefix, last_chunk};
use ringway::http::{BodyFraming, Field, InvalidBody};
use ringway::limits::HEAD_FIELDS_MAX;
use ringway::net::peek::PeekHalf;
use ringway::net::{Duplex, ReadHalf, WriteHalf};

/// Upper bound for the fields of a head: the limit of the parser, and the fields that the proxy adds.
pub const SLOTS: usize = HEAD_FIELDS_MAX + 32;

/// Returns name and value of each field.
pub fn pairs<'a>(fields: &[Field], bytes: &'a [u8]) -> Vec<(&'a [u8], &'a [u8])> {
    fields.iter().map(|field| (field.name.of(bytes), field.value.of(bytes))).collect()
}

/// Returns name and value of each field of httparse.
pub fn their_pairs<'a>(headers: &[httparse::Header<'a>]) -> Vec<(&'a [u8], &'a [u8])> {
    headers.iter().map(|header| (header.name.as_bytes(), header.value)).collect()
}

/// Checks that no name or value holds a byte that another program could read as the end of a line.
pub fn assert_plain(pairs: &[(&[u8], &[u8])]) {
    for (name, value) in pairs {
        assert!(!name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b':'));
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{}", value.escape_ascii());
    }
}

/// A decoded body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    pub data: Vec<u8>,
    pub trailers: Vec<u8>,
    /// Bytes of the input that belong to the body.
    pub len: usize,
    pub done: bool,
}

/// Decodes a body that arrives in segments of `piece` bytes.
pub fn decode(body: BodyFraming, wire: &[u8], piece: usize) -> Result<Payload, InvalidBody> {
    decode_with(Decoder::new(body), wire, piece)
}

/// As [`decode`], with a decoder that has decoded nothing yet.
///
/// # Errors
/// The violation that the decoder refuses.
pub fn decode_with(mut decoder: Decoder, wire: &[u8], piece: usize) -> Result<Payload, InvalidBody> {
    let mut payload = Payload { data: Vec::new(), trailers: Vec::new(), len: 0, done: decoder.is_done() };
    for part in wire.chunks(piece.max(1)) {
        let mut rest = part;
        while !payload.done && !rest.is_empty() {
            let step = decoder.decode(rest)?;
            payload.data.extend_from_slice(step.data.map_or(&[][..], |range| &rest[range]));
            payload.len += step.consumed;
            payload.done = step.done;
            rest = &rest[step.consumed..];
        }
    }
    payload.trailers = decoder.trailers().to_vec();
    Ok(payload)
}

/// Encodes a body as the proxy forwards it, with the framing of `body`.
pub fn encode(body: BodyFraming, payload: &Payload, out: &mut Vec<u8>) {
    match body {
        BodyFraming::Chunked => {
            for piece in payload.data.chunks(7) {
                chunk_prefix(out, piece.len());
                out.extend_from_slice(piece);
                out.extend_from_slice(CHUNK_END);
            }
            last_chunk(out, &payload.trailers);
        }
        _ => out.extend_from_slice(&payload.data),
    }
}

/// Compiles the document of a provider: the result is a snapshot for every document.
pub fn compiled(provider: &str, document: DynamicConfig) -> Snapshot {
    let entry = |name: &str, port| EntryPointInfo { name: name.to_owned(), port, is_local: true, has_tls: false, is_udp: false, white_list: Vec::new(), has_auth: false, sanitize_path: true };
    let context = CompileContext {
        access_log_folder: None,
        entry_points: vec![entry("http", 80), entry("other", 81)],
        default_entry_points: vec!["http".to_owned()],
        keep_trailing_slash: false,
        allow_min_weight_zero: false,
        health_interval: Duration::from_secs(30),
        client_tls: Err("no TLS here".to_owned()),
        credentials: credential_memory([7; 32]),
        auth_tls: Box::new(|_| Err("no TLS here".to_owned())),
        retry: None,
        random: |bytes| bytes.fill(4),
        read: Box::new(|path| Err(io::Error::other(format!("no files here: {path}")))),
    };
    let documents: Documents = [(provider.to_owned(), document.into())].into();
    compile(&context, &documents, &[], &Snapshot::empty(2), &mut EndpointInterner::default())
}
