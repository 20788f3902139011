//! Connections to servers that belong to one client connection each, because the client has authenticated them
//! (docs/reference/backends.md#connection-based-authentication). No other client ever gets such a connection, and it ends with its client.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use super::resources::client_info::BoundState;
use crate::net::{ReadHalf, Transport};

/// A worker's bound connections that are idle at the moment: at most one for each client connection.
pub struct BoundConnections<C> {
    last_owner: Cell<u64>,
    idle: RefCell<HashMap<u64, Idle<C>>>,
}

struct Idle<C> {
    connection: C,
    /// The number of the server.
    pool: usize,
    until_nanos: u64,
}

impl<C> Default for BoundConnections<C> {
    fn default() -> Self {
        BoundConnections { last_owner: Cell::default(), idle: RefCell::default() }
    }
}

impl<C: Transport> BoundConnections<C> {
    /// The number of the server to which the client has a bound connection.
    pub fn server(&self, client: &BoundState, now_nanos: u64) -> Option<usize> {
        self.idle.borrow().get(&client.owner.get()).filter(|idle| now_nanos < idle.until_nanos).map(|idle| idle.pool)
    }

    /// The client's bound connection, if it leads to the server with the number `pool`, is open, and has received no unsolicited bytes.
    pub fn take(&self, client: &BoundState, pool: usize, now_nanos: u64) -> Option<C> {
        client.in_use.set(false);
        let mut idle = self.idle.borrow_mut();
        if idle.get(&client.owner.get())?.pool != pool {
            return None;
        }
        let mut found = idle.remove(&client.owner.get())?;
        let is_usable = now_nanos < found.until_nanos && found.connection.split().0.is_reusable();
        client.in_use.set(is_usable);
        is_usable.then_some(found.connection)
    }

    /// Binds a connection to the client, or gives its bound connection back after a request. A connection that the client had before is
    /// closed: a client connection holds one.
    pub fn put(&self, client: &BoundState, pool: usize, connection: C, until_nanos: u64) {
        if client.owner.get() == 0 {
            self.last_owner.set(self.last_owner.get() + 1);
            client.owner.set(self.last_owner.get());
        }
        self.idle.borrow_mut().insert(client.owner.get(), Idle { connection, pool, until_nanos });
    }

    /// Closes the client's bound connection, if there is one: the client's own connection has ended.
    pub fn close(&self, client: &BoundState) {
        if client.owner.get() != 0 {
            self.idle.borrow_mut().remove(&client.owner.get());
        }
    }

    /// Closes the connections whose idle timeout has elapsed; returns their number.
    pub fn sweep(&self, now_nanos: u64) -> usize {
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain(|_, idle| now_nanos < idle.until_nanos);
        before - idle.len()
    }

    /// Closes all idle connections, to free their descriptors: their clients have to authenticate again.
    pub fn clear(&self) {
        self.idle.borrow_mut().clear();
    }

    /// Idle bound connections at this moment.
    #[cfg_attr(
        reachability,
        expect(dead_code, reason = "tests and fuzz targets see with it that none outlives its client")
    )]
    pub fn len(&self) -> usize {
        self.idle.borrow().len()
    }
}
