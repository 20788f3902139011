//! Parses the first message of a TLS handshake (RFC 8446 4.1.2) without answering it. Server name and protocols of the client are then
//! known, and the connection can be passed on as it is.

use std::borrow::Cow;

/// Longest ClientHello that is accepted. Usual ones have about 2 KiB, because of post-quantum key shares.
pub const HELLO_BYTES_MAX: usize = 32 << 10;
/// Longest plaintext of a record (RFC 8446 5.1).
const RECORD_BYTES_MAX: usize = 1 << 14;
/// Records into which one ClientHello may be split.
const RECORDS_MAX: usize = 64;
const RECORD_HEADER_BYTES: usize = 5;
/// The most bytes that a decision about a connection needs: the longest ClientHello in the most records, of which the last may hold the
/// beginning of something else.
pub const PEEK_BYTES_MAX: usize = 4 + HELLO_BYTES_MAX + RECORD_BYTES_MAX + RECORDS_MAX * RECORD_HEADER_BYTES;

const HANDSHAKE_RECORD: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

/// The result of [`peek_hello`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peek {
    /// The connection does not start with a TLS handshake.
    NotTls,
    /// More bytes are needed: so many in total, before the next look can tell more.
    Partial {
        needed: usize,
    },
    Complete(ClientHelloInfo),
}

/// The contents of a ClientHello that the proxy uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientHelloInfo {
    /// The name of the server_name extension, in lower case, without a final dot (RFC 6066 3).
    pub server_name: Option<String>,
    /// The application protocols that the client offers, in its order of preference (RFC 7301 3.1).
    pub alpn: Vec<Vec<u8>>,
}

/// A handshake that no server could continue: the connection closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidHello {
    /// For the log.
    pub why: &'static str,
}

impl std::fmt::Display for InvalidHello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.why)
    }
}

impl std::error::Error for InvalidHello {}

const MALFORMED: InvalidHello = InvalidHello { why: "malformed ClientHello" };

/// Parses the bytes with which a connection starts. The outcome does not depend on how they were split into segments or TLS records.
pub fn peek_hello(bytes: &[u8]) -> Result<Peek, InvalidHello> {
    match bytes {
        [] => return Ok(Peek::Partial { needed: 1 }),
        [HANDSHAKE_RECORD] => return Ok(Peek::Partial { needed: 2 }),
        [HANDSHAKE_RECORD, 3, ..] => {}
        _ => return Ok(Peek::NotTls),
    }
    match message(bytes)? {
        Message::Partial { needed } => Ok(Peek::Partial { needed }),
        Message::Whole(message) => Ok(Peek::Complete(read_hello(&message)?)),
    }
}

/// The handshake message at the start of a connection.
enum Message<'a> {
    /// The next record is whole once so many bytes are there.
    Partial { needed: usize },
    /// The body of the ClientHello, joined from its records; borrowed if there is only one.
    Whole(Cow<'a, [u8]>),
}

fn message(bytes: &[u8]) -> Result<Message<'_>, InvalidHello> {
    let mut joined: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut rest = bytes;
    for _ in 0..RECORDS_MAX {
        let (fragment, next) = match record(rest)? {
            Record::Whole { payload, next } => (payload, next),
            Record::Partial { needed } => return Ok(Message::Partial { needed: bytes.len() - rest.len() + needed }),
        };
        if joined.is_empty() {
            joined = Cow::Borrowed(fragment);
        } else {
            joined.to_mut().extend_from_slice(fragment);
        }
        if joined[0] != CLIENT_HELLO {
            return Err(InvalidHello { why: "handshake does not start with a ClientHello" });
        }
        if let [_, a, b, c, body @ ..] = &*joined {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if length > HELLO_BYTES_MAX {
                return Err(InvalidHello { why: "ClientHello is longer than the limit" });
            }
            if body.len() >= length {
                return Ok(Message::Whole(match joined {
                    Cow::Borrowed(all) => Cow::Borrowed(&all[4..4 + length]),
                    Cow::Owned(all) => Cow::Owned(all[4..4 + length].to_vec()),
                }));
            }
        }
        rest = next;
    }
    Err(InvalidHello { why: "ClientHello is split into too many records" })
}

