//! Tests of the decoder with an encoder that uses every representation and the Huffman code, and blocks that expand to much.

mod bombs;
mod encoder;
mod faults;
mod round_trips;

use super::integer::Fault;
use super::{Decoded, Decoder, FieldSink};

/// Keeps the fields that fit into `room`, counts the others, and removes all lines.
#[derive(Debug)]
struct Collected {
    room: usize,
    fields: Vec<(String, String)>,
    /// Length of name and value of each field that did not fit.
    too_long: Vec<usize>,
}

impl Collected {
    fn with_room(room: usize) -> Self {
        Collected { room, fields: Vec::new(), too_long: Vec::new() }
    }
}

impl FieldSink for Collected {
    fn room(&self) -> usize {
        self.room
    }

    fn take(&mut self, lines: &mut Vec<u8>, field: Decoded) {
        if !field.is_whole {
            assert_eq!(lines.len(), field.start, "a line that does not fit is not in the buffer");
            self.too_long.push(field.name_len + field.value_len);
            return;
        }
        let line = &lines[field.start..];
        let (name, rest) = line.split_at(field.name_len);
        let value = rest.strip_prefix(b": ").and_then(|rest| rest.strip_suffix(b"\r\n")).expect("a line");
        assert_eq!(value.len(), field.value_len);
        let text = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
        self.fields.push((text(name), text(value)));
        lines.truncate(field.start);
    }
}

/// The fields of a block, all of which fit.
fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, Fault> {
    let mut sink = Collected::with_room(1 << 20);
    decoder.decode(block, &mut Vec::new(), &mut sink)?;
    assert!(sink.too_long.is_empty());
    Ok(sink.fields)
}

/// The bytes of a text of hexadecimal digits; spaces do not count.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| crate::http::percent::hex_byte(pair).expect("two digits")).collect()
}
