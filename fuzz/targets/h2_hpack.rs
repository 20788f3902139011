//! Header blocks, two in a row on one decoder: the bounds hold, the table does not depend on what the sink has room for, and what was decoded
//! is decoded alike after it was encoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::http::h2::hpack::{Decoded, Decoder, FieldSink, push_field};

const TABLE_BYTES: usize = 256;

/// Keeps the fields that fit, and removes their lines.
struct Fields {
    room: usize,
    kept: Vec<(Vec<u8>, Vec<u8>)>,
    /// Length of each field that did not fit.
    dropped: Vec<usize>,
}

impl FieldSink for Fields {
    fn room(&self) -> usize {
        self.room
    }

    fn take(&mut self, lines: &mut Vec<u8>, field: Decoded) {
        let len = field.name_len + field.value_len;
        assert_eq!(field.is_whole, len <= self.room);
        if !field.is_whole {
            assert_eq!(lines.len(), field.start);
            self.dropped.push(len);
            return;
        }
        let line = &lines[field.start..];
        assert_eq!(line.len(), len + 4);
        let (name, rest) = line.split_at(field.name_len);
        let value = rest.strip_prefix(b": ").and_then(|rest| rest.strip_suffix(b"\r\n")).expect("a line");
        if field.value_fault.is_none() {
            assert!(!value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f));
            assert!(value.trim_ascii() == value);
        }
        self.kept.push((name.to_vec(), value.to_vec()));
        lines.truncate(field.start);
    }
}

fn decode(decoder: &mut Decoder, block: &[u8], room: usize) -> (Result<(), &'static str>, Fields) {
    let (mut lines, mut sink) = (Vec::new(), Fields { room, kept: Vec::new(), dropped: Vec::new() });
    let result = decoder.decode(block, &mut lines, &mut sink);
    // A vector grows to twice what it holds; a Huffman code reserves for its longest text.
    assert!(lines.capacity() <= 4 * (room.max(TABLE_BYTES) + 100) + 2 * block.len(), "{}", lines.capacity());
    assert!(decoder.heap_bytes() <= TABLE_BYTES + TABLE_BYTES / 32 * 16);
    (result, sink)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[room, cut], rest)) = bytes.split_first_chunk() else { return };
    let (first, second) = rest.split_at(rest.len() * usize::from(cut) / 256);
    let (mut wide, mut narrow) = (Decoder::new(TABLE_BYTES), Decoder::new(TABLE_BYTES));
    for block in [first, second] {
        let (result, all) = decode(&mut wide, block, 1 << 20);
        let (narrow_result, some) = decode(&mut narrow, block, usize::from(room));
        assert_eq!(result, narrow_result, "whether a block is valid does not depend on the room");
        let fits = |field: &&(Vec<u8>, Vec<u8>)| field.0.len() + field.1.len() <= usize::from(room);
        assert!(all.dropped.is_empty() && some.kept.iter().eq(all.kept.iter().filter(fits)));
        assert_eq!(some.dropped.len() + some.kept.len(), all.kept.len());
        if result.is_err() {
            return;
        }
        encodes_back(&all.kept);
    }
});

/// Encodes the fields, and decodes them again.
fn encodes_back(fields: &[(Vec<u8>, Vec<u8>)]) {
    let mut block = Vec::new();
    for (name, value) in fields {
        push_field(&mut block, name, value);
    }
    let (result, again) = decode(&mut Decoder::new(TABLE_BYTES), &block, 1 << 20);
    assert_eq!(result, Ok(()));
    let lower: Vec<_> = fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    assert_eq!(again.kept, lower);
}
