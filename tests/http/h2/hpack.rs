//! The decoder of header blocks: the examples of RFC 7541, errors, and blocks that are made to cost much.

use proptest::prelude::*;
use ringway::http::Violation;
use ringway::http::h2::hpack::{Decoded, Decoder, FieldSink, Name};

use super::block::{index, indexed_literal, literals, push_integer};

/// Keeps every field, up to `room` bytes of text each.
struct Collector {
    fields: Vec<Decoded>,
    lines: Vec<String>,
    room: usize,
    most: usize,
}

impl FieldSink for Collector {
    fn room(&self) -> usize {
        self.room
    }

    fn take(&mut self, lines: &mut Vec<u8>, field: Decoded) {
        self.most = self.most.max(lines.len());
        assert_eq!(field.is_whole, field.name_len + field.value_len <= self.room, "{field:?}");
        if field.is_whole {
            let line = &lines[field.start..];
            assert_eq!(line.len(), field.name_len + field.value_len + 4);
            self.lines.push(line.escape_ascii().to_string().replace("\\r\\n", ""));
        } else {
            assert_eq!(lines.len(), field.start, "a field without room leaves nothing behind");
        }
        lines.truncate(field.start);
        self.fields.push(field);
    }
}

fn collect(decoder: &mut Decoder, block: &[u8], room: usize) -> Result<Collector, &'static str> {
    let mut sink = Collector { fields: Vec::new(), lines: Vec::new(), room, most: 0 };
    decoder.decode(block, &mut Vec::new(), &mut sink)?;
    Ok(sink)
}

fn lines(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, &'static str> {
    collect(decoder, block, 1 << 20).map(|sink| sink.lines)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect(text)).collect()
}

/// The dynamic table as its entries decode, from the newest.
fn table(decoder: &mut Decoder) -> Vec<String> {
    (62..).map_while(|at| lines(decoder, &index(at)).ok()).flatten().collect()
}

/// Decodes the blocks of one example of appendix C in order, and compares the fields, and the dynamic table after each block.
fn check_example(table_bytes: usize, blocks: &[(&str, &[&str], &[&str])]) {
    let mut decoder = Decoder::new(table_bytes);
    for (block, expected, entries) in blocks {
        assert_eq!(lines(&mut decoder, &hex(block)).as_deref(), Ok(&expected.map_owned()[..]), "{block}");
        assert_eq!(table(&mut decoder), entries.map_owned(), "{block}");
    }
}

trait MapOwned {
    fn map_owned(&self) -> Vec<String>;
}

impl MapOwned for &[&str] {
    fn map_owned(&self) -> Vec<String> {
        self.iter().map(|text| (*text).to_owned()).collect()
    }
}

#[test]
fn single_fields_of_the_rfc_are_decoded() {
    // RFC 7541 C.2.
    let custom = "custom-key: custom-header";
    check_example(4096, &[("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", &[custom], &[custom])]);
    check_example(4096, &[("040c 2f73 616d 706c 652f 7061 7468", &[":path: /sample/path"], &[])]);
    check_example(4096, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", &["password: secret"], &[])]);
    check_example(4096, &[("82", &[":method: GET"], &[])]);
}

const FIRST: &[&str] = &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
const SECOND: &[&str] =
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"];
const THIRD: &[&str] = &[
    ":method: GET",
    ":scheme: https",
    ":path: /index.html",
    ":authority: www.example.com",
    "custom-key: custom-value",
];
const AUTHORITY: &str = ":authority: www.example.com";

#[test]
fn requests_of_the_rfc_are_decoded() {
    let tables: [&[&str]; 3] = [
        &[AUTHORITY],
        &["cache-control: no-cache", AUTHORITY],
        &["custom-key: custom-value", "cache-control: no-cache", AUTHORITY],
    ];
    // RFC 7541 C.3, without the Huffman code.
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    // RFC 7541 C.4, with it.
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, coded] {
        let all = [FIRST, SECOND, THIRD];
        let example: Vec<_> = (0..3).map(|at| (blocks[at], all[at], tables[at])).collect();
        check_example(4096, &example);
    }
}

