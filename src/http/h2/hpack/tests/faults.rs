//! Blocks that are not valid.

use super::*;

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
