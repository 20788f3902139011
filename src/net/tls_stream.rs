//! TLS over a transport: `tls::Session` does the cryptography, this file does the I/O.
//!
//! Both halves share the session, on one thread. The session is borrowed only between operations, never while one is pending.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion, ServerConfig};

use super::free_list::FreeList;
use super::tcp::TcpWriter;
use super::{Duplex, ReadHalf, WriteHalf};
use crate::limits;
use crate::tls::alpn_challenge::Selection;
use crate::tls::session::{PLAIN_HTTP_REPLY, Plaintext, Session, looks_like_http};

/// A TLS connection over the two halves of another connection.
pub type TlsStream<R, W> = Duplex<TlsReader<R>, TlsWriter<W>>;

pub struct TlsReader<R> {
    inner: R,
    session: Rc<RefCell<Session>>,
    ciphertext: Vec<u8>,
    /// The first bytes were plain HTTP: the client gets an HTTP response, not an alert
    /// (docs/reference/entry-points.md#plain-http-on-a-tls-port).
    spoke_http: bool,
}

pub struct TlsWriter<W> {
    inner: W,
    session: Rc<RefCell<Session>>,
}

/// Completes a handshake as the server. The caller must bound the time.
///
/// # Errors
/// The handshake failed; the alert with the reason has been sent to the peer.
pub async fn accept<R: ReadHalf, W: WriteHalf>(
    io: Duplex<R, W>,
    config: Arc<ServerConfig>,
) -> io::Result<TlsStream<R, W>> {
    let session = Session::server(config).map_err(io::Error::other)?;
    let mut stream = over(io, session);
    stream.handshake(true).await?;
    Ok(stream)
}

/// As [`accept`], with the configuration that `select` chooses from the first bytes of the connection.
///
/// # Errors
/// As [`accept`].
pub async fn accept_selected<R: ReadHalf, W: WriteHalf>(
    mut io: Duplex<R, W>,
    ordinary: Arc<ServerConfig>,
    select: impl Fn(&[u8]) -> Selection,
) -> io::Result<TlsStream<R, W>> {
    let mut start = Vec::with_capacity(limits::COPY_BUFFER_MIN_BYTES);
    let config = loop {
        if start.len() == start.capacity() {
            start.reserve(limits::COPY_BUFFER_MIN_BYTES);
        }
        let (received, bytes) = io.reader.read(start).await;
        start = bytes;
        if received? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match select(&start) {
            Selection::Undecided => {}
            Selection::Ordinary => break ordinary,
            Selection::Challenge(config) => break config,
        }
    };
    let session = Session::server(config).map_err(io::Error::other)?;
    let mut stream = over(io, session);
    stream.reader.ciphertext = start;
    stream.handshake(true).await?;
    Ok(stream)
}

/// Completes a handshake with a backend as the client. The caller must bound the time.
///
/// # Errors
/// The handshake failed. An untrusted certificate gives `InvalidData`.
pub async fn connect<R: ReadHalf, W: WriteHalf>(
    io: Duplex<R, W>,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> io::Result<TlsStream<R, W>> {
    let session = Session::client(config, name).map_err(io::Error::other)?;
    let mut stream = over(io, session);
    stream.handshake(false).await?;
    Ok(stream)
}

fn over<R, W>(io: Duplex<R, W>, session: Session) -> TlsStream<R, W> {
    let session = Rc::new(RefCell::new(session));
    Duplex {
        reader: TlsReader { inner: io.reader, session: Rc::clone(&session), ciphertext: Vec::new(), spoke_http: false },
        writer: TlsWriter { inner: io.writer, session },
    }
}

impl<R: ReadHalf, W: WriteHalf> TlsStream<R, W> {
    /// Reads the session, for what it negotiated: the SNI name, ALPN, the peer's certificates.
    pub fn with_session<T>(&self, read: impl FnOnce(&Session) -> T) -> T {
        read(&self.reader.session.borrow())
    }

    async fn handshake(&mut self, is_server: bool) -> io::Result<()> {
        let mut is_first_read = true;
        loop {
            if self.has_urgent_output() {
                self.writer.flush().await?;
            }
            if !self.reader.session.borrow().is_handshaking() {
                return Ok(());
            }
            let received = self.reader.receive().await;
            let is_first = std::mem::take(&mut is_first_read);
            if is_server && is_first && received.is_err() && self.reader.spoke_http {
                let (_, _) = self.writer.inner.write_all(PLAIN_HTTP_REPLY.to_vec()).await;
                return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP on a TLS port"));
            }
            match received {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(e) => {
                    // The alert gives the peer the reason. A failure to send it does not matter.
                    let _ = self.writer.flush().await;
                    return Err(e);
                }
            }
        }
    }

    /// Whether the session has output that the peer waits for. The tickets of a TLS 1.3 server can be sent with the first response;
    /// everything else of a handshake must be sent at once.
    fn has_urgent_output(&self) -> bool {
        let session = self.reader.session.borrow();
        session.wants_write()
            && (session.is_handshaking() || session.version() != Some(ProtocolVersion::TLSv1_3) || !session.is_server())
    }
}

impl<R: ReadHalf> TlsReader<R> {
    /// Reads from the transport into the session; 0 at the end of the stream.
    async fn receive(&mut self) -> io::Result<usize> {
        let mut buffer = std::mem::take(&mut self.ciphertext);
        if buffer.is_empty() {
            buffer.reserve(limits::COPY_BUFFER_MIN_BYTES);
            let (result, returned) = self.inner.read(buffer).await;
            buffer = returned;
            if result? == 0 {
                return Ok(0);
            }
        }
        let outcome = self.session.borrow_mut().receive(&buffer);
        let consumed = match outcome {
            Ok(consumed) => consumed,
            Err(e) => {
                self.spoke_http = looks_like_http(&buffer);
                return Err(io::Error::new(io::ErrorKind::InvalidData, e));
            }
        };
        let grow = consumed == buffer.capacity() && buffer.capacity() < limits::COPY_BUFFER_MAX_BYTES;
        buffer.drain(..consumed);
        if grow {
            buffer.reserve(buffer.capacity() * 2);
        }
        self.ciphertext = buffer;
        Ok(consumed)
    }
}

impl<R: ReadHalf> ReadHalf for TlsReader<R> {
    async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        if buffer.capacity() == buffer.len() {
            buffer.reserve(limits::HEAD_BUFFER_BYTES);
        }
        loop {
            let free = buffer.capacity() - buffer.len();
            let state = self.session.borrow_mut().read_plain(&mut buffer, free);
            match state {
                Plaintext::Data(bytes) => return (Ok(bytes), buffer),
                Plaintext::Closed => return (Ok(0), buffer),
                Plaintext::Pending => {}
            }
            match self.receive().await {
                // An end of the stream without close_notify may be an attacker's truncation: an error (RFC 8446 6.1).
                Ok(0) => return (Err(io::ErrorKind::UnexpectedEof.into()), buffer),
                Ok(_) => {}
                Err(e) => return (Err(e), buffer),
            }
        }
    }

    async fn readable(&mut self) -> io::Result<()> {
        if !self.ciphertext.is_empty() || self.session.borrow_mut().has_plain() {
            return Ok(());
        }
        self.ciphertext = Vec::new();
        self.inner.readable().await
    }

    fn is_reusable(&mut self) -> bool {
        // Tickets of a TLS 1.3 server arrive unasked and cannot be told from data without reading. A read elsewhere must have consumed them
        // before: any byte that waits here makes the connection not reusable.
        self.ciphertext.is_empty() && !self.session.borrow_mut().has_plain() && self.inner.is_reusable()
    }

    fn has_unread(&mut self) -> bool {
        self.inner.has_unread()
    }

    fn is_closed_by_peer(&mut self) -> bool {
        self.inner.is_closed_by_peer()
    }

    fn abort(&mut self) {
        self.inner.abort();
    }
}