/// The record at the start of some bytes.
enum Record<'a> {
    /// The record needs so many bytes in total, as far as is known yet.
    Partial {
        needed: usize,
    },
    Whole {
        payload: &'a [u8],
        next: &'a [u8],
    },
}

/// Splits `bytes` after the record at its start.
fn record(bytes: &[u8]) -> Result<Record<'_>, InvalidHello> {
    let Some((header, rest)) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>() else {
        return Ok(Record::Partial { needed: RECORD_HEADER_BYTES });
    };
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    if header[0] != HANDSHAKE_RECORD || header[1] != 3 || length == 0 || length > RECORD_BYTES_MAX {
        return Err(InvalidHello { why: "malformed TLS record" });
    }
    Ok(match rest.split_at_checked(length) {
        Some((payload, next)) => Record::Whole { payload, next },
        None => Record::Partial { needed: RECORD_HEADER_BYTES + length },
    })
}

fn read_hello(message: &[u8]) -> Result<ClientHelloInfo, InvalidHello> {
    let mut hello = ClientHelloInfo::default();
    let mut reader = Reader(message);
    reader.take(2 + 32)?;
    reader.vector8()?;
    reader.vector16()?;
    reader.vector8()?;
    if reader.0.is_empty() {
        return Ok(hello);
    }
    let mut extensions = Reader(reader.vector16()?);
    if !reader.0.is_empty() {
        return Err(MALFORMED);
    }
    let (mut has_server_name, mut has_alpn) = (false, false);
    while !extensions.0.is_empty() {
        let kind = extensions.number16()?;
        let body = extensions.vector16()?;
        match kind {
            SERVER_NAME if !std::mem::replace(&mut has_server_name, true) => hello.server_name = server_name(body)?,
            ALPN if !std::mem::replace(&mut has_alpn, true) => hello.alpn = protocols(body)?,
            SERVER_NAME | ALPN => return Err(InvalidHello { why: "repeated extension in ClientHello" }),
            _ => {}
        }
    }
    Ok(hello)
}

/// The first host name of the list (RFC 6066 3); other kinds of names were never defined. `None` for an IP address, which the handshake
/// itself ignores too.
fn server_name(body: &[u8]) -> Result<Option<String>, InvalidHello> {
    let mut outer = Reader(body);
    let mut list = Reader(outer.vector16()?);
    let mut name = None;
    while !list.0.is_empty() {
        let kind = list.take(1)?[0];
        let text = list.vector16()?;
        if kind == 0 && name.is_none() {
            name = Some(host_name(text)?);
        }
    }
    Ok(name.filter(|name| name.parse::<std::net::IpAddr>().is_err()))
}

fn host_name(text: &[u8]) -> Result<String, InvalidHello> {
    let text = text.strip_suffix(b".").unwrap_or(text);
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    if text.is_empty() || text.len() > 255 || !text.iter().all(fits) {
        return Err(InvalidHello { why: "server name in ClientHello is not a host name" });
    }
    Ok(text.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect())
}

fn protocols(body: &[u8]) -> Result<Vec<Vec<u8>>, InvalidHello> {
    let mut outer = Reader(body);
    let mut list = Reader(outer.vector16()?);
    let mut names = Vec::new();
    while !list.0.is_empty() {
        names.push(list.vector8()?.to_vec());
    }
    Ok(names)
}

