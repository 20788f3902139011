//! Small blocks that expand to much.

use super::*;
use crate::http::h2::fields::{HeadError, decode_request, decode_response, decode_trailers};
use crate::http::{HeadLimits, RequestHead, ResponseHead, Violation};

const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 16 * 1024, fields_max: 1024, target_bytes_max: 1024 };
/// Bytes of a decoder's table, and of the largest field that it may hold beside what its sink has room for.
const HELD_BYTES_MAX: usize = 6 * 1024;

/// A block that puts a field of nearly 4 KiB into the table, and names it until the block has 4 KiB.
fn bomb(value_len: usize, repeated: usize) -> Vec<u8> {
    let mut block = hex("82 86 84 41 01 61 40 01 62");
    super::super::push_value(&mut block, crate::http::h2::hpack::Literal::WithoutIndexing, 0, &vec![b'v'; value_len]);
    // The name's index that `push_value` writes is not part of a string.
    block.remove(9);
    block.extend(std::iter::repeat_n(0xbe, repeated));
    block
}

fn request(decoder: &mut Decoder, block: &[u8], lines: &mut Vec<u8>) -> Result<RequestHead, HeadError> {
    let mut head = RequestHead::default();
    decode_request(decoder, block, true, &LIMITS, &mut head, lines).map(|()| head)
}

#[test]
fn repeated_index_is_refused_and_the_next_block_is_right() {
    let (mut decoder, mut lines) = (Decoder::new(4096), Vec::new());
    let block = bomb(4030, 96);
    assert!(block.len() <= 4200);
    let refused = request(&mut decoder, &block, &mut lines).expect_err("384 KiB");
    assert!(matches!(refused, HeadError::Rejected(rejected) if rejected.status == 431), "{refused:?}");
    assert!(lines.capacity() <= 2 * (LIMITS.head_bytes_max + HELD_BYTES_MAX), "{}", lines.capacity());
    assert!(decoder.heap_bytes() <= HELD_BYTES_MAX, "{}", decoder.heap_bytes());
    let head = request(&mut decoder, &hex("82 86 84 01 01 61 be"), &mut lines).expect("a request");
    assert_eq!((head.host.of(&lines), head.fields[1].value.of(&lines).len()), (&b"a"[..], 4030));
    let evicted = request(&mut decoder, &hex("82 86 84 bf be"), &mut lines);
    assert!(matches!(evicted, Err(HeadError::Compression(_))), "the authority was evicted: {evicted:?}");
}

#[test]
fn many_small_fields_are_refused_by_their_overhead() {
    // Each of the fields takes one byte in the block, and 42 in the head.
    let (mut decoder, mut lines) = (Decoder::new(4096), Vec::new());
    let mut block = hex("82 86 84 41 01 61 40 01 62 00");
    block.extend(std::iter::repeat_n(0xbe, 4000));
    let refused = request(&mut decoder, &block, &mut lines);
    assert!(matches!(refused, Err(HeadError::Rejected(rejected)) if rejected.status == 431), "{refused:?}");
    assert!(lines.capacity() <= 2 * LIMITS.head_bytes_max);
    let head = request(&mut decoder, &hex("82 86 84 bf be"), &mut lines).expect("both entries are still there");
    assert_eq!((head.host.of(&lines), head.fields.len()), (&b"a"[..], 2));
}

#[test]
fn long_huffman_codes_are_measured_instead_of_stored() {
    // 60,000 bytes of code give 96,000 zeros; with incremental indexing they empty the table.
    for (first, is_added) in [(0x00u8, false), (0x40, true)] {
        let (mut decoder, mut lines) = (Decoder::new(4096), Vec::new());
        assert!(request(&mut decoder, &hex("82 86 84 41 01 61"), &mut lines).is_ok());
        let mut block = hex("82 86 84 be");
        block.extend([first, 1, b'b', 0xff, 0xe1, 0xd3, 0x03]);
        block.extend([0; 60_000]);
        lines = Vec::new();
        let refused = request(&mut decoder, &block, &mut lines);
        assert!(matches!(refused, Err(HeadError::Rejected(rejected)) if rejected.status == 431), "{refused:?}");
        assert!(lines.capacity() <= 2 * (LIMITS.head_bytes_max + HELD_BYTES_MAX), "{}", lines.capacity());
        let next = request(&mut decoder, &hex("82 86 84 be"), &mut lines);
        let is_compression = matches!(next, Err(HeadError::Compression(_)));
        assert_eq!(
            (next.is_ok(), is_compression),
            (!is_added, is_added),
            "the entry is as the peer knows it: {next:?}"
        );
    }
}

#[test]
fn response_and_trailers_that_expand_are_malformed() {
    let (mut decoder, mut lines) = (Decoder::new(4096), Vec::new());
    let mut block = bomb(4000, 96);
    block.splice(..6, [0x88]);
    let mut head = ResponseHead::default();
    let refused = decode_response(&mut decoder, &block, true, false, &LIMITS, &mut head, &mut lines);
    assert_eq!(refused, Err(HeadError::Malformed(Violation::HeadTooLong)));
    let refused = decode_trailers(&mut decoder, &[0xbe; 8], &mut lines);
    assert_eq!(refused, Err(HeadError::Malformed(Violation::TrailerTooLong)));
    assert!(decode_trailers(&mut decoder, &[0xbe], &mut lines).is_ok() && lines.len() == 4005);
}

#[test]
fn refused_fields_still_change_the_table() {
    // The first field is malformed; the table gets what follows.
    let (mut decoder, mut lines) = (Decoder::new(4096), Vec::new());
    let refused = request(&mut decoder, b"\x40\x01A\x01b\x41\x03a.b\x40\x01c\x01d", &mut lines);
    assert_eq!(refused, Err(HeadError::Malformed(Violation::NameUppercase)));
    let head = request(&mut decoder, b"\x82\x86\x84\xbf\xbe", &mut lines).expect("a request");
    assert_eq!((head.host.of(&lines), head.fields[1].value.of(&lines)), (&b"a.b"[..], &b"d"[..]));
    let refused = request(&mut decoder, b"\x82\x86\x84\xbf\xc0", &mut lines);
    assert_eq!(refused, Err(HeadError::Malformed(Violation::NameUppercase)), "from the table, too");
}
