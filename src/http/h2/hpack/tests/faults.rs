//! Blocks that are not valid.

use super::*;
use crate::http::known::KnownField;
use crate::http::violation::Violation;

#[test]
fn faults_are_errors() {
    for (block, why) in [
        ("80", "index zero"),
        ("be", "no entry in the dynamic table"),
        ("7e 01 61", "a name from beyond the tables"),
        ("0f 2f 01 61", "a name from beyond the tables, not added"),
        ("ff ff ff ff ff 0f", "an index above any table"),
        ("ff 80 80 80 80 80 80 80 00", "zeros without end"),
        ("82 20", "a size update behind a field"),
        ("3f e2 1f", "a size update to 4,097"),
        ("04 85 ff ff ff ff ff", "EOS in a value"),
        ("04 81 ff", "eight bits of padding"),
        ("04 81 00", "padding of zeros"),
        ("00 83 ff ff ff 01 61", "an incomplete code in a name"),
        ("04 05 61", "a value that is longer than the block"),
        ("40 7f ff ff ff 7f", "a name that is longer than the block"),
    ] {
        assert!(decoded(&mut Decoder::new(4096), &hex(block)).is_err(), "{why}");
    }
}

#[test]
fn huffman_faults_are_found_in_fields_that_do_not_fit() {
    for room in [0, 3, 1000] {
        for block in ["04 85 ff ff ff ff ff", "04 81 ff", "40 81 00 01 61", "44 82 07 00"] {
            let mut sink = Collected::with_room(room);
            assert!(Decoder::new(4096).decode(&hex(block), &mut Vec::new(), &mut sink).is_err(), "{block}, {room}");
        }
    }
}

#[test]
fn block_that_is_cut_is_an_error_or_ends_between_fields() {
    let block = hex("3f e1 1f 82 41 8c f1 e3 c2 e5 f2 3a 6b a0 ab 90 f4 ff 00 01 61 7f 00 61 be");
    let ends = [0, 3, 4, 18];
    for cut in 0..22 {
        let result = decoded(&mut Decoder::new(4096), &block[..cut]);
        assert_eq!(result.is_ok(), ends.contains(&cut), "cut at {cut}: {result:?}");
    }
}

#[test]
fn size_updates_stand_at_the_beginning_and_evict() {
    let mut decoder = Decoder::new(4096);
    assert_eq!(decoded(&mut decoder, b"\x40\x01a\x01b\x40\x01c\x01d"), Ok(owned(&[("a", "b"), ("c", "d")])));
    // To 34 bytes, which hold one entry.
    assert_eq!(decoded(&mut decoder, b"\x3f\x03\xbe"), Ok(owned(&[("c", "d")])));
    assert!(decoded(&mut decoder, b"\xbf").is_err());
    // To nothing, and back to all.
    assert_eq!(decoded(&mut decoder, b"\x20\x3f\xe1\x1f\x40\x01e\x01f\xbe"), Ok(owned(&[("e", "f"), ("e", "f")])));
    assert!(decoded(&mut decoder, b"\xbf").is_err());
    assert_eq!(decoded(&mut decoder, b"\x20"), Ok(Vec::new()), "a block of a size update alone");
    decoder.trim();
    assert_eq!(decoder.heap_bytes(), 0);
    assert_eq!(
        decoded(&mut decoder, b"\x40\x01a\x01b"),
        Ok(owned(&[("a", "b")])),
        "an entry that the table cannot hold"
    );
    assert!(decoded(&mut decoder, b"\xbe").is_err());
}

#[test]
fn names_are_classified_once_and_again_from_the_table() {
    let mut decoder = Decoder::new(4096);
    let mut sink = Collected::with_room(1000);
    let block = b"\x40\x04Host\x01a\x40\x0fx-forwarded-for\x01b\x40\x00\x01c\x40\x03a b\x01d\x40\x09:protocol\x01e\x40\x02:x\x01f\x40\x09x_real_ip\x01g\
        \xc4\xc3\xc2\xc1\xc0\xbf\xbe\x0f\x33\x01z";
    assert_eq!(decoder.decode(block, &mut Vec::new(), &mut sink), Ok(()));
    let names = [
        Name::Invalid(Violation::NameUppercase),
        Name::Field(KnownField::XForwardedFor),
        Name::Invalid(Violation::EmptyName),
        Name::Invalid(Violation::NameByte),
        Name::Protocol,
        Name::UnknownPseudo,
        Name::Field(KnownField::ForwardedAlias),
    ];
    assert_eq!(sink.names, [&names[..], &names, &[Name::Protocol]].concat());
    assert_eq!(sink.fields.last(), Some(&(":protocol".to_owned(), "z".to_owned())));
}

#[test]
fn faults_of_values_are_kept_with_the_entry() {
    struct Faults(Vec<Option<Violation>>);
    impl FieldSink for Faults {
        fn room(&self) -> usize {
            100
        }
        fn take(&mut self, lines: &mut Vec<u8>, field: Decoded) {
            self.0.push(field.value_fault);
            lines.truncate(field.start);
        }
    }
    let mut faults = Faults(Vec::new());
    let block = b"\x40\x01a\x02 b\x40\x01a\x02b\t\x40\x01a\x03a\r\n\x40\x01a\x03a\0b\x40\x01a\x03a\tb\x40\x01a\x00\x40\x01a\x01\xe4\xc4\xc3\xc2\xc1\xc0\xbf\xbe";
    assert_eq!(Decoder::new(4096).decode(block, &mut Vec::new(), &mut faults), Ok(()));
    let (space, byte) = (Some(Violation::ValueSpace), Some(Violation::ValueByte));
    assert_eq!(faults.0, [space, space, byte, byte, None, None, None].repeat(2));
}
