//! Reads integers (RFC 7541 5.1).

/// Why a block cannot be decoded.
pub type Fault = &'static str;

pub(super) const CUT: Fault = "the header block ends within a field";

/// The largest integer that is read: above any length and index that the limits allow, and far from an overflow.
const MAX: usize = 1 << 28;
const TOO_LARGE: Fault = "an integer in the header block is too large";

/// Reads an integer whose first byte is `first`, of which the lowest `bits` bits belong to it; `rest` is the block behind that byte.
#[inline]
pub(super) fn read_integer(first: u8, bits: u32, rest: &mut &[u8]) -> Result<usize, Fault> {
    let prefix_max = (1usize << bits) - 1;
    let value = usize::from(first) & prefix_max;
    if value < prefix_max { Ok(value) } else { read_rest(value, rest) }
}

fn read_rest(mut value: usize, rest: &mut &[u8]) -> Result<usize, Fault> {
    let mut shift = 0;
    loop {
        let (byte, tail) = rest.split_first().ok_or(CUT)?;
        *rest = tail;
        // Zeros above the highest digit are legal, but no encoder needs them: the length of an integer is bounded, too.
        if shift > 28 {
            return Err(TOO_LARGE);
        }
        value += usize::from(byte & 0x7f) << shift;
        if value > MAX {
            return Err(TOO_LARGE);
        }
        if *byte < 0x80 {
            return Ok(value);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bits: u32, bytes: &[u8]) -> Result<(usize, usize), Fault> {
        let mut rest = &bytes[1..];
        read_integer(bytes[0], bits, &mut rest).map(|value| (value, rest.len()))
    }

    #[test]
    fn integers_of_the_rfc_are_read() {
        // RFC 7541 C.1, with bits of other fields above the prefix.
        assert_eq!(read(5, &[0xea]), Ok((10, 0)));
        assert_eq!(read(5, &[0xff, 0x9a, 0x0a, 0x77]), Ok((1337, 1)));
        assert_eq!(read(8, &[42]), Ok((42, 0)));
        assert_eq!(read(7, &[0xff, 0x00]), Ok((127, 0)));
        assert_eq!(read(7, &[0xff, 0x80, 0x00]), Ok((127, 0)));
    }

    #[test]
    fn integer_that_is_cut_or_too_large_is_an_error() {
        assert_eq!(read(5, &[0x1f]), Err(CUT));
        assert_eq!(read(5, &[0x1f, 0x80]), Err(CUT));
        assert_eq!(read(5, &[0x1f, 0xff, 0xff, 0xff, 0xff, 0x7f]), Err(TOO_LARGE));
        assert_eq!(read(5, &[0x1f, 0x80, 0x80, 0x80, 0x80, 0x01]), Err(TOO_LARGE), "2^28 above the prefix");
        assert_eq!(read(5, &[0x1f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Err(TOO_LARGE), "zeros without end");
        assert_eq!(read(5, &[0x1f, 0xff, 0xff, 0xff, 0x7f]), Err(TOO_LARGE), "2^28 - 1 above the prefix");
        assert_eq!(read(8, &[0xff, 0x81, 0xfe, 0xff, 0x7f]), Ok((MAX, 0)));
    }
}
