//! Requests of an HTTP/2 client, written by hand: they must not depend on the code under test.

/// The connection preface, SETTINGS with the largest window for each stream, and the largest window for the connection.
const START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x7f\xff\xff\xff\
    \x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\x00\x00";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The header block of a request like that of `Scenario::get`, with the length of a body if it has one.
pub fn block(method: &[u8], body: &[u8]) -> Vec<u8> {
    let mut block = if method == b"GET" { vec![0x82] } else { literal(2, method) };
    block.push(0x86);
    block.extend(literal(4, b"/bytes/128?x=1"));
    block.extend(literal(1, b"h500.bench.test"));
    block.extend(literal(58, b"bench"));
    block.extend(literal(19, b"*/*"));
    if !body.is_empty() {
        block.extend(literal(28, body.len().to_string().as_bytes()));
    }
    let mut request = vec![u8::try_from(block.len()).expect("a short block")];
    request.extend(block);
    request.extend_from_slice(body);
    request
}

/// A field whose name is in the static table at `index`, without indexing (RFC 7541 6.2.2).
fn literal(index: u8, value: &[u8]) -> Vec<u8> {
    let mut field = if index < 15 { vec![index] } else { vec![15, index - 15] };
    field.push(u8::try_from(value.len()).expect("a short value"));
    field.extend_from_slice(value);
    field
}

/// The requests of one connection.
pub struct Http2Requests {
    /// One request, with the stream identifier left out.
    block: Vec<u8>,
    body: Vec<u8>,
    at_once: usize,
    next_stream: u32,
}

impl Http2Requests {
    /// `request` as [`block`] gives it.
    pub fn new(request: &[u8], at_once: usize) -> Self {
        let (block, body) = request[1..].split_at(usize::from(request[0]));
        Http2Requests { block: block.to_vec(), body: body.to_vec(), at_once, next_stream: 1 }
    }

    /// Appends the next requests, at most `left`; returns their number.
    pub fn append(&mut self, left: usize, out: &mut Vec<u8>) -> usize {
        if self.next_stream == 1 {
            out.extend_from_slice(START);
        }
        let count = left.min(self.at_once);
        for _ in 0..count {
            let ends = if self.body.is_empty() { END_STREAM } else { 0 };
            frame(out, HEADERS, END_HEADERS | ends, self.next_stream, &self.block);
            if !self.body.is_empty() {
                frame(out, DATA, END_STREAM, self.next_stream, &self.body);
            }
            self.next_stream += 2;
        }
        count
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a short frame");
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}
