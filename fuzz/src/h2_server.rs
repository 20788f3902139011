//! A server of the crate `h2` in memory, polled by hand: it reads what it is given, and what it writes is kept.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use h2::server::{Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream};
use hyper::body::Bytes;
use hyper::http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both directions of a line in memory.
#[derive(Default)]
struct Line {
    input: VecDeque<u8>,
    output: Vec<u8>,
}

struct Io(Rc<RefCell<Line>>);

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut line = self.0.borrow_mut();
        if line.input.is_empty() {
            return Poll::Pending;
        }
        let count = line.input.len().min(buffer.remaining());
        let bytes: Vec<u8> = line.input.drain(..count).collect();
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().output.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

enum State {
    Handshake(Pin<Box<Handshake<Io, Bytes>>>),
    Open(Box<Connection<Io, Bytes>>),
    Ended,
}

/// A request that the crate has accepted. The way to respond is held: without it the stream would be reset.
pub struct Accepted {
    pub request: Request<RecvStream>,
    _respond: SendResponse<Bytes>,
}

pub struct Server {
    line: Rc<RefCell<Line>>,
    state: State,
    pub accepted: Vec<Accepted>,
    /// The code with which this side ended the connection.
    pub error: Option<Reason>,
}

impl Server {
    pub fn new(streams_max: u32) -> Self {
        let line = Rc::new(RefCell::new(Line::default()));
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(streams_max).max_header_list_size(1 << 20).enable_connect_protocol();
        let handshake = builder.handshake(Io(Rc::clone(&line)));
        Server { line, state: State::Handshake(Box::pin(handshake)), accepted: Vec::new(), error: None }
    }

    /// Receives bytes and does what follows from them. Returns what was written.
    pub fn receive(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.line.borrow_mut().input.extend(bytes);
        let mut context = Context::from_waker(Waker::noop());
        if let State::Handshake(handshake) = &mut self.state {
            match handshake.as_mut().poll(&mut context) {
                Poll::Ready(Ok(connection)) => self.state = State::Open(Box::new(connection)),
                Poll::Ready(Err(error)) => self.end(&error),
                Poll::Pending => {}
            }
        }
        // Polled again, so that what one poll has queued is written.
        for _ in 0..3 {
            while let State::Open(connection) = &mut self.state {
                match connection.poll_accept(&mut context) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        self.accepted.push(Accepted { request, _respond: respond });
                    }
                    Poll::Ready(Some(Err(error))) => self.end(&error),
                    Poll::Ready(None) => self.state = State::Ended,
                    Poll::Pending => break,
                }
            }
        }
        std::mem::take(&mut self.line.borrow_mut().output)
    }

    fn end(&mut self, error: &h2::Error) {
        if !error.is_remote() {
            self.error = Some(error.reason().unwrap_or(Reason::INTERNAL_ERROR));
        }
        self.state = State::Ended;
    }
}
