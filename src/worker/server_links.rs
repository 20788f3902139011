//! A worker's HTTP/2 connections to servers, which many requests share, and the requests that wait for a place on one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::message::h2::link::Link;
use super::resources::buffers::BufferPool;
use crate::error::Cause;
use crate::http::h2::connection::{Connection, StreamKey};
use crate::limits;

/// The connections of one worker, by server.
#[derive(Default)]
pub struct ServerLinks {
    /// Indexed by the number of the server's pool; the numbers are small and dense.
    servers: RefCell<Vec<Rc<Server>>>,
}

/// The connections to one server.
#[derive(Default)]
pub struct Server {
    links: RefCell<Vec<SharedLink>>,
    /// A connection is being opened that requests may share.
    is_dialling: Cell<bool>,
    /// The version on which the last TLS handshake agreed.
    agreed: Cell<Option<Agreed>>,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
}

/// A connection that requests share.
struct SharedLink {
    link: Rc<Link>,
    /// A request has used the connection since the last sweep.
    was_used: Cell<bool>,
    idle_since_nanos: Cell<u64>,
}

/// The HTTP version on which a TLS handshake has agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreed {
    Http1,
    Http2,
}

/// A request that waits for a place.
struct Waiter {
    waker: RefCell<Waker>,
    was_woken: Cell<bool>,
    /// Why the connection that the request waited for could not be opened.
    failure: RefCell<Option<Cause>>,
}

impl Waiter {
    fn wake(&self) {
        self.was_woken.set(true);
        self.waker.borrow().wake_by_ref();
    }
}

impl ServerLinks {
    /// The connections to the server whose pool has the number `pool`.
    pub fn server(&self, pool: usize) -> Rc<Server> {
        let mut servers = self.servers.borrow_mut();
        if servers.len() <= pool {
            servers.resize_with(pool + 1, Rc::default);
        }
        Rc::clone(&servers[pool])
    }

    /// A place on an open connection to the server, if there is one.
    #[inline]
    pub fn open(&self, pool: usize, is_head: bool) -> Option<(Rc<Link>, StreamKey)> {
        self.servers.borrow().get(pool)?.open(is_head)
    }

    /// Wakes a request that waits for a place, because one has become free.
    #[inline]
    pub fn place_freed(&self, pool: usize) {
        if let Some(server) = self.servers.borrow().get(pool) {
            server.wake_next();
        }
    }

    /// Ends the connections that no request uses, to free their descriptors.
    pub fn clear(&self) {
        for server in self.servers.borrow().iter() {
            let links = server.links.borrow();
            let idle = links.iter().filter(|shared| shared.link.see(|connection| connection.streams() == 0));
            idle.for_each(|shared| shared.link.with(Connection::shut_down));
        }
    }

    /// Ends the connections whose idle timeout has elapsed, and frees memory that idle ones do not need; returns the number of ended ones.
    pub fn sweep(&self, now_nanos: u64, buffers: &BufferPool) -> usize {
        let servers = self.servers.borrow();
        servers.iter().map(|server| server.sweep(now_nanos, buffers)).sum()
    }

    /// Open connections at this moment.
    #[cfg_attr(reachability, expect(dead_code, reason = "tests see with it that connections are closed"))]
    pub fn len(&self) -> usize {
        self.servers.borrow().iter().map(|server| server.links.borrow().len()).sum()
    }
}

impl Server {
    /// A place on an open connection, if there is one. The oldest connection comes first, so that a second one, which a burst of requests
    /// has needed, becomes idle and ends.
    fn open(&self, is_head: bool) -> Option<(Rc<Link>, StreamKey)> {
        self.links.borrow().iter().find_map(|shared| {
            let key = shared.link.with(|connection| connection.open(is_head))?;
            shared.was_used.set(true);
            Some((Rc::clone(&shared.link), key))
        })
    }

    fn sweep(&self, now_nanos: u64, buffers: &BufferPool) -> usize {
        let mut ended = 0;
        for shared in self.links.borrow().iter() {
            let is_busy = shared.link.see(|connection| connection.streams() > 0);
            if shared.was_used.take() || is_busy {
                shared.idle_since_nanos.set(now_nanos);
            } else if now_nanos >= shared.idle_since_nanos.get() + limits::UPSTREAM_IDLE_SECS * 1_000_000_000 {
                ended += 1;
                shared.link.with(Connection::shut_down);
            } else {
                shared.link.with(|connection| connection.trim(buffers));
            }
        }
        ended
    }

