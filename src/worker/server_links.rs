//! A worker's HTTP/2 connections to servers. Requests share them: each takes a stream of one. A request that finds no free stream opens a
//! connection, and requests that come meanwhile wait for that one.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::error::Cause;
use crate::http::HeadLimits;
use crate::http::h2::connection::{Connection, LocalSettings, StreamKey};
use crate::limits;
use crate::worker::message::h2::link::Link;
use crate::worker::resources::buffers::BufferPool;

/// A connection to a server that requests share.
pub struct ServerLink {
    pub link: Link,
    /// The number of the server.
    pool: usize,
    /// When the last stream ended.
    idle_since_nanos: Cell<u64>,
}

/// A shared connection that has been opened and has no task yet.
pub struct NewLink<C> {
    pub link: Rc<ServerLink>,
    pub io: C,
}

/// The shared connections of a worker.
pub struct ServerLinks<C> {
    /// Indexed by the server's number; the numbers are small and dense.
    servers: RefCell<Vec<ServerState>>,
    /// Connections whose task has to be started.
    new: RefCell<Vec<NewLink<C>>>,
    /// Wakes the task that starts them.
    starter: Cell<Option<Waker>>,
}

/// The shared connections to one server.
#[derive(Default)]
struct ServerState {
    links: Vec<Rc<ServerLink>>,
    /// The last TLS handshake did not agree on HTTP/2: requests need a connection each, and do not wait for each other.
    speaks_http1: bool,
    /// The number of the dial that is in progress, else of the last one.
    dial: u64,
    is_dialling: bool,
    /// Why the last dial failed.
    failure: Option<Cause>,
    waiting: Vec<Waker>,
}

impl<C> Default for ServerLinks<C> {
    fn default() -> Self {
        ServerLinks { servers: RefCell::default(), new: RefCell::default(), starter: Cell::default() }
    }
}

impl<C> ServerLinks<C> {
    /// Takes a stream of an open connection to the server with the number `pool`. `is_head`: its response has no body.
    pub fn open_stream(&self, pool: usize, is_head: bool) -> Option<(Rc<ServerLink>, StreamKey)> {
        let servers = self.servers.borrow();
        servers.get(pool)?.links.iter().find_map(|link| Some((Rc::clone(link), link.open(is_head)?)))
    }

    /// Whether the last TLS handshake with the server did not agree on HTTP/2.
    pub fn speaks_http1(&self, pool: usize) -> bool {
        self.servers.borrow().get(pool).is_some_and(|server| server.speaks_http1)
    }

    pub fn note_speaks_http1(&self, pool: usize, speaks_http1: bool) {
        self.with(pool, |server| server.speaks_http1 = speaks_http1);
    }

    fn with<T>(&self, pool: usize, change: impl FnOnce(&mut ServerState) -> T) -> T {
        let mut servers = self.servers.borrow_mut();
        if servers.len() <= pool {
            servers.resize_with(pool + 1, ServerState::default);
        }
        change(&mut servers[pool])
    }

