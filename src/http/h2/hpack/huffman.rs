//! Decodes the Huffman code (RFC 7541 5.2), one symbol with each look-up: codes of up to ten bits, which nearly all text consists of, by a
//! table, longer ones by comparing with the last code of each length.

use super::codes::CODES;
use super::integer::Fault;

const PADDING: Fault = "the padding of a Huffman code is wrong";
const EOS_WITHIN: Fault = "a Huffman code contains EOS";

const EOS: usize = 256;
/// Codes of up to so many bits are found by the table [`SHORT`].
const SHORT_BITS: u32 = 10;

/// Appends the decoded text to `out`.
pub(super) fn decode(code: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    // No code is shorter than five bits.
    out.reserve(len_max(code));
    each_symbol(code, |byte| out.push(byte))
}

/// The length of the decoded text.
pub(super) fn decoded_len(code: &[u8]) -> Result<usize, Fault> {
    let mut len = 0;
    each_symbol(code, |_| len += 1)?;
    Ok(len)
}

/// The largest length that the text of a code may have.
pub(super) fn len_max(code: &[u8]) -> usize {
    code.len().saturating_mul(8) / 5
}

#[inline]
fn each_symbol(code: &[u8], mut take: impl FnMut(u8)) -> Result<(), Fault> {
    let mut rest = code;
    // The next bits, from the highest down, and how many of them are there.
    let (mut bits, mut count) = (0u64, 0u32);
    loop {
        if let Some(word) = rest.first_chunk::<8>() {
            bits |= u64::from_be_bytes(*word) >> count;
            let taken = (63 - count) / 8;
            rest = &rest[taken as usize..];
            count += taken * 8;
        } else {
            while count < 56
                && let Some((byte, tail)) = rest.split_first()
            {
                bits |= u64::from(*byte) << (56 - count);
                count += 8;
                rest = tail;
            }
        }
        // Short codes are taken as long as all bits of a longest one are there.
        while count >= SHORT_BITS {
            let Some(Symbol { byte, len: len @ 1.. }) = SHORT.get((bits >> (64 - SHORT_BITS)) as usize) else { break };
            take(*byte);
            bits <<= len;
            count -= u32::from(*len);
        }
        if count < 30 && !rest.is_empty() {
            continue;
        }
        match next(bits, count)? {
            Some((byte, len)) => {
                take(byte);
                bits <<= len;
                count -= len;
            }
            None => return Ok(()),
        }
    }
}

/// The next symbol and the length of its code; `None` at the end. If fewer than 30 bits are left, they are the last ones.
fn next(bits: u64, count: u32) -> Result<Option<(u8, u32)>, Fault> {
    if count == 0 {
        return Ok(None);
    }
    // The code ends with ones, so that what is missing never completes a code.
    let window = (bits | (u64::MAX >> count)) >> 32;
    let row = LENGTHS.iter().find(|row| window < row.end);
    let found = row.and_then(|row| {
        let code = (window >> (32 - row.len)) as usize;
        let symbol = ORDER.get(code.checked_sub(row.first_code)?.checked_add(row.first_symbol)?)?;
        Some((usize::from(*symbol), row.len))
    });
    match found {
        Some((symbol, len)) if len <= count => match u8::try_from(symbol) {
            Ok(byte) => Ok(Some((byte, len))),
            Err(_) => Err(EOS_WITHIN),
        },
        _ if count < 8 && bits >> (64 - count) == (1 << count) - 1 => Ok(None),
        _ => Err(PADDING),
    }
}

#[derive(Clone, Copy)]
struct Symbol {
    byte: u8,
    /// Length of the code; zero if the code is a long one.
    len: u8,
}

/// The symbol for each beginning of [`SHORT_BITS`] bits.
static SHORT: [Symbol; 1 << SHORT_BITS] = short();

const fn short() -> [Symbol; 1 << SHORT_BITS] {
    let mut table = [Symbol { byte: 0, len: 0 }; 1 << SHORT_BITS];
    let mut symbol = 0;
    while symbol < EOS {
        let (code, len) = CODES[symbol];
        if (len as u32) <= SHORT_BITS {
            let spare = SHORT_BITS - len as u32;
            let mut at = (code as usize) << spare;
            while at < ((code as usize) + 1) << spare {
                table[at] = Symbol { byte: symbol as u8, len };
                at += 1;
            }
        }
        symbol += 1;
    }
    table
}

/// The codes of one length. The code is canonical: in the order of their symbols they are consecutive numbers.
#[derive(Clone, Copy)]
struct Length {
    len: u32,
    /// A beginning of 32 bits has a code of this length or a shorter one if it is below this number.
    end: u64,
    first_code: usize,
    /// Position of the first symbol in [`ORDER`].
    first_symbol: usize,
}

const BITS_MAX: usize = 30;

static LENGTHS: [Length; BITS_MAX] = lengths();
/// The symbols in the order of their codes.
static ORDER: [u16; EOS + 1] = order();

