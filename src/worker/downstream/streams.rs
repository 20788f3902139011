//! The handlers of a connection's streams. A handler is lent from the worker's pool for one request, and polled by the connection's task.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::due_streams::{DueStreams, WORDS};
use super::stream_handler::{StreamHandler, StreamInput, serve_stream};
use crate::http::h2::connection::{ErrorCode, Opened, StreamKey};
use crate::limits::{self, Bound};
use crate::observe::metrics::Side;
use crate::worker::message::h2::link::Link;
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// The streams of one connection.
pub struct Streams<D: Dial> {
    worker: Rc<Worker<D>>,
    link: Rc<Link>,
    /// By the index of the stream's key.
    slots: Vec<Slot<D>>,
    due: Arc<DueStreams>,
    active: usize,
    /// The word of `due` whose streams are polled next.
    next_word: usize,
}

struct Slot<D: Dial> {
    handler: Option<(StreamHandler<D>, StreamKey)>,
    waker: Waker,
    /// The client as this stream's requests see it: a connection to a server that one request has authenticated is for the next request of
    /// the same slot, never for one that runs at the same time.
    peer: Option<Box<ClientInfo>>,
}

impl<D: Dial> Streams<D> {
    pub fn new(worker: Rc<Worker<D>>, link: Rc<Link>) -> Self {
        Streams { worker, link, slots: Vec::new(), due: Arc::default(), active: 0, next_word: 0 }
    }

    /// Notes the connection's task, for the wakes of the handlers.
    pub fn register(&self, cx: &Context<'_>) {
        self.due.task.register(cx.waker());
    }

    pub fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Streams whose handlers have not ended.
    pub fn active(&self) -> usize {
        self.active
    }

    /// Starts handlers for new streams, and marks the streams that have changed.
    pub fn take_changes(&mut self, client: &ClientInfo) {
        while let Some(opened) = self.link.with(|connection| connection.next_opened()) {
            self.start(opened, client);
        }
        while let Some(key) = self.link.with(|connection| connection.next_woken()) {
            self.due.mark(key.index());
        }
        self.worker.count_notes(&self.link, Side::Client);
    }

    fn start(&mut self, opened: Opened, client: &ClientInfo) {
        let (Opened::Request(key) | Opened::Rejected(key, _)) = opened;
        if !self.worker.may_open_stream() {
            self.worker.exceeded(Bound::StreamsPerWorker);
            return self.link.with(|connection| {
                connection.reset(key, ErrorCode::RefusedStream);
                connection.release(key, &self.worker.buffers);
            });
        }
        let index = key.index();
        while self.slots.len() <= index {
            let waker = self.due.waker(self.slots.len());
            self.slots.push(Slot { handler: None, waker, peer: None });
        }
        let Some(slot) = self.slots.get_mut(index) else { return };
        let peer = slot.peer.take().unwrap_or_else(|| Box::new(client.for_stream()));
        let mut handler = self.worker.handler_pool.lend(|| StreamHandler::new(serve_stream));
        handler.submit(StreamInput { worker: Rc::clone(&self.worker), link: Rc::clone(&self.link), opened, peer });
        slot.handler = Some((handler, key));
        self.active += 1;
        self.due.mark(index);
    }

    /// Polls the handlers of one word of the set: the caller lets other parts of the connection work in between.
    pub fn poll_due(&mut self) {
        let word = self.next_word;
        self.next_word = (word + 1) % WORDS;
        for index in self.due.take(word) {
            self.poll_one(index);
        }
    }

    fn poll_one(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let Some((handler, _)) = &mut slot.handler else { return };
        let Poll::Ready(peer) = handler.poll_output(&mut Context::from_waker(&slot.waker)) else { return };
        slot.peer = Some(peer);
        let Some((handler, key)) = slot.handler.take() else { return };
        self.worker.handler_pool.give_back(handler);
        self.worker.close_stream();
        self.active -= 1;
        self.link.with(|connection| connection.release(key, &self.worker.buffers));
    }

    /// Frees what an idle connection does not need.
    pub fn trim(&mut self) {
        if self.active == 0 && self.slots.capacity() > limits::IDLE_STREAM_SLOTS {
            self.slots.iter().skip(limits::IDLE_STREAM_SLOTS).for_each(|slot| self.close_bound(slot));
            self.slots.truncate(limits::IDLE_STREAM_SLOTS);
            self.slots.shrink_to_fit();
        }
    }

    /// Closes the connections to servers that are bound to this client.
    pub fn close(&self) {
        self.slots.iter().for_each(|slot| self.close_bound(slot));
    }

    fn close_bound(&self, slot: &Slot<D>) {
        if let Some(peer) = &slot.peer {
            self.worker.bound.close(&peer.bound);
        }
    }
}

impl<D: Dial> Drop for Streams<D> {
    fn drop(&mut self) {
        // A panic of one handler ends the connection with all its streams.
        (0..self.active).for_each(|_| self.worker.close_stream());
    }
}
