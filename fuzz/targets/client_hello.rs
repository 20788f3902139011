//! The first message of a TLS handshake: the same result when cut anywhere or spread over other records, and the same as in rustls.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::detect::{ClientHelloInfo, Peek, peek_hello};
use rustls::server::Acceptor;

fuzz_target!(|bytes: &[u8]| {
    let whole = peek_hello(bytes);
    for cut in 0..bytes.len() {
        match peek_hello(&bytes[..cut]) {
            Ok(Peek::Partial { .. }) => {}
            verdict => assert_eq!(verdict, whole, "cut at {cut}"),
        }
    }
    let Ok(Peek::Complete(hello)) = whole else { return };
    if let Some(name) = &hello.server_name {
        assert!(!name.is_empty() && name.is_ascii() && *name == name.to_ascii_lowercase(), "{name:?}");
    }
    if let Some(theirs) = second_reading(bytes) {
        assert_eq!(hello, theirs);
    }
    if let Some(spread) = spread(bytes) {
        assert_eq!(peek_hello(&spread), Ok(Peek::Complete(hello)));
    }
});

/// The result of rustls; `None` where rustls reads more than this parser does.
fn second_reading(bytes: &[u8]) -> Option<ClientHelloInfo> {
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        acceptor.read_tls(&mut rest).ok()?;
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let theirs = accepted.client_hello();
                let name = theirs.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
                let alpn = theirs.alpn().map(|names| names.map(<[u8]>::to_vec).collect());
                return Some(ClientHelloInfo { server_name: name, alpn: alpn.unwrap_or_default() });
            }
            Ok(None) => {}
            Err(_) => return None,
        }
    }
    None
}

/// Returns the same handshake bytes in records of 100 bytes.
fn spread(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut message, mut rest) = (Vec::new(), bytes);
    while let [22, 3, _, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (fragment, next) = tail.split_at_checked(length)?;
        message.extend_from_slice(fragment);
        rest = next;
    }
    let record = |part: &[u8]| [&[22, 3, 1, 0, part.len() as u8][..], part].concat();
    (message.len() < 6000).then(|| message.chunks(100).flat_map(record).collect())
}
