//! What several fuzz targets need: comparing heads with httparse, framing a body, compiling a configuration without a world around it. What
//! the whole exchange needs has files of its own.

#[path = "../../tests/support/memory_transport.rs"]
mod memory_transport;
pub mod reading;
#[expect(dead_code, reason = "its thousand hosts are for benches")]
#[path = "../../tests/support/shared.rs"]
mod shared;
pub mod harness;
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
use ringway::net::{Duplex, ReadHalf, WriteHalf};

/// More fields than a head has under the limits that run, with those that the proxy adds.
pub const SLOTS: usize = HEAD_FIELDS_MAX + 32;

/// Name and value of each field.
pub fn pairs<'a>(fields: &[Field], bytes: &'a [u8]) -> Vec<(&'a [u8], &'a [u8])> {
    fields.iter().map(|field| (field.name.of(bytes), field.value.of(bytes))).collect()
}

/// The same of httparse.
pub fn their_pairs<'a>(headers: &[httparse::Header<'a>]) -> Vec<(&'a [u8], &'a [u8])> {
    headers.iter().map(|header| (header.name.as_bytes(), header.value)).collect()
}

/// No name or value may carry what another program could read as the end of a line.
pub fn assert_plain(pairs: &[(&[u8], &[u8])]) {
    for (name, value) in pairs {
        assert!(!name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b':'));
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{}", value.escape_ascii());
    }
}

/// What a decoder made of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    pub data: Vec<u8>,
    pub trailers: Vec<u8>,
    /// Bytes of the input that belong to the body.
    pub len: usize,
    pub done: bool,
}

/// Decodes a body that arrives in pieces of `piece` bytes.
pub fn decode(body: BodyFraming, wire: &[u8], piece: usize) -> Result<Payload, InvalidBody> {
    let mut decoder = Decoder::new(body);
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

/// A body as the proxy sends it on, framed as `body` says.
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

/// Compiles one provider's document: whatever it says, the result is a snapshot.
pub fn compiled(provider: &str, document: DynamicConfig) -> Snapshot {
    let entry = |name: &str, port| EntryPointInfo { name: name.to_owned(), port, has_tls: false, sanitize_path: true };
    let context = CompileContext {
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
