//! ClientHellos as clients send them, recorded: openssl 3.0, curl 7.88 on openssl, chromium (GREASE, a post-quantum key share, an ECH
//! extension), go 1.19, java 17 and Python's ssl.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use ringway::detect::client_hello::{Peek, peek_hello};

use crate::peers::{EchoServer, connect, read_end, read_exact};
use crate::proxy::Proxy;
use crate::support::ringway::DRIVERS;

/// The client, its recorded bytes, the name, and the protocols that it offers.
type Hello = (&'static str, &'static [u8], Option<&'static str>, &'static [&'static str]);

const HELLOS: [Hello; 7] = [
    ("openssl", include_bytes!("hellos/openssl.bin"), Some("db.example.com"), &["postgresql"]),
    ("openssl without a name", include_bytes!("hellos/openssl_no_name.bin"), None, &[]),
    ("curl", include_bytes!("hellos/curl.bin"), Some("db.example.com"), &["h2", "http/1.1"]),
    ("chromium", include_bytes!("hellos/chromium.bin"), Some("db.example.com"), &["h2", "http/1.1"]),
    ("go", include_bytes!("hellos/go.bin"), Some("db.example.com"), &["h2", "http/1.1"]),
    ("java", include_bytes!("hellos/java.bin"), Some("db.example.com"), &[]),
    ("python", include_bytes!("hellos/python.bin"), Some("db.example.com"), &["imap"]),
];

/// The handshake message of a recording, split into records of `size` bytes.
fn resplit(recorded: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat();
    recorded[5..].chunks(size).flat_map(record).collect()
}

#[test]
fn recorded_hello_cut_at_every_byte_gives_the_same_name() {
    for (client, recorded, name, protocols) in HELLOS {
        let small = recorded.len().div_ceil(60);
        for bytes in [recorded.to_vec(), resplit(recorded, 512), resplit(recorded, small)] {
            for cut in 0..bytes.len() {
                match peek_hello(&bytes[..cut]) {
                    Ok(Peek::Partial { needed }) => {
                        assert!((cut + 1..=bytes.len()).contains(&needed), "{client}: {needed}")
                    }
                    other => panic!("{client} cut at {cut}: {other:?}"),
                }
            }
            let Ok(Peek::Complete(hello)) = peek_hello(&bytes) else { panic!("{client}: no ClientHello") };
            assert_eq!(hello.server_name.as_deref(), name, "{client}");
            let offered: Vec<&str> = hello.alpn.iter().map(|name| str::from_utf8(name).expect("text")).collect();
            assert_eq!(offered, protocols, "{client}");
        }
    }
}

#[test]
fn hello_in_segments_and_records_reaches_the_server_untouched() {
    for driver in DRIVERS {
        let echo = EchoServer::start(b"");
        let proxy =
            Proxy::start(driver, &[("named", "HostSNI:db.example.com", "passthrough = true", &echo.url())], &[]);
        for (client, recorded, name, _) in HELLOS.iter().filter(|(_, _, name, _)| name.is_some()) {
            // A segment for each byte, or for a few bytes of records that are split themselves.
            for (bytes, size) in
                [(recorded.to_vec(), 97), (resplit(recorded, 100), 250), (recorded.to_vec(), usize::MAX)]
            {
                let mut stream = connect(proxy.https());
                for piece in bytes.chunks(size) {
                    stream.write_all(piece).expect("sends");
                    if size < bytes.len() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
                read_exact(&mut stream, &bytes, &format!("{client}, {name:?}, in pieces of {size}"));
                stream.shutdown(Shutdown::Write).expect("half-closed");
                read_end(&mut stream);
            }
        }
        let mut one_by_one = connect(proxy.https());
        let (_, chromium, ..) = HELLOS[3];
        for byte in chromium {
            one_by_one.write_all(&[*byte]).expect("sends");
        }
        read_exact(&mut one_by_one, chromium, "byte by byte");
    }
}