    /// The version on which the last TLS handshake agreed; `None` if there was none.
    pub fn agreed(&self) -> Option<Agreed> {
        self.agreed.get()
    }

    pub fn set_agreed(&self, agreed: Agreed) {
        self.agreed.set(Some(agreed));
    }

    pub fn insert(&self, link: Rc<Link>) {
        let shared = SharedLink { link, was_used: Cell::new(true), idle_since_nanos: Cell::default() };
        self.links.borrow_mut().push(shared);
    }

    /// Removes a connection that has ended; the requests that wait need another one.
    pub fn remove(&self, link: &Rc<Link>) {
        self.links.borrow_mut().retain(|shared| !Rc::ptr_eq(&shared.link, link));
        self.wake_all(None);
    }

    /// Begins to open a connection for all requests that wait; `None` if that is under way already.
    pub fn begin_dial(self: &Rc<Self>) -> Option<DialGuard> {
        (!self.is_dialling.replace(true)).then(|| DialGuard { server: Rc::clone(self), failure: None })
    }

    /// Waits until there may be a place, or the attempt to open a connection has ended.
    ///
    /// # Errors
    /// The attempt has failed.
    pub async fn changed(&self) -> Result<(), Cause> {
        let mut ticket = Ticket { server: self, waiter: None };
        poll_fn(|cx| match &ticket.waiter {
            Some(waiter) if waiter.was_woken.get() => Poll::Ready(waiter.failure.take().map_or(Ok(()), Err)),
            Some(waiter) => {
                waiter.waker.borrow_mut().clone_from(cx.waker());
                Poll::Pending
            }
            None => {
                let waker = RefCell::new(cx.waker().clone());
                let waiter = Rc::new(Waiter { waker, was_woken: Cell::default(), failure: RefCell::default() });
                self.waiting.borrow_mut().push_back(Rc::clone(&waiter));
                ticket.waiter = Some(waiter);
                Poll::Pending
            }
        })
        .await
        .inspect(|()| ticket.waiter = None)
    }

    fn wake_next(&self) {
        let next = self.waiting.borrow_mut().pop_front();
        if let Some(waiter) = next {
            waiter.wake();
        }
    }

    /// Wakes all requests that wait; with a `failure` they fail.
    fn wake_all(&self, failure: Option<&Cause>) {
        let waiting = self.waiting.take();
        for waiter in waiting {
            waiter.failure.replace(failure.map(Cause::repeated));
            waiter.wake();
        }
    }
}

/// An attempt to open a connection for all requests that wait; they are woken when it ends.
pub struct DialGuard {
    server: Rc<Server>,
    failure: Option<Cause>,
}

impl DialGuard {
    /// Notes that the attempt has failed: so do the requests that wait for it.
    pub fn failed(mut self, cause: &Cause) {
        self.failure = Some(cause.repeated());
    }
}

impl Drop for DialGuard {
    fn drop(&mut self) {
        self.server.is_dialling.set(false);
        self.server.wake_all(self.failure.as_ref());
    }
}

/// The place of a request in the queue.
struct Ticket<'a> {
    server: &'a Server,
    waiter: Option<Rc<Waiter>>,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        if waiter.was_woken.get() {
            // The request has ended after it was woken: another one gets its place.
            return self.server.wake_next();
        }
        self.server.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &waiter));
    }
}

/// A request's place on a connection: a stream, which ends with the request.
pub struct Place<'w> {
    pub link: Rc<Link>,
    pub key: StreamKey,
    links: &'w ServerLinks,
    buffers: &'w BufferPool,
    pool: usize,
    /// The connection ends with this request.
    is_only: bool,
}

impl<'w> Place<'w> {
    pub fn new(
        (link, key): (Rc<Link>, StreamKey),
        links: &'w ServerLinks,
        buffers: &'w BufferPool,
        pool: usize,
    ) -> Self {
        Place { link, key, links, buffers, pool, is_only: false }
    }

    /// Makes the connection end with this request: no other one may use it.
    pub fn end_connection(&mut self) {
        self.is_only = true;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.link.with(|connection| {
            connection.release(self.key, self.buffers);
            if self.is_only {
                connection.shut_down();
            }
        });
        self.links.place_freed(self.pool);
    }
}
