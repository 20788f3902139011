//! The fields of new traces that are not recorded: most requests have one where tracing samples, so that it must cost next to nothing.

/// The fields as lines with an empty one at the end. A request costs a copy of them, and the digits of one number: the other half of its
/// trace's id is that of all of them, and its span has the number of the trace.
#[derive(Debug)]
pub struct Unrecorded {
    lines: Vec<u8>,
    /// Where the sixteen digits of the number stand.
    places: Vec<usize>,
}

impl Unrecorded {
    /// The lines of the trace whose number has these digits, which stand nowhere else.
    pub fn new(lines: Vec<u8>, digits: [u8; 16]) -> Unrecorded {
        let places = (0..lines.len()).filter(|&at| lines[at..].starts_with(&digits)).collect();
        Unrecorded { lines, places }
    }

    /// Replaces `out` by the lines of the trace whose number has these digits.
    #[inline]
    pub fn write(&self, digits: [u8; 16], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.lines);
        for &place in &self.places {
            if let Some(slice) = out.get_mut(place..place + digits.len()) {
                slice.copy_from_slice(&digits);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_replaced_wherever_they_stand() {
        let unrecorded = Unrecorded::new(
            b"a: 0123456789abcdef-0123456789abcdef\r\nb: 0123456789abcde".to_vec(),
            *b"0123456789abcdef",
        );
        let mut out = b"of another request".to_vec();
        unrecorded.write([b'7'; 16], &mut out);
        assert_eq!(out, b"a: 7777777777777777-7777777777777777\r\nb: 0123456789abcde");
    }
}
