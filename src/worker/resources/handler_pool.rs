//! The handler pool: free handlers of a worker. An idle connection is a small task; the much larger future that reads a request, forwards
//! it and writes the response (the handler) is lent to a connection for its requests, and then to the next connection. Up to
//! `READS_AHEAD_MAX` connections keep their handler while idle.

use std::any::Any;
use std::cell::RefCell;

use crate::limits;
use crate::net::free_list::FreeList;

/// A worker's free handlers, a list for each type of connection (plain, TLS).
#[derive(Default)]
pub struct HandlerPool {
    free: RefCell<Vec<Box<dyn FreeHandlers>>>,
}

/// The free list for one type of handler.
trait FreeHandlers: Any {
    fn trim(&self) -> usize;
}

impl<T: 'static> FreeHandlers for FreeList<T> {
    fn trim(&self) -> usize {
        FreeList::trim(self)
    }
}

impl HandlerPool {
    /// A free handler; if there is none, the one that `make` returns.
    pub fn lend<H: 'static>(&self, make: impl FnOnce() -> H) -> H {
        let free = self.free.borrow();
        free.iter().find_map(|list| of_type(&**list)?.take()).unwrap_or_else(make)
    }

    /// Takes back a handler that serves no connection.
    pub fn give_back<H: 'static>(&self, handler: H) {
        if let Some(list) = self.free.borrow().iter().find_map(|list| of_type(&**list)) {
            return list.put(handler);
        }
        let list = FreeList::new(limits::POOLED_BUFFERS_MAX);
        list.put(handler);
        self.free.borrow_mut().push(Box::new(list));
    }

    /// Frees the handlers that have not been needed since the last call; returns their number.
    pub fn trim(&self) -> usize {
        self.free.borrow().iter().map(|list| list.trim()).sum()
    }
}

fn of_type<H: 'static>(list: &dyn FreeHandlers) -> Option<&FreeList<H>> {
    (list as &dyn Any).downcast_ref()
}
