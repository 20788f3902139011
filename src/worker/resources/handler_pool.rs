//! What serves a connection while it has something to say. A connection that idles is a small task; the much larger future that
//! reads a request, asks a backend and answers is lent to it for as long as requests come, and then to the next one. As many as may wait
//! with a buffer in hand keep theirs.

use std::any::Any;
use std::cell::RefCell;

use crate::limits;
use crate::net::free_list::FreeList;

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
    pub fn lend<H: 'static>(&self, make: impl FnOnce() -> H) -> H {
        let spare = self.spare.borrow();
        spare.iter().find_map(|list| of_kind(&**list)?.take()).unwrap_or_else(make)
    }

    /// Keeps it for the next guest; it has none.
    pub fn give_back<H: 'static>(&self, handler: H) {
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
