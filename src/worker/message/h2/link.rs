//! An HTTP/2 connection that its streams share. The connection's task moves the bytes; the handlers of the streams read and write messages
//! through the link. All of them run on one thread.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use crate::http::h2::connection::{Connection, STREAMS_MAX, StreamKey};

/// A shared HTTP/2 connection.
pub struct Link {
    connection: RefCell<Connection>,
    /// Wakes the connection's task, which sends what a handler has written.
    task: RefCell<Option<Waker>>,
    /// The connection's task runs at the moment: it sees what handlers write, and needs no wake.
    in_turn: Cell<bool>,
    /// The wakers of the handlers, by stream; `None` for a client's connection, whose task polls the handlers itself.
    handlers: Option<RefCell<Vec<Option<Waker>>>>,
}

impl Link {
    /// The connection of a client. Its task polls the handlers of its streams.
    pub fn downstream(connection: Connection) -> Self {
        Link::new(connection, None)
    }

    /// A connection to a server. Its streams belong to handlers of other tasks.
    pub fn upstream(connection: Connection) -> Self {
        Link::new(connection, Some(RefCell::new(vec![None; STREAMS_MAX])))
    }

    fn new(connection: Connection, handlers: Option<RefCell<Vec<Option<Waker>>>>) -> Self {
        Link { connection: RefCell::new(connection), task: RefCell::default(), in_turn: Cell::new(false), handlers }
    }

    /// Calls `work` with the connection's state, and wakes the connection's task if there is output to be sent afterwards.
    #[inline]
    pub fn with<T>(&self, work: impl FnOnce(&mut Connection) -> T) -> T {
        let mut connection = self.connection.borrow_mut();
        let result = work(&mut connection);
        if !self.in_turn.get() && (connection.has_output() || connection.is_finished()) {
            drop(connection);
            self.wake_task();
        }
        result
    }

    /// Reads the connection's state.
    #[inline]
    pub fn see<T>(&self, read: impl FnOnce(&Connection) -> T) -> T {
        read(&self.connection.borrow())
    }

    /// Wakes the connection's task.
    pub fn wake_task(&self) {
        if let Some(waker) = self.task.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Begins a turn of the connection's task: until [`end_turn`](Self::end_turn) nothing has to wake it.
    pub fn begin_turn(&self, cx: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        match task.as_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *task = Some(cx.waker().clone()),
        }
        self.in_turn.set(true);
    }

    pub fn end_turn(&self) {
        self.in_turn.set(false);
    }

    /// Ready with what `work` returns, once that is not `None`. Until then the handler of the stream is woken when the stream changes.
    #[inline]
    pub fn poll_stream<T>(
        &self,
        key: StreamKey,
        cx: &Context<'_>,
        work: impl FnOnce(&mut Connection) -> Option<T>,
    ) -> Poll<T> {
        match self.with(work) {
            Some(done) => Poll::Ready(done),
            None => {
                self.register(key, cx.waker());
                Poll::Pending
            }
        }
    }

    /// Notes the waker of the stream's handler, if another task polls it.
    pub fn register(&self, key: StreamKey, waker: &Waker) {
        let Some(handlers) = &self.handlers else { return };
        if let Some(slot) = handlers.borrow_mut().get_mut(key.index()) {
            match slot {
                Some(known) => known.clone_from(waker),
                None => *slot = Some(waker.clone()),
            }
        }
    }

    /// Wakes the handlers of the streams that have changed; for a connection to a server.
    pub fn wake_handlers(&self) {
        let Some(handlers) = &self.handlers else { return };
        loop {
            let Some(key) = self.connection.borrow_mut().next_woken() else { return };
            let waker = handlers.borrow_mut().get_mut(key.index()).and_then(Option::take);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}