const fn lengths() -> [Length; BITS_MAX] {
    let mut table = [Length { len: 1, end: 0, first_code: 0, first_symbol: 0 }; BITS_MAX];
    let (mut len, mut symbols) = (1, 0);
    while len <= BITS_MAX {
        let (mut first, mut count, mut symbol) = (0, 0, 0);
        while symbol <= EOS {
            let (code, code_len) = CODES[symbol];
            if code_len as usize == len {
                if count == 0 {
                    first = code as usize;
                }
                assert!(code as usize == first + count, "the code is canonical");
                count += 1;
            }
            symbol += 1;
        }
        let end = if count == 0 { 0 } else { ((first + count) as u64) << (32 - len) };
        table[len - 1] = Length { len: len as u32, end, first_code: first, first_symbol: symbols };
        symbols += count;
        len += 1;
    }
    table
}

const fn order() -> [u16; EOS + 1] {
    let mut order = [0; EOS + 1];
    let (mut len, mut at) = (1, 0);
    while len <= BITS_MAX {
        let mut symbol = 0;
        while symbol <= EOS {
            if CODES[symbol].1 as usize == len {
                order[at] = symbol as u16;
                at += 1;
            }
            symbol += 1;
        }
        len += 1;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::super::encode::push_huffman;
    use super::*;
    use proptest::prelude::*;

    /// The text in the Huffman code, without the length in front.
    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_huffman(&mut out, text);
        let at =
            1 + if out[0] == 0xff { out[1..].iter().position(|byte| *byte < 0x80).expect("an end") + 1 } else { 0 };
        out.split_off(at)
    }

    fn decoded(code: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut out = b"before".to_vec();
        decode(code, &mut out)?;
        assert_eq!(decoded_len(code), Ok(out.len() - 6));
        Ok(out.split_off(6))
    }

    /// Decodes bit by bit, by comparing with every code.
    fn decoded_slowly(code: &[u8]) -> Result<Vec<u8>, Fault> {
        let bits = || code.iter().flat_map(|byte| (0..8).rev().map(move |bit| u32::from(byte >> bit & 1)));
        let (mut text, mut pending, mut len) = (Vec::new(), 0u32, 0u8);
        for bit in bits() {
            (pending, len) = (pending << 1 | bit, len + 1);
            if let Some(symbol) = CODES.iter().position(|code| *code == (pending, len)) {
                text.push(u8::try_from(symbol).map_err(|_| EOS_WITHIN)?);
                (pending, len) = (0, 0);
            }
        }
        if len < 8 && pending == (1 << len) - 1 { Ok(text) } else { Err(PADDING) }
    }

    #[test]
    fn texts_of_the_rfc_are_decoded() {
        let example = b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        assert_eq!(decoded(example), Ok(b"www.example.com".to_vec()));
        assert_eq!(decoded(b"\x64\x02"), Ok(b"302".to_vec()));
        assert_eq!(decoded(b""), Ok(Vec::new()));
    }

    #[test]
    fn every_byte_is_decoded_alone_and_among_others() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decoded(&encoded(&all)), Ok(all.clone()));
        for byte in all {
            assert_eq!(decoded(&encoded(&[byte])), Ok(vec![byte]));
            assert_eq!(decoded(&encoded(&[byte, b'0', byte, b'a', byte])), Ok(vec![byte, b'0', byte, b'a', byte]));
        }
    }

    #[test]
    fn wrong_padding_and_eos_are_errors() {
        // "0" is five zeros.
        assert_eq!(decoded(&[0x07]), Ok(b"0".to_vec()));
        for padding in [0x06, 0x03, 0x00] {
            let zeros = decoded(&[padding]);
            assert_eq!(zeros, Err(PADDING), "{padding:#x}");
        }
        assert_eq!(decoded(&[0x07, 0xff]), Err(PADDING), "eleven bits");
        assert_eq!(decoded(&[0xff]), Err(PADDING), "eight bits");
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), Err(EOS_WITHIN));
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xfc]), Err(EOS_WITHIN));
        assert_eq!(decoded(&[0x07, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]), Err(EOS_WITHIN));
        assert_eq!(decoded(&[0xff, 0xff, 0xff]), Err(PADDING), "24 bits, the beginning of a long code");
    }

    proptest! {
        #[test]
        fn decoded_text_is_what_was_encoded(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(&encoded(&text)), Ok(text));
        }

        #[test]
        fn text_of_common_letters_is_what_was_encoded(text in "[ -~]{0,200}") {
            prop_assert_eq!(decoded(&encoded(text.as_bytes())), Ok(text.into_bytes()));
        }

        #[test]
        fn any_code_is_decoded_as_bit_by_bit(code in proptest::collection::vec(any::<u8>(), 0..40), ones in 0usize..6) {
            let code = [code, vec![0xff; ones]].concat();
            match (decoded(&code), decoded_slowly(&code)) {
                (Ok(fast), slow) => prop_assert_eq!(Ok(fast), slow),
                (Err(_), slow) => prop_assert!(slow.is_err()),
            }
        }
    }
}
