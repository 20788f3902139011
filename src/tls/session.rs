//! A TLS connection as a state machine: ciphertext in and out, plaintext in and out, no socket and no clock.
//!
//! For a stream over a socket the order of calls is always the same: [`Session::receive`] takes the bytes that arrived,
//! [`Session::read_plain`] returns the plaintext, and [`Session::take_output`] returns the bytes to send (handshake records, tickets,
//! alerts, encrypted application data). After an error the output still contains the alert that tells the peer why: send it, then close.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use super::verifier::refusal::{self, Refusal};
use crate::limits::TLS_OUTPUT_BYTES_MAX;

/// The response of Traefik (Go's net/http) to plain HTTP on a TLS port (docs/reference/entry-points.md#plain-http-on-a-tls-port).
pub const PLAIN_HTTP_REPLY: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// The server or client side of a TLS connection.
pub struct Session {
    // Boxed because rustls' connection is larger than 1 KiB and sessions are stored in futures.
    connection: Box<Connection>,
}

/// The result of [`Session::read_plain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plaintext {
    /// This many bytes (at least one) were appended.
    Data(usize),
    /// No plaintext now; more may arrive.
    Pending,
    /// The peer sent close_notify, and all data before it has been read: a clean end (RFC 8446 6.1).
    Closed,
}

/// The error that ended a TLS connection. The alert for the peer, if there is one, is in the output of [`Session::take_output`].
#[derive(Debug, Clone)]
pub struct Error {
    pub cause: rustls::Error,
    /// The refused certificate of a client.
    pub refused_client: Option<Box<Refusal>>,
    /// The peer is a server: its failure can be explained to the operator, who chose it.
    of_server: bool,
}

impl Error {
    fn new(cause: rustls::Error) -> Error {
        Error { cause, refused_client: None, of_server: false }
    }
}

impl Session {
    /// The server side of a new connection.
    ///
    /// # Errors
    /// The configuration cannot be used at all (never caused by a peer).
    pub fn server(config: Arc<ServerConfig>) -> Result<Session, Error> {
        ServerConnection::new(config).map(|c| Session::over(Connection::Server(c))).map_err(Error::new)
    }

    /// The client side of a new connection. [`Session::take_output`] has the ClientHello at once.
    ///
    /// # Errors
    /// The configuration cannot be used with this name (never caused by a peer).
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Session, Error> {
        ClientConnection::new(config, name).map(|c| Session::over(Connection::Client(c))).map_err(Error::new)
    }

    fn over(mut connection: Connection) -> Session {
        connection.set_buffer_limit(Some(TLS_OUTPUT_BYTES_MAX));
        Session { connection: Box::new(connection) }
    }

    /// Takes ciphertext from the peer and returns the number of bytes that were consumed.
    ///
    /// Fewer than all bytes are consumed only while at least 16 KiB of plaintext wait (rustls' own bound): call [`Session::read_plain`],
    /// then pass the rest. Bytes after a close_notify are consumed and ignored (RFC 8446 6.1).
    ///
    /// # Errors
    /// The handshake or a record failed. Earlier plaintext stays readable, and the alert is in the output.
    pub fn receive(&mut self, ciphertext: &[u8]) -> Result<usize, Error> {
        let mut rest = ciphertext;
        while !rest.is_empty() {
            match self.connection.read_tls(&mut rest) {
                // rustls takes no more bytes after the peer's close_notify.
                Ok(0) => return Ok(ciphertext.len()),
                Ok(_) => {}
                // A handshake message is longer than rustls allows.
                Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(oversized()),
                Err(_) => break,
            }
            if let Err(cause) = self.connection.process_new_packets() {
                return Err(self.failure(cause));
            }
        }
        Ok(ciphertext.len() - rest.len())
    }

    fn failure(&self, cause: rustls::Error) -> Error {
        let of_server = !self.is_server();
        let refused_client = if of_server { None } else { refusal::take_recorded(&cause).map(Box::new) };
        Error { cause, refused_client, of_server }
    }

    /// [`Session::receive`] and [`Session::read_plain`] together: consumes all of `ciphertext` and appends all plaintext, which is never
    /// more than the length of `ciphertext` plus one record.
    ///
    /// # Errors
    /// As [`Session::receive`]. Plaintext from before the failure has been appended.
    pub fn receive_into(&mut self, ciphertext: &[u8], plain: &mut Vec<u8>) -> Result<Plaintext, Error> {
        let before = plain.len();
        let mut rest = ciphertext;
        loop {
            let received = self.receive(rest);
            let state = self.read_plain(plain, usize::MAX);
            let consumed = received?;
            rest = &rest[consumed..];
            let has_progressed = consumed > 0 || matches!(state, Plaintext::Data(_));
            if !rest.is_empty() && has_progressed {
                continue;
            }
            return Ok(match plain.len() - before {
                0 => state,
                bytes => Plaintext::Data(bytes),
            });
        }
    }