#[test]
fn responses_of_the_rfc_evict_entries() {
    let date = "date: Mon, 21 Oct 2013 20:13:21 GMT";
    let later = "date: Mon, 21 Oct 2013 20:13:22 GMT";
    let location = "location: https://www.example.com";
    let cookie = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
    let private = "cache-control: private";
    let fields: [&[&str]; 3] = [
        &[":status: 302", private, date, location],
        &[":status: 307", private, date, location],
        &[":status: 200", private, later, location, "content-encoding: gzip", cookie],
    ];
    let tables: [&[&str]; 3] = [
        &[location, date, private, ":status: 302"],
        &[":status: 307", location, date, private],
        &[cookie, "content-encoding: gzip", later],
    ];
    // RFC 7541 C.5, without the Huffman code.
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 \
         474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 \
         666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 \
         3630 303b 2076 6572 7369 6f6e 3d31",
    ];
    // RFC 7541 C.6, with it.
    let coded = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 \
         63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 \
         b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    for blocks in [plain, coded] {
        let example: Vec<_> = (0..3).map(|at| (blocks[at], fields[at], tables[at])).collect();
        check_example(256, &example);
    }
}

#[test]
fn invalid_block_is_an_error() {
    for (block, why) in [
        ("80", "index zero in a header block"),
        ("be", "an index beyond the tables"),
        ("ff80 01", "an index beyond the tables"),
        ("7f 00 00", "an index beyond the tables"),
        ("ff ff ff ff ff 0f", "an integer in the header block is too large"),
        ("ff 80 80 80 80 80 80 00", "an integer in the header block is too large"),
        ("00 7f ff ff ff ff 7f", "an integer in the header block is too large"),
        ("82 20", "a table size update within a header block"),
        ("3f e2 1f", "a table size update exceeds SETTINGS_HEADER_TABLE_SIZE"),
        ("00 01 61 81 00", "the padding of a Huffman code is wrong"),
        ("00 01 61 82 1f ff", "the padding of a Huffman code is wrong"),
        ("00 01 61 84 ff ff ff ff", "a Huffman code contains EOS"),
        ("00 81 00 01 61", "the padding of a Huffman code is wrong"),
        ("00 01", "the header block ends within a field"),
        ("44", "the header block ends within a field"),
        ("44 7f", "the header block ends within a field"),
    ] {
        for before in ["", "82"] {
            let block = [hex(before), hex(block)].concat();
            let is_update_at_start = block.first() == Some(&0x82) && block[1] & 0xe0 == 0x20;
            let why = if is_update_at_start { "a table size update within a header block" } else { why };
            assert_eq!(lines(&mut Decoder::new(4096), &block), Err(why), "{}", block.escape_ascii());
        }
    }
}

#[test]
fn size_updates_at_the_start_evict_and_bound_the_table() {
    let mut decoder = Decoder::new(4096);
    let fill = [indexed_literal(b"a", b"1"), indexed_literal(b"b", b"2")].concat();
    assert_eq!(lines(&mut decoder, &fill).unwrap(), ["a: 1", "b: 2"]);
    // To 34 bytes, which one entry takes.
    assert_eq!(lines(&mut decoder, &[0x3f, 0x03, 0xbe]).unwrap(), ["b: 2"]);
    assert_eq!(table(&mut decoder), ["b: 2"]);
    // To zero and back to the bound.
    assert_eq!(lines(&mut decoder, &hex("20 3f e1 1f")).unwrap(), Vec::<String>::new());
    assert_eq!(table(&mut decoder), Vec::<String>::new());
    decoder.trim();
    assert_eq!(decoder.heap_bytes(), 0);
    assert_eq!(lines(&mut decoder, &fill).unwrap().len(), 2);
    assert!(decoder.heap_bytes() <= 6 * 1024, "{}", decoder.heap_bytes());
}

#[test]
fn entry_may_take_its_name_from_the_entry_that_it_evicts() {
    let mut decoder = Decoder::new(100);
    let long = [b'n'; 40];
    lines(&mut decoder, &indexed_literal(&long, b"1")).unwrap();
    let mut next = vec![0x7e];
    super::block::push_string(&mut next, b"other");
    let expected = [format!("{}: other", "n".repeat(40))];
    assert_eq!(lines(&mut decoder, &next).unwrap(), expected);
    assert_eq!(table(&mut decoder), expected);
}

