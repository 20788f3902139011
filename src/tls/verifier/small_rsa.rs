//! Signatures by RSA keys of 1024 to 2047 bits, which devices of some years ago have and Go accepts. The crypto provider of rustls begins at
//! 2048 bits. Verifying needs no secret, so plain arithmetic is enough (RFC 8017 8.1.2, 8.2.2).

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use x509_parser::num_bigint::BigUint;

use super::der::PublicKey;

/// The sizes that the provider does not verify and Go does, in bits.
const SIZES: std::ops::Range<usize> = 1024..2048;
/// Bytes of an exponent: Go, too, refuses longer ones.
const EXPONENT_BYTES_MAX: usize = 4;

/// The padding of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// RSASSA-PKCS1-v1_5.
    Pkcs1,
    /// RSASSA-PSS with a salt as long as the hash, as TLS 1.3 requires.
    Pss,
}

/// Whether the key is an RSA key of a size that this file verifies.
pub fn is_small(key: &PublicKey<'_>) -> bool {
    key.rsa().is_some_and(|(modulus, exponent)| {
        SIZES.contains(&bit_length(modulus)) && (1..=EXPONENT_BYTES_MAX).contains(&exponent.len())
    })
}

/// Whether the signature of `message` was made with the key, for which [`is_small`] is true.
pub fn verify(
    key: &PublicKey<'_>,
    padding: Padding,
    hash: &'static Algorithm,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let Some((modulus, exponent)) = key.rsa().filter(|_| is_small(key)) else { return false };
    let (n, s) = (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(signature));
    if signature.len() != modulus.len() || s >= n {
        return false;
    }
    let encoded = s.modpow(&BigUint::from_bytes_be(exponent), &n).to_bytes_be();
    let hashed = digest(hash, message);
    match padding {
        Padding::Pkcs1 => pkcs1(hash, hashed.as_ref(), modulus.len()).is_some_and(|expected| expected[1..] == encoded),
        Padding::Pss => is_pss(hash, hashed.as_ref(), &encoded, bit_length(modulus) - 1),
    }
}

