//! The connection pool: a worker's idle connections to servers.

use std::cell::{Cell, RefCell};

use super::resources::buffers::BufferPool;
use crate::http::keep_alive::KeepAlive;
use crate::limits;
use crate::net::{ReadHalf, Transport};

/// A worker's idle connections, by server. The last connection put in is the first taken out: warm connections stay warm, the others reach
/// their idle timeout.
pub struct Pool<C> {
    /// Indexed by the server's number; the numbers are small and dense.
    idle: RefCell<Vec<Vec<Idle<C>>>>,
    per_server_max: usize,
    /// How many idle connections hold a buffer.
    reading_ahead: Cell<usize>,
}

struct Idle<C> {
    connection: C,
    until_nanos: u64,
    /// The connection holds a buffer for the next response.
    reads_ahead: bool,
}

impl<C: Transport> Pool<C> {
    /// `per_server_max`: idle connections to one server that this worker may pool (`maxIdleConnsPerHost`).
    pub fn new(per_server_max: usize) -> Self {
        Pool { idle: RefCell::default(), per_server_max, reading_ahead: Cell::default() }
    }

    /// A connection that is still open and on which no unsolicited bytes have arrived. `pool` is the server's number.
    pub fn take(&self, pool: usize, now_nanos: u64) -> Option<C> {
        loop {
            let mut found = self.idle.borrow_mut().get_mut(pool)?.pop()?;
            self.forget(&found);
            if now_nanos < found.until_nanos && found.connection.split().0.is_reusable() {
                return Some(found.connection);
            }
        }
    }

    /// Pools a connection whose last exchange ended cleanly, for use before `until_nanos`; closes the connection if the server's list is
    /// full.
    #[inline]
    pub fn put(&self, pool: usize, mut connection: C, until_nanos: u64, buffers: &BufferPool) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() <= pool {
            idle.resize_with(pool + 1, Vec::new);
        }
        let list = &mut idle[pool];
        if list.len() < self.per_server_max {
            let reads_ahead = self.read_ahead(&mut connection, buffers);
            list.push(Idle { connection, until_nanos, reads_ahead });
        }
    }

    /// Closes the connections whose idle timeout has elapsed; returns their number.
    pub fn sweep(&self, now_nanos: u64) -> usize {
        let before = self.len();
        for list in self.idle.borrow_mut().iter_mut() {
            list.retain(|idle| {
                let stays = now_nanos < idle.until_nanos;
                if !stays {
                    self.forget(idle);
                }
                stays
            });
        }
        before - self.len()
    }

    /// Closes all idle connections, to free their descriptors.
    pub fn clear(&self) {
        self.idle.borrow_mut().iter_mut().for_each(Vec::clear);
        self.reading_ahead.set(0);
    }

    /// Starts the read of the next response in advance, unless `READS_AHEAD_MAX` connections hold a buffer; true if a read is in progress.
    fn read_ahead(&self, connection: &mut C, buffers: &BufferPool) -> bool {
        if self.reading_ahead.get() >= limits::READS_AHEAD_MAX {
            return false;
        }
        if let Some(unused) = connection.split().0.read_ahead(buffers.lend()) {
            buffers.give_back(unused);
            return false;
        }
        self.reading_ahead.set(self.reading_ahead.get() + 1);
        true
    }

    fn forget(&self, removed: &Idle<C>) {
        self.reading_ahead.set(self.reading_ahead.get() - usize::from(removed.reads_ahead));
    }

    /// Idle connections at this moment.
    pub fn len(&self) -> usize {
        self.idle.borrow().iter().map(Vec::len).sum()
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The end of the idle time that begins now: after [`limits::UPSTREAM_IDLE_SECS`], or earlier if the server has `announced` that it closes
/// the connection earlier.
#[inline]
pub fn idle_until(now_nanos: u64, announced: &KeepAlive) -> u64 {
    let own_millis = limits::UPSTREAM_IDLE_SECS * 1000;
    let idle_millis = announced.idle_millis_max().map_or(own_millis, |millis| millis.min(own_millis));
    now_nanos + idle_millis * 1_000_000
}
