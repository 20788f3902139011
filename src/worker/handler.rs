//! What serves a connection while it has something to say. A connection that idles is a small task; the much larger future that
//! reads a request, asks a backend and answers is lent to it for as long as requests come, and then to the next one. As many as may wait
//! with a buffer in hand keep theirs.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use super::Worker;
use super::exchange::End;
use super::talk::Peer;
use super::upstream::Dial;
use crate::limits;
use crate::net::resident::Resident;

/// A connection whose next request has begun to arrive, or may be waited for in a handler.
pub struct Guest<T, D: Dial> {
    pub worker: Rc<Worker<D>>,
    pub io: T,
    pub peer: Box<Peer>,
    /// It has not asked for anything before.
    pub is_new: bool,
}

/// The connection again: it idles, or comes to its end.
pub struct Left<T> {
    pub io: T,
    pub peer: Box<Peer>,
    pub end: End,
}

/// Serves one guest after the other.
pub type Handler<T, D> = Resident<Guest<T, D>, Left<T>>;

/// A worker's handlers without a guest, a list for each kind of connection (plain, TLS).
#[derive(Default)]
pub struct Handlers {
    spare: RefCell<Vec<Box<dyn Any>>>,
}

impl Handlers {
    /// One that has no guest, or `make`s it.
    pub fn lend<T: 'static, D: Dial>(&self, make: impl FnOnce() -> Handler<T, D>) -> Handler<T, D> {
        let mut spare = self.spare.borrow_mut();
        spare.iter_mut().find_map(|list| list.downcast_mut::<Vec<Handler<T, D>>>()?.pop()).unwrap_or_else(make)
    }

    /// Keeps it for the next guest; it has none.
    pub fn give_back<T: 'static, D: Dial>(&self, handler: Handler<T, D>) {
        let mut spare = self.spare.borrow_mut();
        match spare.iter_mut().find_map(|list| list.downcast_mut::<Vec<Handler<T, D>>>()) {
            Some(list) if list.len() >= limits::POOLED_BUFFERS_MAX => {}
            Some(list) => list.push(handler),
            None => spare.push(Box::new(vec![handler])),
        }
    }
}