fn bit_length(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

/// EMSA-PKCS1-v1_5 (RFC 8017 9.2).
fn pkcs1(hash: &'static Algorithm, hashed: &[u8], length: usize) -> Option<Vec<u8>> {
    let (last, bytes) = match hash {
        hash if *hash == SHA256 => (1, 32),
        hash if *hash == SHA384 => (2, 48),
        hash if *hash == SHA512 => (3, 64),
        _ => return None,
    };
    let info = [0x30, 17 + bytes, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, last, 5, 0, 4, bytes];
    let filled = length.checked_sub(3 + info.len() + hashed.len()).filter(|filled| *filled >= 8)?;
    Some([&[0, 1], &vec![0xff; filled][..], &[0], &info, hashed].concat())
}

/// EMSA-PSS-VERIFY (RFC 8017 9.1.2). `encoded` has no leading zeros.
fn is_pss(hash: &'static Algorithm, hashed: &[u8], encoded: &[u8], bits: usize) -> bool {
    let (length, hash_length) = (bits.div_ceil(8), hashed.len());
    let Some(zeros) = length.checked_sub(encoded.len()) else { return false };
    let encoded = [&vec![0; zeros][..], encoded].concat();
    if length < 2 * hash_length + 2 || encoded[length - 1] != 0xbc {
        return false;
    }
    let (masked, rest) = encoded.split_at(length - hash_length - 1);
    let expected = &rest[..hash_length];
    let unused_bits = 8 * length - bits;
    if unused_bits > 0 && masked[0] >> (8 - unused_bits) != 0 {
        return false;
    }
    let mut block: Vec<u8> = masked.iter().zip(mask(hash, expected, masked.len())).map(|(a, b)| a ^ b).collect();
    block[0] &= 0xff >> unused_bits;
    let (padding, salt) = block.split_at(block.len() - hash_length);
    let is_padded = padding.split_last().is_some_and(|(one, zeros)| *one == 1 && zeros.iter().all(|zero| *zero == 0));
    is_padded && digest(hash, &[&[0; 8], hashed, salt].concat()).as_ref() == expected
}

/// MGF1 (RFC 8017 B.2.1).
fn mask(hash: &'static Algorithm, seed: &[u8], length: usize) -> Vec<u8> {
    let mut mask = Vec::with_capacity(length + seed.len());
    let mut counter: u32 = 0;
    while mask.len() < length {
        mask.extend_from_slice(digest(hash, &[seed, &counter.to_be_bytes()].concat()).as_ref());
        counter += 1;
    }
    mask.truncate(length);
    mask
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// A key of 1024 bits, and its signatures of "message", all by openssl.
    const KEY: &str = "MIGJAoGBAO1w5JFKDslDfGyaqfafkTZSq0mgbHqSJS5j/TT6O3GCZLneCYh97nBH+0uEGeArqhOKSS6YwybqKTvDxhUMeD4Ss59A0vHEFwpK+PZHZ0UFd11IGfLHQFKQrek2ym00aIFcxWyYxRWntsV1BLRaej/vyPpuZAEZaW1+PPO5aaNnAgMBAAE=";
    const PKCS1_SHA256: &str = "rH/HPgEsindKmPCjyAO80SdNOBSVJLEkTipEI0z2/Pi29wYx2FkB4MLC8GZPCEXMUDVp8+1oji94EpEekSClyJG5qwlPtWM43p5sv72sL71/mQ8RhGSBCEeHqU/9UOlUuIQFKqnusXukuINCKCHe2pWTfy8ZmfXnr5E07IfRDM0=";
    const PKCS1_SHA512: &str = "gGyhAC+HwQ/Sw2r315To3Nu6ASfU2Q2I+XYwC6BBsBekYPrCW5cDd7lGj8FKvpUhjAvFWU67VTuWb4wGzV6YC4NB4tUUmcc4gZBHmtlJ5Ptz06F7i0h06jLQv0em/NBJf935PHMxPSc6Uep+yG12LGzQJqAhfqS7VXVJmDtzqLg=";
    const PSS_SHA256: &str = "caixtX/0HfBYv8M1Ci+oah3bb1r23CpFLA5EoTQPCAkm6B1XGH3EiYqhbnMbOzl34RoudMqdqkrgWSdBxo/8ntT6TmGkPJ8bCzQ7pTyBdSr/4O2eP5Qt114N0FUpwn0zuvopfSRjHaC/Ka0tUfSmQz/kPFMg/7GEpMb/NO9Begc=";
    const PSS_SHA384: &str = "kQjhPDPZ1T3nKZ/5D9JmL5dVci0dPzk3GBcjovqbZAvsnTdMW6Gv6ofRK6K/p1AXZssGHvjZrrMOCsna2gfYy1cLzL+b5PeK2AJxEvtJ9RrrIlvpxCmrRHqYkD9Epy/+V5OG+G1conP0XRN4Rrd6Qh05ykXUsEBbkwn8mH8LvbU=";
    /// With a salt of 20 bytes, which TLS does not allow.
    const PSS_SHORT_SALT: &str = "orLeIW4XI8yeBXh9sIkIR6WYWulp2gMPOeZ351XOexnz6pN+d5j3nlCOVqv9NJCaIgQ67AXRebgl6yTBKPLMh8MZ88i4cf34XqRwi0zg56dyezcrjLsSDoSx2tyuM7Q2hUDC+i/2wI3oSDL4OQDAimIDqsqecuRR5lQ8AqNUXIk=";

    const RSA: [u8; 13] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

    fn verifies(padding: Padding, hash: &'static Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let bits = STANDARD.decode(KEY).unwrap();
        let key = PublicKey { algorithm: &RSA, bits: &bits };
        assert!(is_small(&key));
        verify(&key, padding, hash, message, signature)
    }

    #[test]
    fn signatures_of_openssl_verify_and_every_change_is_noticed() {
        let rows: [(_, &'static Algorithm, _); 4] = [
            (Padding::Pkcs1, &SHA256, PKCS1_SHA256),
            (Padding::Pkcs1, &SHA512, PKCS1_SHA512),
            (Padding::Pss, &SHA256, PSS_SHA256),
            (Padding::Pss, &SHA384, PSS_SHA384),
        ];
        for (at, (padding, hash, signature)) in rows.iter().enumerate() {
            let signature = STANDARD.decode(signature).unwrap();
            assert!(verifies(*padding, hash, b"message", &signature), "{padding:?}");
            assert!(!verifies(*padding, hash, b"messagE", &signature));
            assert!(!verifies(*padding, hash, b"message", &signature[1..]));
            for (other, (padding, hash, _)) in rows.iter().enumerate().filter(|(other, _)| *other != at) {
                assert!(!verifies(*padding, hash, b"message", &signature), "{at} as {other}");
            }
            for byte in 0..signature.len() {
                let mut changed = signature.clone();
                changed[byte] ^= 1;
                assert!(!verifies(*padding, hash, b"message", &changed), "byte {byte}");
            }
        }
        assert!(!verifies(Padding::Pss, &SHA256, b"message", &STANDARD.decode(PSS_SHORT_SALT).unwrap()));
        assert!(!verifies(Padding::Pkcs1, &SHA256, b"message", &[0; 128]));
        assert!(!verifies(Padding::Pss, &SHA256, b"message", &[]));
    }

    #[test]
    fn only_rsa_keys_of_1024_to_2047_bits_are_small() {
        let key = |modulus: &[u8], exponent: &[u8]| {
            let integer = |number: &[u8]| [&[2, 0x82, (number.len() >> 8) as u8, number.len() as u8], number].concat();
            let numbers = [integer(modulus), integer(exponent)].concat();
            [&[0x30, 0x82, (numbers.len() >> 8) as u8, numbers.len() as u8], &numbers[..]].concat()
        };
        let of_bits = |bits: usize| [&[1 << ((bits - 1) % 8)][..], &vec![1; bits.div_ceil(8) - 1]].concat();
        for (bits, expected) in [(1023, false), (1024, true), (2047, true), (2048, false)] {
            let bytes = key(&of_bits(bits), &[1, 0, 1]);
            assert_eq!(is_small(&PublicKey { algorithm: &RSA, bits: &bytes }), expected, "{bits}");
        }
        for exponent in [&[0][..], &[1, 0, 0, 0, 1]] {
            let bytes = key(&of_bits(1024), exponent);
            assert!(!is_small(&PublicKey { algorithm: &RSA, bits: &bytes }));
        }
        assert!(!is_small(&PublicKey { algorithm: &RSA[..5], bits: &key(&of_bits(1024), &[3]) }));
    }
}
