//! A worker's HTTP/2 connections of clients, which have to learn that the process drains: a client that sends no request would not notice.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use slab::Slab;

use super::message::h2::link::Link;

/// The open connections.
#[derive(Default)]
pub struct OpenLinks {
    links: RefCell<Slab<Weak<Link>>>,
    were_woken: Cell<bool>,
}

/// Removes a connection from the list on drop.
pub struct OpenLinkGuard<'a> {
    links: &'a OpenLinks,
    key: usize,
}

impl OpenLinks {
    pub fn insert(&self, link: &Rc<Link>) -> OpenLinkGuard<'_> {
        OpenLinkGuard { links: self, key: self.links.borrow_mut().insert(Rc::downgrade(link)) }
    }

    /// Wakes the tasks of all connections, the first time that it is called: later connections see themselves that the process drains.
    pub fn wake_once(&self) {
        if !self.were_woken.replace(true) {
            self.links.borrow().iter().filter_map(|(_, link)| link.upgrade()).for_each(|link| link.wake_task());
        }
    }
}

impl Drop for OpenLinkGuard<'_> {
    fn drop(&mut self) {
        self.links.links.borrow_mut().try_remove(self.key);
    }
}