/// Reads from the front of a complete message. A read beyond its end means that the message is malformed.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], InvalidHello> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(MALFORMED)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number16(&mut self) -> Result<u16, InvalidHello> {
        let (number, rest) = self.0.split_first_chunk::<2>().ok_or(MALFORMED)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*number))
    }

    fn vector8(&mut self) -> Result<&'a [u8], InvalidHello> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    fn vector16(&mut self) -> Result<&'a [u8], InvalidHello> {
        let length = self.number16()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
    }

    fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector(body)].concat()
    }

    fn sni(name: &str) -> Vec<u8> {
        extension(SERVER_NAME, &vector(&[&[0][..], &vector(name.as_bytes())].concat()))
    }

    fn handshake(extensions: &[u8]) -> Vec<u8> {
        let body = [&[3, 3][..], &[7; 32], &[0], &vector(&[0x13, 1]), &[1, 0], &vector(extensions)].concat();
        [&[CLIENT_HELLO][..], &(body.len() as u32).to_be_bytes()[1..], &body].concat()
    }

    /// Splits `message` into TLS records of at most `size` bytes.
    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|part| [&[HANDSHAKE_RECORD, 3, 1][..], &vector(part)].concat()).collect()
    }

    fn peek(bytes: &[u8]) -> Result<Peek, InvalidHello> {
        let whole = peek_hello(bytes);
        for cut in 0..bytes.len() {
            match peek_hello(&bytes[..cut]) {
                Ok(Peek::Partial { needed }) => {
                    assert!(needed > cut && needed <= bytes.len(), "{needed} bytes at {cut}")
                }
                decided => assert_eq!(decided, whole, "cut at {cut}"),
            }
        }
        whole
    }

    #[test]
    fn name_and_alpn_are_found_for_every_split() {
        let message = handshake(
            &[sni("Www.Example.ORG"), extension(43, &[2, 3, 4]), extension(ALPN, &vector(b"\x02h2\x08http/1.1"))]
                .concat(),
        );
        let expected = ClientHelloInfo {
            server_name: Some("www.example.org".to_owned()),
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        for size in [2, 3, 5, 50, 1000] {
            assert_eq!(peek(&records(&message, size)), Ok(Peek::Complete(expected.clone())), "records of {size}");
        }
        assert!(peek(&records(&message, 1)).is_err());
    }

    #[test]
    fn hello_without_extensions_or_with_an_address_has_no_name() {
        assert_eq!(peek(&records(&handshake(&[]), 1000)), Ok(Peek::Complete(ClientHelloInfo::default())));
        for address in ["192.0.2.1", "2001:db8::1"] {
            assert_eq!(peek(&records(&handshake(&sni(address)), 1000)), Ok(Peek::Complete(ClientHelloInfo::default())));
        }
        for bytes in [&b"GET / HTTP/1.1"[..], b"\x16\x02\x00", b"\x15\x03\x01"] {
            assert_eq!(peek(bytes), Ok(Peek::NotTls));
        }
    }

    #[test]
    fn malformed_hellos_are_refused() {
        for extensions in [
            [sni("a"), sni("a")].concat(),
            sni(""),
            sni("a b"),
            sni("a\0"),
            extension(SERVER_NAME, &[0, 9, 0]),
            extension(ALPN, &vector(b"\x09h2")),
            vec![0, 0, 0],
        ] {
            assert!(peek(&records(&handshake(&extensions), 1000)).is_err(), "{extensions:?}");
        }
        assert!(peek(&[22, 3, 1, 0, 0]).is_err());
        assert!(peek(&[22, 3, 1, 0x40, 1]).is_err());
        assert!(peek(&[22, 3, 1, 0, 1, 2]).is_err());
        assert!(peek(&[22, 3, 1, 0, 4, 1, 1, 0, 0]).is_err());
        assert!(peek(&[22, 3, 1, 0, 4, 1, 0, 0, 1, 23, 3, 3, 0, 1, 0]).is_err());
        let long = [&handshake(&[])[..], b"more"].concat();
        assert!(matches!(peek(&records(&long, 1000)), Ok(Peek::Complete(_))));
    }

    #[test]
    fn rustls_client_hello_is_parsed() {
        let name = rustls::pki_types::ServerName::try_from("real.example").unwrap();
        let mut config =
            rustls::ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
        config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let mut client = rustls::ClientConnection::new(config.into(), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        let expected =
            ClientHelloInfo { server_name: Some("real.example".to_owned()), alpn: vec![b"acme-tls/1".to_vec()] };
        assert_eq!(peek(&bytes), Ok(Peek::Complete(expected)));
    }
}
