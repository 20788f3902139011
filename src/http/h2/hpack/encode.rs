//! Writes the representations of a header block (RFC 7541 5, 6), without the dynamic table and without the Huffman code.
//!
//! Measured on values of 4 to 101 bytes, the code costs 35 to 173 ns and saves about a fifth of the bytes; to copy them takes 4 to 9 ns. The
//! peer would have to decode it, too.

/// How the peer, and every intermediary behind it, may store a field that is sent as a literal (RFC 7541 6.2.2, 6.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Literal {
    WithoutIndexing,
    NeverIndexed,
}

impl Literal {
    fn pattern(self) -> u8 {
        match self {
            Literal::WithoutIndexing => 0x00,
            Literal::NeverIndexed => 0x10,
        }
    }
}

/// Appends a field that stands in the static table, by its index.
#[inline]
pub fn push_indexed(out: &mut Vec<u8>, index: u8) {
    push_integer(out, 0x80, 7, usize::from(index));
}

/// Appends a field whose name stands in the static table.
#[inline]
pub fn push_value(out: &mut Vec<u8>, literal: Literal, name_index: u8, value: &[u8]) {
    push_integer(out, literal.pattern(), 4, usize::from(name_index));
    push_string(out, value);
}

/// Appends a field with a name in any case, which is sent in lower case (RFC 9113 8.2.1).
#[inline]
pub fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(Literal::WithoutIndexing.pattern());
    push_integer(out, 0x00, 7, name.len());
    out.extend(name.iter().map(u8::to_ascii_lowercase));
    push_string(out, value);
}

/// Appends a field with a name in lower case.
#[inline]
pub fn push_named(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(Literal::WithoutIndexing.pattern());
    push_string(out, name);
    push_string(out, value);
}

/// Appends a string as it is.
#[inline]
fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    push_integer(out, 0x00, 7, text.len());
    out.extend_from_slice(text);
}

/// Appends a string in the Huffman code (RFC 7541 5.2), as other programs send it.
#[cfg(test)]
pub(super) fn push_huffman(out: &mut Vec<u8>, text: &[u8]) {
    let bits: usize = text.iter().map(|byte| usize::from(super::codes::CODES[usize::from(*byte)].1)).sum();
    push_integer(out, 0x80, 7, bits.div_ceil(8));
    let (mut pending, mut count) = (0u64, 0u32);
    for byte in text {
        let (code, len) = super::codes::CODES[usize::from(*byte)];
        pending = (pending << len) | u64::from(code);
        count += u32::from(len);
        if count >= 32 {
            count -= 32;
            out.extend_from_slice(&((pending >> count) as u32).to_be_bytes());
        }
    }
    while count > 0 {
        // The rest is padded with the first bits of EOS, which are ones.
        let missing = 8u32.saturating_sub(count);
        out.push(((pending << missing) >> (count + missing - 8)) as u8 | ((1u16 << missing) - 1) as u8);
        count = count.saturating_sub(8);
    }
}

/// Appends an integer with a prefix of `bits` bits below `pattern` (RFC 7541 5.1).
#[inline]
fn push_integer(out: &mut Vec<u8>, pattern: u8, bits: u32, value: usize) {
    let prefix_max = (1usize << bits) - 1;
    if value < prefix_max {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | prefix_max as u8);
    let mut rest = value - prefix_max;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 0x80);
        rest /= 128;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn integers_are_written_as_in_the_rfc() {
        // RFC 7541 C.1.
        assert_eq!(written(|out| push_integer(out, 0, 5, 10)), [0x0a]);
        assert_eq!(written(|out| push_integer(out, 0, 5, 1337)), [0x1f, 0x9a, 0x0a]);
        assert_eq!(written(|out| push_integer(out, 0, 8, 42)), [0x2a]);
        assert_eq!(written(|out| push_integer(out, 0x80, 7, 127)), [0xff, 0x00]);
        assert_eq!(written(|out| push_integer(out, 0, 4, 15 + 127)), [0x0f, 0x7f]);
        assert_eq!(written(|out| push_integer(out, 0, 4, 15 + 128)), [0x0f, 0x80, 0x01]);
    }

    #[test]
    fn fields_are_written_as_in_the_rfc() {
        // RFC 7541 C.2.2, C.2.3, C.2.4.
        let path = written(|out| push_value(out, Literal::WithoutIndexing, 4, b"/sample/path"));
        assert_eq!(path, b"\x04\x0c/sample/path");
        for write in [push_field, push_named] {
            assert_eq!(written(|out| write(out, b"password", b"secret")), b"\x00\x08password\x06secret");
        }
        assert_eq!(written(|out| push_field(out, b"PassWord_Z", b"")), b"\x00\x0apassword_z\x00");
        assert_eq!(written(|out| push_indexed(out, 2)), [0x82]);
        assert_eq!(written(|out| push_value(out, Literal::NeverIndexed, 23, b"x")), b"\x1f\x08\x01x");
    }

    #[test]
    fn huffman_code_is_that_of_the_rfc() {
        // RFC 7541 C.4.1 and C.6.1.
        let host = b"\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        assert_eq!(written(|out| push_huffman(out, b"www.example.com")), host);
        assert_eq!(written(|out| push_huffman(out, b"302")), b"\x82\x64\x02");
        assert_eq!(written(|out| push_huffman(out, b"")), b"\x80");
    }
}
