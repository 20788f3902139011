//! A read that is under way before anybody waits for it, and goes on when nobody does any more.
//!
//! On an idle connection it does two jobs in one operation of the ring: that it is still waiting says that the connection is quiet, and
//! it receives the next answer. Looking at the socket before each use would cost a system call more.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What a read has come to: the bytes stand behind those that the buffer held.
pub type Received = (io::Result<usize>, Vec<u8>);

/// The reads of one connection, one at a time. Made once for a connection, so that a read allocates nothing.
pub struct Ahead {
    reading: Pin<Box<dyn Future<Output = ()>>>,
    desk: Rc<Desk>,
}

/// Where a buffer waits to be filled, or filled for its taker.
#[derive(Default)]
struct Desk {
    empty: Cell<Option<Vec<u8>>>,
    full: Cell<Option<Received>>,
    is_busy: Cell<bool>,
}

impl Ahead {
    /// `read` is called for one buffer after the other.
    pub fn new<F: Future<Output = Received> + 'static>(mut read: impl FnMut(Vec<u8>) -> F + 'static) -> Self {
        let desk = Rc::new(Desk::default());
        let inner = Rc::clone(&desk);
        let reading = Box::pin(async move {
            loop {
                let buffer = poll_fn(|_| inner.empty.take().map_or(Poll::Pending, Poll::Ready)).await;
                let received = read(buffer).await;
                inner.full.set(Some(received));
            }
        });
        Ahead { reading, desk }
    }

    /// Begins to read into `buffer`. Nothing is under way.
    pub fn start(&mut self, buffer: Vec<u8>) {
        debug_assert!(!self.is_under_way());
        self.desk.is_busy.set(true);
        self.desk.empty.set(Some(buffer));
        // The operation is handed to the driver when it is polled for the first time.
        let _ = self.poll_ready(&mut Context::from_waker(Waker::noop()));
    }

    /// A read has been started and its outcome not been taken.
    pub fn is_under_way(&self) -> bool {
        self.desk.is_busy.get()
    }

    /// Whether the outcome is there; if not, `cx` is woken when it is.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // It never ends: after each read it waits for the next buffer.
        let _ = self.reading.as_mut().poll(cx);
        let full = self.desk.full.take();
        let state = if full.is_some() { Poll::Ready(()) } else { Poll::Pending };
        self.desk.full.set(full);
        state
    }

    /// The outcome. Only what has been started can be waited for.
    pub fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        if self.poll_ready(cx).is_pending() {
            return Poll::Pending;
        }
        self.desk.is_busy.set(false);
        self.desk.full.take().map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_goes_on_while_nobody_waits_and_its_outcome_is_kept() {
        let arrived = Rc::new(Cell::new(false));
        let socket = Rc::clone(&arrived);
        let mut ahead = Ahead::new(move |mut buffer: Vec<u8>| {
            let socket = Rc::clone(&socket);
            async move {
                poll_fn(|_| if socket.get() { Poll::Ready(()) } else { Poll::Pending }).await;
                buffer.extend_from_slice(b"answer");
                (Ok(6), buffer)
            }
        });
        let mut cx = Context::from_waker(Waker::noop());
        assert!(!ahead.is_under_way());
        for _ in 0..2 {
            arrived.set(false);
            ahead.start(Vec::new());
            assert!(ahead.is_under_way() && ahead.poll_take(&mut cx).is_pending());
            arrived.set(true);
            assert!(ahead.poll_ready(&mut cx).is_ready() && ahead.is_under_way(), "looking does not take it");
            let Poll::Ready((Ok(6), bytes)) = ahead.poll_take(&mut cx) else { panic!("no outcome") };
            assert_eq!(bytes, b"answer");
            assert!(!ahead.is_under_way());
        }
    }
}
