//! MD5 crypt, the MD5 form of crypt(3): `$1$salt$hash`, and Apache's variant `$apr1$`. Written after the published algorithm.

use md5::{Digest, Md5};

/// The alphabet of crypt(3): one character for six bits.
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SALT_BYTES_MAX: usize = 8;
const ROUNDS: usize = 1000;

/// Returns the whole hash text, `magic` and salt included. `magic` is `$1$` or `$apr1$`.
pub fn hash(magic: &str, salt: &[u8], password: &[u8]) -> String {
    let salt = &salt[..salt.len().min(SALT_BYTES_MAX)];
    let mut digest = first_digest(magic.as_bytes(), salt, password);
    // A thousand rounds make guessing slower; the input of each depends on its number.
    for round in 0..ROUNDS {
        let mut md5 = Md5::new();
        md5.update(if round % 2 == 1 { password } else { &digest });
        if round % 3 != 0 {
            md5.update(salt);
        }
        if round % 7 != 0 {
            md5.update(password);
        }
        md5.update(if round % 2 == 1 { &digest[..] } else { password });
        digest = md5.finalize().into();
    }
    let mut text = String::with_capacity(magic.len() + salt.len() + 23);
    text.push_str(magic);
    text.push_str(&String::from_utf8_lossy(salt));
    text.push('$');
    push_digest(&digest, &mut text);
    text
}

fn first_digest(magic: &[u8], salt: &[u8], password: &[u8]) -> [u8; 16] {
    let inner: [u8; 16] = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize().into();
    let mut md5 = Md5::new();
    md5.update(password);
    md5.update(magic);
    md5.update(salt);
    let mut left = password.len();
    while left > 0 {
        md5.update(&inner[..left.min(16)]);
        left = left.saturating_sub(16);
    }
    let mut bits = password.len();
    while bits > 0 {
        md5.update(if bits & 1 == 1 { &[0][..] } else { &password[..1] });
        bits >>= 1;
    }
    md5.finalize().into()
}

/// Appends 128 bits in the order of crypt(3): 22 characters.
fn push_digest(digest: &[u8; 16], text: &mut String) {
    const ORDER: [(usize, usize, usize); 5] = [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)];
    let mut push = |bits: u32, count: usize| {
        for at in 0..count {
            text.push(char::from(ALPHABET[(bits >> (6 * at)) as usize & 63]));
        }
    };
    for (high, middle, low) in ORDER {
        push(u32::from(digest[high]) << 16 | u32::from(digest[middle]) << 8 | u32::from(digest[low]), 4);
    }
    push(u32::from(digest[11]), 2);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_equals_that_of_openssl() {
        // Made with `openssl passwd -apr1` and `-1`, openssl 3.
        for (magic, salt, password, expected) in VECTORS {
            assert_eq!(hash(magic, salt.as_bytes(), password.as_bytes()), *expected, "{password:?}");
        }
    }

    const VECTORS: &[(&str, &str, &str, &str)] = &[
        ("$apr1$", "ringway1", "secret", "$apr1$ringway1$YI0UorA2p3/E8o49Bl5O/0"),
        ("$apr1$", "ab", "p", "$apr1$ab$vv77ghmKwCAoaGfFCKWSr/"),
        ("$apr1$", "saltsalt", "a rather long password, beyond sixteen bytes", "$apr1$saltsalt$riEyzmOo1o1QBGdEQiKNF1"),
        ("$apr1$", "x", "0123456789abcdef", "$apr1$x$7smHx4qPUie9g3UogSau.0"),
        ("$apr1$", "Q.8/zz", "pässwörd", "$apr1$Q.8/zz$3HdP4gl8X.q.44jA6bbZF."),
        ("$1$", "ringway1", "secret", "$1$ringway1$4OEONczSd83IlBaHy4ZW6."),
        ("$1$", "ab", "p", "$1$ab$lTzPedJomxi5Cai/PnmfX."),
        ("$1$", "saltsalt", "a rather long password, beyond sixteen bytes", "$1$saltsalt$ztMfrFBU.0JIgeOTv1WOT/"),
        ("$1$", "x", "0123456789abcdef", "$1$x$2EdUsAP9rneKidv.e/Jcn."),
        ("$1$", "Q.8/zz", "pässwörd", "$1$Q.8/zz$7hag8iZ7qlYfHhSZfUM/S."),
    ];
}