/// A socket as `io::Write`, to which the session writes without waiting.
struct NonblockingSink<'a>(&'a TcpWriter);

impl io::Write for NonblockingSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(&[IoSlice::new(bytes)], false)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write(parts, false)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

thread_local! {
    /// Output buffers of the thread's connections. A connection needs one only while it sends, and a new buffer of this size would cost a
    /// page fault for every 4 KiB sent.
    static OUTPUT_BUFFERS: FreeList<Vec<u8>> = const { FreeList::new(limits::COPY_BUFFERS_MAX) };
}

/// Drops the output buffers of the calling thread that were not needed since the last call; returns their number.
pub fn trim_free_buffers() -> usize {
    OUTPUT_BUFFERS.with(FreeList::trim)
}

impl<W: WriteHalf> TlsWriter<W> {
    /// Sends the records of a long write. To a plain socket they are sent by system calls, straight from the session without a copy.
    async fn flush_long(&mut self) -> io::Result<()> {
        let Some(socket) = self.inner.as_plain() else { return self.flush().await };
        loop {
            let sent = {
                let mut session = self.session.borrow_mut();
                if !session.wants_write() {
                    return Ok(());
                }
                session.send_output(&mut NonblockingSink(socket))
            };
            match sent {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => socket.writable().await?,
                Err(e) => return Err(e),
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.session.borrow().wants_write() {
            return Ok(());
        }
        let mut buffer = OUTPUT_BUFFERS.with(FreeList::take).unwrap_or_default();
        self.session.borrow_mut().take_output(&mut buffer);
        let (result, mut buffer) = self.inner.write_all(buffer).await;
        buffer.clear();
        OUTPUT_BUFFERS.with(|buffers| buffers.put(buffer));
        result
    }
}

impl<W: WriteHalf> WriteHalf for TlsWriter<W> {
    async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let mut sent = 0;
        while sent < buffer.len() {
            let written = self.session.borrow_mut().write_plain(&buffer[sent..]);
            match written {
                Ok(bytes) => sent += bytes,
                Err(e) => return (Err(io::Error::other(e)), buffer),
            }
            // Boxed: most connections never send so much at once, and their tasks should not grow by this future's size.
            let flushed = match buffer.len() >= limits::RECORDS_AT_ONCE_MIN_BYTES {
                true => Box::pin(self.flush_long()).await,
                false => self.flush().await,
            };
            if let Err(e) = flushed {
                return (Err(e), buffer);
            }
        }
        (Ok(()), buffer)
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        self.session.borrow_mut().close_notify();
        self.flush().await?;
        self.inner.shutdown().await
    }

    fn unacknowledged(&self) -> Option<usize> {
        self.inner.unacknowledged()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unneeded_output_buffers_are_dropped_at_the_next_trim() {
        OUTPUT_BUFFERS.with(|buffers| buffers.put(Vec::new()));
        assert_eq!([trim_free_buffers(), trim_free_buffers(), trim_free_buffers()], [0, 1, 0]);
    }
}
