//! The values of keys: text, gzip, or gzip in base64, as Traefik v1's store source reads them
//! (docs/reference/key-value-stores.md#values).

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::limits::STORE_VALUE_BYTES_MAX;

/// The first bytes of every gzip stream, and of its base64.
const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
const GZIP_BASE64: &[u8] = b"H4sI";

/// Decodes a value. A text that only looks like base64 of gzip stays as it is.
///
/// # Errors
/// A sentence that says why the value cannot be used.
pub fn decode_value(bytes: &[u8]) -> Result<String, String> {
    let text = if bytes.starts_with(GZIP) {
        decompress(bytes)?
    } else if bytes.starts_with(GZIP_BASE64) {
        let compressed = STANDARD.decode(bytes.trim_ascii_end()).ok();
        match compressed.filter(|compressed| compressed.starts_with(GZIP)) {
            Some(compressed) => decompress(&compressed)?,
            None => bytes.to_vec(),
        }
    } else {
        bytes.to_vec()
    };
    String::from_utf8(text).map_err(|_| "the value is no UTF-8 text: write text, or gzip of text".to_owned())
}

/// Compresses a value as Traefik v1 writes its large objects.
///
/// # Errors
/// None in practice: the output is in memory.
pub fn compress(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text)?;
    encoder.finish()
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let max = u64::try_from(STORE_VALUE_BYTES_MAX).unwrap_or(u64::MAX);
    let read = GzDecoder::new(bytes).take(max.saturating_add(1)).read_to_end(&mut text);
    read.map_err(|error| format!("the value begins as gzip and cannot be decompressed: {error}"))?;
    if text.len() > STORE_VALUE_BYTES_MAX {
        return Err(format!("the decompressed value has more than {STORE_VALUE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_text_gzip_or_gzip_in_base64() {
        let gzip = compress(b"Host:a.test").expect("in memory");
        let base64 = STANDARD.encode(&gzip);
        for value in [&b"Host:a.test"[..], &gzip, base64.as_bytes()] {
            assert_eq!(decode_value(value).as_deref(), Ok("Host:a.test"));
        }
        assert_eq!(decode_value(b"H4sI is a name").as_deref(), Ok("H4sI is a name"));
        assert!(decode_value(&gzip[..gzip.len() - 9]).unwrap_err().contains("decompressed"));
        assert!(decode_value(&[0xff, 0xfe]).unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn value_that_decompresses_without_end_is_refused() {
        let bomb = compress(&vec![b'a'; STORE_VALUE_BYTES_MAX + 1]).expect("in memory");
        assert!(bomb.len() < STORE_VALUE_BYTES_MAX / 100);
        assert!(decode_value(&bomb).unwrap_err().contains("more than"));
    }
}
