//! Header blocks of HPACK (RFC 7541) made by hand: literals without Huffman code, and references. A response's status is all that is
//! decoded.

/// Entries of the static table that tests refer to.
pub const METHOD_GET: u8 = 0x82;
pub const SCHEME_HTTP: u8 = 0x86;
pub const PATH_ROOT: u8 = 0x84;
pub const COOKIE_EMPTY: u8 = 0x80 | 32;
pub const ACCEPT_ENCODING_GZIP: u8 = 0x80 | 16;
/// The newest entry of the dynamic table.
pub const NEWEST: u8 = 0x80 | 62;

pub type Field<'a> = (&'a [u8], &'a [u8]);

/// An integer with a prefix of so many bits (RFC 7541 5.1), below the given pattern.
pub fn integer(pattern: u8, bits: u32, value: usize) -> Vec<u8> {
    let most = (1 << bits) - 1;
    if value < most {
        return vec![pattern | u8::try_from(value).expect("below the prefix")];
    }
    let mut bytes = vec![pattern | u8::try_from(most).expect("a prefix")];
    let mut rest = value - most;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).expect("7 bits") | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).expect("7 bits"));
    bytes
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [&integer(0, 7, bytes.len())[..], bytes].concat()
}

/// A field that is not added to the dynamic table.
pub fn literal(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[0][..], &text(name.as_ref()), &text(value.as_ref())].concat()
}

/// A field that is added to the dynamic table.
pub fn indexed_literal(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[0x40][..], &text(name.as_ref()), &text(value.as_ref())].concat()
}

pub fn block(fields: &[Field]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// The pseudo fields of a request to `a.test`.
pub fn request(method: &str, path: &str) -> Vec<u8> {
    request_to("a.test", method, path)
}

pub fn request_to(authority: &str, method: &str, path: &str) -> Vec<u8> {
    block(&[
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":path", path.as_bytes()),
        (b":authority", authority.as_bytes()),
    ])
}

/// The status in a response's block, which is its first field; none in trailers.
pub fn status_of(block: &[u8]) -> Option<u16> {
    // An update of the table's size may come first.
    let block = if block.first()? & 0xe0 == 0x20 { block.get(1..)? } else { block };
    let full = [200, 204, 206, 304, 400, 404, 500];
    match *block.first()? {
        index @ 0x88..=0x8e => Some(full[usize::from(index - 0x88)]),
        // A literal whose name is one of the entries 8 to 14, with or without indexing.
        0x08..=0x0e | 0x48..=0x4e => digits(block.get(1..)?),
        _ => None,
    }
}

/// A text of three digits, plain or in Huffman code (RFC 7541 appendix B: 0 to 2 have five bits, 3 to 9 six).
fn digits(text: &[u8]) -> Option<u16> {
    let length = usize::from(text.first()? & 0x7f);
    let bytes = text.get(1..=length)?;
    if text[0] & 0x80 == 0 {
        return std::str::from_utf8(bytes).ok()?.parse().ok();
    }
    let bits: Vec<u16> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |n| u16::from(byte >> n & 1))).collect();
    let (mut at, mut value) = (0, 0);
    for _ in 0..3 {
        let number = |count: usize| Some(bits.get(at..at + count)?.iter().fold(0, |sum, bit| sum << 1 | bit));
        let (digit, count) = match number(5)? {
            short @ 0..=2 => (short, 5),
            _ => (number(6)?.checked_sub(0b01_0110)?, 6),
        };
        (at, value) = (at + count, value * 10 + digit);
    }
    Some(value)
}
