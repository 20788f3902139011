//! Round trips: the decoder gives the fields that an encoder has sent, whatever the sink has room for.

use proptest::collection::vec;
use proptest::prelude::*;

use super::encoder::{Encoder, Pattern, Step};
use super::*;

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let pattern = prop_oneof![3 => Just(Pattern::Added), 1 => Just(Pattern::NotAdded), 1 => Just(Pattern::Never)];
    let name = prop_oneof!["[a-z-]{0,12}".prop_map(Ok), any::<u16>().prop_map(Err)];
    let value = prop_oneof![4 => "[ -~]{0,40}", 1 => "[ -~]{100,400}"];
    let literal = (pattern, name, value, any::<(bool, bool)>())
        .prop_map(|(pattern, name, value, huffman)| Step::Literal { pattern, name, value, huffman });
    let step = prop_oneof![
        1 => any::<u16>().prop_map(Step::Resize),
        4 => any::<u16>().prop_map(Step::Index),
        6 => literal,
    ];
    vec(vec(step, 0..12), 1..8)
}

proptest! {
    #[test]
    fn blocks_of_one_connection_are_decoded(blocks in steps(), bound in prop_oneof![Just(4096usize), 0usize..600]) {
        let (mut encoder, mut decoder) = (Encoder::new(bound), Decoder::new(bound));
        for steps in blocks {
            let (block, fields) = encoder.block(&steps);
            prop_assert_eq!(decoded(&mut decoder, &block), Ok(fields));
        }
    }

    #[test]
    fn sink_without_room_changes_nothing_for_later_blocks(
        blocks in steps(),
        rooms in vec(0usize..120, 8),
        bound in prop_oneof![Just(4096usize), 0usize..600],
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(bound), Decoder::new(bound));
        let mut lines = Vec::new();
        for (steps, room) in blocks.iter().zip(rooms) {
            let (block, fields) = encoder.block(steps);
            let mut sink = Collected::with_room(room);
            prop_assert_eq!(decoder.decode(&block, &mut lines, &mut sink), Ok(()));
            let len = |(name, value): &(String, String)| name.len() + value.len();
            let (short, long): (Vec<_>, Vec<_>) = fields.into_iter().partition(|field| len(field) <= room);
            prop_assert_eq!(sink.fields, short);
            prop_assert_eq!(sink.too_long, long.iter().map(len).collect::<Vec<_>>());
            prop_assert!(lines.is_empty());
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused_within_the_bounds(
        blocks in vec(vec(any::<u8>(), 0..300), 1..4),
        room in 0usize..200,
    ) {
        let mut decoder = Decoder::new(256);
        let mut lines = Vec::new();
        for block in blocks {
            let mut sink = Collected::with_room(room);
            let result = decoder.decode(&block, &mut lines, &mut sink);
            let len = |text: &String| text.chars().count();
            prop_assert!(sink.fields.iter().all(|(name, value)| len(name) + len(value) <= room));
            // A vector grows to twice what it holds.
            prop_assert!(lines.capacity() <= 2 * (room.max(256) + 600), "{}", lines.capacity());
            prop_assert!(decoder.heap_bytes() <= 256 + 8 * 16);
            if result.is_err() {
                break;
            }
        }
    }
}