    /// Begins a dial to the server, unless one is in progress.
    pub fn begin_dial(&self, pool: usize) -> Option<DialGuard<'_, C>> {
        self.with(pool, |server| {
            if server.is_dialling {
                return None;
            }
            (server.is_dialling, server.dial, server.failure) = (true, server.dial + 1, None);
            Some(DialGuard { links: self, pool })
        })
    }

    /// Waits until the dial in progress has ended.
    ///
    /// # Errors
    /// The dial has failed.
    pub async fn dial_ended(&self, pool: usize) -> Result<(), Cause> {
        let dial = self.with(pool, |server| server.dial);
        poll_fn(|cx| {
            self.with(pool, |server| {
                if !server.is_dialling || server.dial != dial {
                    let failure = server.failure.as_ref().filter(|_| server.dial == dial);
                    return Poll::Ready(failure.map_or(Ok(()), |cause| Err(cause.repeated())));
                }
                if !server.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    server.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            })
        })
        .await
    }

    /// Makes the state of a new connection, whose task is started soon. `secure`: the connection uses TLS. An `is_alone` connection is not
    /// shared with other requests.
    pub fn insert(&self, pool: usize, io: C, secure: bool, is_alone: bool) -> Rc<ServerLink> {
        let link = Link::upstream(Connection::client(settings(), secure));
        let link = Rc::new(ServerLink { link, pool, idle_since_nanos: Cell::new(0) });
        if !is_alone {
            self.with(pool, |server| server.links.push(Rc::clone(&link)));
        }
        self.new.borrow_mut().push(NewLink { link: Rc::clone(&link), io });
        if let Some(starter) = self.starter.take() {
            starter.wake();
        }
        link
    }

    /// The next connection whose task has to be started.
    pub fn poll_new(&self, cx: &Context<'_>) -> Poll<NewLink<C>> {
        if let Some(new) = self.new.borrow_mut().pop() {
            return Poll::Ready(new);
        }
        self.starter.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Removes a connection that has ended.
    pub fn remove(&self, ended: &Rc<ServerLink>) {
        self.with(ended.pool, |server| server.links.retain(|link| !Rc::ptr_eq(link, ended)));
    }

    /// Closes connections that have had no stream for [`limits::UPSTREAM_IDLE_SECS`]; returns their number.
    pub fn sweep(&self, now_nanos: u64) -> usize {
        let idle_nanos = limits::UPSTREAM_IDLE_SECS * 1_000_000_000;
        self.shut_down_if(|link| now_nanos.saturating_sub(link.idle_since_nanos.get()) >= idle_nanos)
    }

    /// Closes all connections without a stream, to free their descriptors.
    pub fn clear(&self) {
        self.shut_down_if(|_| true);
    }

    fn shut_down_if(&self, mut ends: impl FnMut(&ServerLink) -> bool) -> usize {
        let mut closed = 0;
        for server in self.servers.borrow_mut().iter_mut() {
            server.links.retain(|link| {
                let stays = link.link.see(|connection| connection.streams() > 0) || !ends(link);
                if !stays {
                    closed += 1;
                    link.link.with(Connection::shut_down);
                }
                stays
            });
        }
        closed
    }

    /// Open connections that requests may share.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.servers.borrow().iter().map(|server| server.links.len()).sum()
    }
}

/// A dial in progress. On drop, requests that wait for it go on.
pub struct DialGuard<'a, C> {
    links: &'a ServerLinks<C>,
    pool: usize,
}

impl<C> DialGuard<'_, C> {
    /// Notes that the dial has failed: the requests that wait for it fail as well.
    pub fn failed(self, cause: &Cause) {
        self.links.with(self.pool, |server| server.failure = Some(cause.repeated()));
    }
}

impl<C> Drop for DialGuard<'_, C> {
    fn drop(&mut self) {
        let waiting = self.links.with(self.pool, |server| {
            server.is_dialling = false;
            std::mem::take(&mut server.waiting)
        });
        waiting.into_iter().for_each(Waker::wake);
    }
}

fn settings() -> LocalSettings {
    LocalSettings {
        streams_max: limits::UPSTREAM_STREAMS_MAX,
        head: HeadLimits::RESPONSE,
        stream_window: limits::STREAM_WINDOW_BYTES,
        connection_window: limits::CONNECTION_WINDOW_BYTES,
        connect_protocol: false,
    }
}

impl ServerLink {
    /// Takes a stream, if the server allows a further one.
    pub fn open(&self, is_head: bool) -> Option<StreamKey> {
        self.link.with(|connection| connection.open(is_head))
    }

    /// Gives a stream back; the server learns if nobody waits for the rest of its response. With `is_last` no stream follows.
    pub fn release(&self, key: StreamKey, is_last: bool, now_nanos: u64, buffers: &BufferPool) {
        self.idle_since_nanos.set(now_nanos);
        self.link.with(|connection| {
            connection.release(key, buffers);
            if is_last && connection.streams() == 0 {
                connection.shut_down();
            }
        });
    }
}