#[test]
fn faults_of_names_and_values_are_kept_in_the_table() {
    let mut decoder = Decoder::new(4096);
    let block = [indexed_literal(b"A", b"x"), indexed_literal(b"b", b" x"), indexed_literal(b"c", b"a\nb ")].concat();
    lines(&mut decoder, &block).unwrap();
    let again = collect(&mut decoder, &[index(62), index(63), index(64)].concat(), 100).unwrap();
    let faults: Vec<_> = again.fields.iter().map(|field| (field.name, field.value_fault)).collect();
    assert_eq!(faults[0].1, Some(Violation::ValueByte));
    assert_eq!(faults[1].1, Some(Violation::ValueSpace));
    assert_eq!((faults[2].0, faults[2].1), (Name::Invalid(Violation::NameUppercase), None));
}

#[test]
fn expanding_block_takes_no_more_memory_than_there_is_room() {
    let mut decoder = Decoder::new(4096);
    let value = vec![b'v'; 4000];
    let bomb = [indexed_literal(b"bomb", &value), index(62).repeat(100_000)].concat();
    let sink = collect(&mut decoder, &bomb, 100).unwrap();
    assert_eq!((sink.fields.len(), sink.lines.len()), (100_001, 0));
    assert!(sink.most <= 4096 + 4, "{}", sink.most);
    assert_eq!(table(&mut decoder).len(), 1, "the table is right for the next block");
    // Names of the table, with values that have no room either.
    let mut named = Vec::new();
    for _ in 0..1000 {
        push_integer(&mut named, 0x00, 4, 62);
        super::block::push_string(&mut named, b"x");
    }
    let sink = collect(&mut decoder, &named, 3).unwrap();
    assert_eq!((sink.fields.len(), sink.lines.len(), sink.most), (1000, 0, 0));
}

#[test]
fn entry_larger_than_the_table_empties_it_whether_or_not_it_has_room() {
    for room in [0, 100, 1 << 20] {
        let mut decoder = Decoder::new(4096);
        lines(&mut decoder, &indexed_literal(b"a", b"1")).unwrap();
        collect(&mut decoder, &indexed_literal(b"b", &[b'v'; 5000]), room).unwrap();
        assert_eq!(table(&mut decoder), Vec::<String>::new(), "{room}");
    }
}

proptest! {
    #[test]
    fn any_block_gives_fields_or_an_error(block in proptest::collection::vec(any::<u8>(), 0..200), room in 0usize..300) {
        let mut decoder = Decoder::new(4096);
        let _ = collect(&mut decoder, &block, room);
    }

    #[test]
    fn cut_block_gives_the_first_fields_or_an_error(
        pairs in proptest::collection::vec(("[a-z]{1,9}", "[ -~]{0,40}"), 1..8),
        cut in 0usize..200,
    ) {
        let block = literals(&pairs);
        let cut = cut.min(block.len());
        if let Ok(first) = lines(&mut Decoder::new(4096), &block[..cut]) {
            let all = lines(&mut Decoder::new(4096), &block).unwrap();
            prop_assert_eq!(&first[..], &all[..first.len()]);
        }
    }

    #[test]
    fn table_does_not_depend_on_what_the_sink_has_room_for(
        steps in proptest::collection::vec((0usize..6, "[a-z]{0,60}", "[a-z]{0,400}"), 1..40),
        room in 0usize..200,
    ) {
        let mut block = Vec::new();
        for (kind, name, value) in &steps {
            match kind {
                0 => block.extend(index(2)),
                1 => block.extend(literals(&[(name, value)])),
                2 => {
                    push_integer(&mut block, 0x40, 6, 15);
                    super::block::push_string(&mut block, value.as_bytes());
                }
                _ => block.extend(indexed_literal(name.as_bytes(), value.as_bytes())),
            }
        }
        let (mut wide, mut narrow) = (Decoder::new(1024), Decoder::new(1024));
        collect(&mut wide, &block, 1 << 20).unwrap();
        collect(&mut narrow, &block, room).unwrap();
        prop_assert_eq!(table(&mut wide), table(&mut narrow));
    }
}