    /// Appends at most `max` bytes of decrypted application data to `out`.
    pub fn read_plain(&mut self, out: &mut Vec<u8>, max: usize) -> Plaintext {
        let mut taken = 0;
        let mut reader = self.connection.reader();
        while taken < max {
            let chunk = match reader.fill_buf() {
                Ok([]) if taken == 0 => return Plaintext::Closed,
                Ok([]) => break,
                Ok(chunk) => chunk,
                Err(_) => break,
            };
            let bytes = chunk.len().min(max - taken);
            out.extend_from_slice(&chunk[..bytes]);
            reader.consume(bytes);
            taken += bytes;
        }
        match taken {
            0 => Plaintext::Pending,
            bytes => Plaintext::Data(bytes),
        }
    }

    /// Whether decrypted application data, or the clean end, has been received.
    pub fn has_plain(&mut self) -> bool {
        !matches!(self.connection.reader().fill_buf(), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether this is the server side.
    pub fn is_server(&self) -> bool {
        matches!(&*self.connection, Connection::Server(_))
    }

    /// Encrypts application data and returns the number of bytes that were taken. That is fewer than all only if [`TLS_OUTPUT_BYTES_MAX`]
    /// wait already: call [`Session::take_output`], then pass the rest. Before the handshake is complete the data is held, and is sent with
    /// the first flight that may carry it.
    ///
    /// # Errors
    /// The connection has failed before.
    pub fn write_plain(&mut self, plain: &[u8]) -> Result<usize, Error> {
        self.connection.writer().write(plain).map_err(from_io)
    }

    /// Appends all bytes that must be sent to the peer, and returns their number.
    pub fn take_output(&mut self, out: &mut Vec<u8>) -> usize {
        let before = out.len();
        while self.connection.wants_write() {
            match self.connection.write_tls(out) {
                Ok(n) if n > 0 => {}
                // Writing to memory neither fails nor stalls. If it ever did, the loop must end.
                _ => break,
            }
        }
        out.len() - before
    }

    /// Writes bytes that must be sent to the peer directly to `sink`: as many as `sink` takes in one call.
    ///
    /// # Errors
    /// The errors of `sink`.
    pub fn send_output(&mut self, sink: &mut dyn Write) -> io::Result<usize> {
        self.connection.write_tls(sink)
    }

    /// Whether [`Session::take_output`] would return bytes.
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Whether the handshake is not complete, so that no application data can be exchanged yet.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Queues a close_notify (once), which [`Session::take_output`] returns after the data written before.
    pub fn close_notify(&mut self) {
        self.connection.send_close_notify();
    }

    /// The negotiated application protocol, for example `http/1.1`.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// The server name that the client sent (server side only), lower-cased by rustls.
    pub fn server_name(&self) -> Option<&str> {
        match &*self.connection {
            Connection::Server(server) => server.server_name(),
            Connection::Client(_) => None,
        }
    }

    /// The peer's certificate chain, end entity first; empty if the peer sent none.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.connection.peer_certificates().unwrap_or_default()
    }

    /// The negotiated protocol version, `TLSv1_2` or `TLSv1_3`, once known.
    pub fn version(&self) -> Option<rustls::ProtocolVersion> {
        self.connection.protocol_version()
    }

    /// The negotiated cipher suite, once known.
    #[cfg_attr(reachability, expect(dead_code, reason = "tests/tls.rs sees with it what was negotiated"))]
    pub fn cipher_suite(&self) -> Option<rustls::CipherSuite> {
        self.connection.negotiated_cipher_suite().map(|suite| suite.suite())
    }

    /// Whether the handshake resumed an earlier session.
    #[cfg_attr(reachability, expect(dead_code, reason = "tests/tls.rs sees with it that a session was resumed"))]
    pub fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }
}

/// Whether the first bytes of a connection look like a plain HTTP request: then [`PLAIN_HTTP_REPLY`] helps the client more than an alert.
/// The first five bytes decide, the length of a TLS record header, as in Go.
pub fn looks_like_http(first: &[u8]) -> bool {
    [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"].iter().any(|start| first.starts_with(*start))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.refused_client, self.of_server) {
            (Some(refusal), _) => write!(f, "{refusal}"),
            (None, true) => f.write_str(&refusal::explain(&self.cause)),
            (None, false) => write!(f, "{}", self.cause),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

fn oversized() -> Error {
    Error::new(rustls::Error::InvalidMessage(rustls::InvalidMessage::HandshakePayloadTooLarge))
}

fn from_io(error: io::Error) -> Error {
    let text = error.to_string();
    match error.into_inner().and_then(|inner| inner.downcast::<rustls::Error>().ok()) {
        Some(inner) => Error::new(*inner),
        None => Error::new(rustls::Error::General(text)),
    }
}
