//! What serves a connection while it has something to say. A connection that idles is a small task; the much larger future that
//! reads a request, asks a backend and answers is lent to it for as long as requests come, and then to the next one. As many as may wait
//! with a buffer in hand keep theirs.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use super::Worker;
use super::context::ClientInfo;
use super::exchange::ConnectionDisposition;
use super::upstream::Dial;
use crate::limits;
use crate::net::free_list::FreeList;
use crate::net::reusable_future::ReusableFuture;

/// A connection whose next request has begun to arrive, or may be waited for in a handler.
pub struct HandlerInput<T, D: Dial> {
    pub worker: Rc<Worker<D>>,
    pub io: T,
    pub peer: Box<ClientInfo>,
    /// It has not asked for anything before.
    pub is_new: bool,
}

/// The connection again: it idles, or comes to its end.
pub struct HandlerOutput<T> {
    pub io: T,
    pub peer: Box<ClientInfo>,
    pub end: ConnectionDisposition,
}

/// Serves one guest after the other.
pub type Handler<T, D> = ReusableFuture<HandlerInput<T, D>, HandlerOutput<T>>;

/// A worker's handlers without a guest, a list for each kind of connection (plain, TLS).
#[derive(Default)]
pub struct HandlerPool {
    spare: RefCell<Vec<Box<dyn FreeHandlers>>>,
}

/// Those of one kind.
trait FreeHandlers: Any {
    fn trim(&self) -> usize;
}

impl<T: 'static> FreeHandlers for FreeList<T> {
    fn trim(&self) -> usize {
        FreeList::trim(self)
    }
}

impl HandlerPool {
    /// One that has no guest, or `make`s it.
    pub fn lend<T: 'static, D: Dial>(&self, make: impl FnOnce() -> Handler<T, D>) -> Handler<T, D> {
        let spare = self.spare.borrow();
        spare.iter().find_map(|list| of_kind(&**list)?.take()).unwrap_or_else(make)
    }

    /// Keeps it for the next guest; it has none.
    pub fn give_back<T: 'static, D: Dial>(&self, handler: Handler<T, D>) {
        if let Some(list) = self.spare.borrow().iter().find_map(|list| of_kind(&**list)) {
            return list.put(handler);
        }
        let list = FreeList::new(limits::POOLED_BUFFERS_MAX);
        list.put(handler);
        self.spare.borrow_mut().push(Box::new(list));
    }

    /// Lets those go that nobody has needed since the last call; gives their number.
    pub fn trim(&self) -> usize {
        self.spare.borrow().iter().map(|list| list.trim()).sum()
    }
}

fn of_kind<H: 'static>(list: &dyn FreeHandlers) -> Option<&FreeList<H>> {
    (list as &dyn Any).downcast_ref()
}
