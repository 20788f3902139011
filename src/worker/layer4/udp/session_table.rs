//! The sessions of one worker: found by client, bounded in number, and kept in the order of their last datagram, so that the one that has
//! been idle longest is always at hand. Knows no sockets and no clock.

use std::collections::HashMap;
use std::net::SocketAddr;

use slab::Slab;

use crate::net::udp::LocalAddress;

/// The client of a session. A client that writes to two addresses of an entry point has two sessions: each answer leaves from its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client {
    /// The number of the socket that the datagrams arrive at.
    pub listener: usize,
    pub address: SocketAddr,
    /// The address that the client wrote to, if the socket reports it.
    pub local: Option<LocalAddress>,
}

/// Sessions by client. Each is in one of several queues: sessions of a queue end after the same idle time.
pub struct SessionTable<S> {
    sessions: Slab<Entry<S>>,
    by_client: HashMap<Client, usize>,
    queues: Vec<Queue>,
    max: usize,
}

struct Entry<S> {
    client: Client,
    session: S,
    queue: usize,
    /// The time of the last datagram.
    last_nanos: u64,
    /// The neighbours in the queue.
    older: Option<usize>,
    newer: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Queue {
    oldest: Option<usize>,
    newest: Option<usize>,
}

impl<S> SessionTable<S> {
    /// A table of at most `max` sessions in `queues` queues.
    pub fn new(queues: usize, max: usize) -> Self {
        SessionTable {
            sessions: Slab::new(),
            by_client: HashMap::new(),
            queues: vec![Queue::default(); queues.max(1)],
            max: max.max(1),
        }
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn find(&self, client: &Client) -> Option<usize> {
        self.by_client.get(client).copied()
    }

    pub fn get(&self, id: usize) -> Option<&S> {
        self.sessions.get(id).map(|entry| &entry.session)
    }

    pub fn get_mut(&mut self, id: usize) -> Option<&mut S> {
        self.sessions.get_mut(id).map(|entry| &mut entry.session)
    }

    pub fn client(&self, id: usize) -> Option<&Client> {
        self.sessions.get(id).map(|entry| &entry.client)
    }

    pub fn ids(&self) -> impl Iterator<Item = usize> + '_ {
        self.sessions.iter().map(|(id, _)| id)
    }

    /// The number that the next session gets.
    pub fn next_id(&self) -> usize {
        self.sessions.vacant_key()
    }

    /// Whether a new session takes the place of another one.
    pub fn is_full(&self) -> bool {
        self.sessions.len() >= self.max
    }

    /// Adds the session of a client that has none, if there is room.
    pub fn insert(&mut self, client: Client, queue: usize, session: S, now_nanos: u64) -> Option<usize> {
        if self.is_full() || self.by_client.contains_key(&client) || queue >= self.queues.len() {
            return None;
        }
        let entry = Entry { client, session, queue, last_nanos: now_nanos, older: None, newer: None };
        let id = self.sessions.insert(entry);
        self.by_client.insert(client, id);
        self.append(id);
        Some(id)
    }

    /// Notes a datagram of a session, which becomes the newest of its queue.
    pub fn touch(&mut self, id: usize, now_nanos: u64) {
        let Some(entry) = self.sessions.get_mut(id) else { return };
        entry.last_nanos = now_nanos;
        if entry.newer.is_some() {
            self.unlink(id);
            self.append(id);
        }
    }

    /// Leaves a session to its last answers: its client's next datagram finds it no more. It moves to `queue`.
    pub fn retire(&mut self, id: usize, queue: usize, now_nanos: u64) {
        if queue >= self.queues.len() || !self.sessions.contains(id) {
            return;
        }
        self.unlink(id);
        if let Some(entry) = self.sessions.get_mut(id) {
            entry.queue = queue;
            entry.last_nanos = now_nanos;
            if self.by_client.get(&entry.client) == Some(&id) {
                self.by_client.remove(&entry.client);
            }
        }
        self.append(id);
    }

    pub fn remove(&mut self, id: usize) -> Option<(Client, S)> {
        if !self.sessions.contains(id) {
            return None;
        }
        self.unlink(id);
        let entry = self.sessions.remove(id);
        // A retired session may have been followed by another one of its client.
        if self.by_client.get(&entry.client) == Some(&id) {
            self.by_client.remove(&entry.client);
        }
        Some((entry.client, entry.session))
    }

    /// The session of all queues that has been idle longest.
    pub fn oldest(&self) -> Option<usize> {
        let ends = self.queues.iter().filter_map(|queue| queue.oldest);
        ends.min_by_key(|&id| self.sessions.get(id).map(|entry| entry.last_nanos))
    }

    /// The oldest session of a queue, if its last datagram came before `before_nanos`.
    pub fn idle_since(&self, queue: usize, before_nanos: u64) -> Option<usize> {
        let oldest = self.queues.get(queue)?.oldest?;
        self.sessions.get(oldest).filter(|entry| entry.last_nanos < before_nanos).map(|_| oldest)
    }

    fn append(&mut self, id: usize) {
        let Some(entry) = self.sessions.get_mut(id) else { return };
        let queue = &mut self.queues[entry.queue];
        let newest = queue.newest.replace(id);
        (entry.older, entry.newer) = (newest, None);
        match newest.and_then(|newest| self.sessions.get_mut(newest)) {
            Some(newest) => newest.newer = Some(id),
            None => queue.oldest = Some(id),
        }
    }

    fn unlink(&mut self, id: usize) {
        let Some(entry) = self.sessions.get(id) else { return };
        let (queue, older, newer) = (entry.queue, entry.older, entry.newer);
        match older.and_then(|older| self.sessions.get_mut(older)) {
            Some(older) => older.newer = newer,
            None => self.queues[queue].oldest = newer,
        }
        match newer.and_then(|newer| self.sessions.get_mut(newer)) {
            Some(newer) => newer.older = older,
            None => self.queues[queue].newest = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(number: u16) -> Client {
        Client { listener: 0, address: SocketAddr::from(([10, 0, 0, 1], number)), local: None }
    }

    fn oldest(table: &SessionTable<u16>) -> Option<u16> {
        table.oldest().and_then(|id| table.get(id)).copied()
    }

    #[test]
    fn full_table_takes_a_session_when_the_oldest_has_left() {
        let mut table = SessionTable::new(1, 3);
        for number in 0..3 {
            assert!(table.insert(client(number), 0, number, u64::from(number)).is_some());
        }
        assert!(table.is_full() && table.insert(client(9), 0, 9, 9).is_none());
        table.touch(table.find(&client(0)).expect("there"), 5);
        assert_eq!(oldest(&table), Some(1), "the first has had a datagram since");
        let gone = table.oldest().and_then(|id| table.remove(id)).expect("the oldest");
        assert_eq!(gone, (client(1), 1));
        assert!(table.insert(client(9), 0, 9, 9).is_some() && table.find(&client(1)).is_none());
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn client_has_one_session_for_each_address_that_it_writes_to() {
        let mut table = SessionTable::new(1, 8);
        let local = |last| Some(LocalAddress { ip: [127, 0, 0, last].into(), interface: 0 });
        let first = Client { local: local(1), ..client(7) };
        let second = Client { local: local(2), ..client(7) };
        let ids = [first, second].map(|client| table.insert(client, 0, 0, 1).expect("room"));
        assert!(table.insert(first, 0, 0, 1).is_none(), "one session for each");
        assert_eq!([first, second].map(|client| table.find(&client)), ids.map(Some));
    }

    #[test]
    fn idle_sessions_are_found_by_queue_in_the_order_of_their_last_datagram() {
        let mut table = SessionTable::new(2, 8);
        for (number, queue, at) in [(1, 0, 10), (2, 1, 11), (3, 0, 12)] {
            table.insert(client(number), queue, number, at).expect("room");
        }
        assert_eq!((table.idle_since(0, 10), table.idle_since(2, 99)), (None, None));
        let mut idle = |queue, before| {
            let (_, number) = table.idle_since(queue, before).and_then(|id| table.remove(id))?;
            Some(number)
        };
        assert_eq!((idle(0, 12), idle(0, 12), idle(1, 12), idle(0, 13)), (Some(1), None, Some(2), Some(3)));
    }

    #[test]
    fn retired_session_is_replaced_and_ends_by_itself() {
        let mut table = SessionTable::new(2, 8);
        let old = table.insert(client(1), 0, 1, 1).expect("room");
        table.retire(old, 1, 2);
        assert!(table.find(&client(1)).is_none() && table.get(old).is_some());
        let new = table.insert(client(1), 0, 2, 3).expect("room");
        assert_eq!(table.idle_since(1, 9), Some(old));
        table.remove(old);
        assert_eq!((table.find(&client(1)), table.len()), (Some(new), 1));
    }

    proptest! {
        /// The table against a list in the order of the last datagram.
        #[test]
        fn order_is_that_of_the_last_datagram(steps in prop::collection::vec((0u8..5, 0u16..12), 0..200)) {
            let mut table = SessionTable::new(2, 8);
            let mut model: Vec<(u16, usize)> = Vec::new();
            for (now, (step, number)) in (1..).zip(steps) {
                let at = model.iter().position(|(known, _)| *known == number);
                match (step, at) {
                    (0 | 1, None) if model.len() < 8 => {
                        let id = table.insert(client(number), 0, number, now).expect("room");
                        model.push((number, id));
                    }
                    (0 | 1, None) => prop_assert!(table.insert(client(number), 0, number, now).is_none()),
                    (2 | 3, Some(at)) => {
                        let moved = model.remove(at);
                        table.touch(moved.1, now);
                        model.push(moved);
                    }
                    (4, Some(at)) => {
                        let (_, id) = model.remove(at);
                        prop_assert_eq!(table.remove(id), Some((client(number), number)));
                    }
                    _ => {}
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.oldest(), model.first().map(|(_, id)| *id));
                for (number, id) in &model {
                    prop_assert_eq!(table.find(&client(*number)), Some(*id));
                }
            }
            let mut left = Vec::new();
            while let Some(id) = table.idle_since(0, u64::MAX) {
                left.extend(table.remove(id).map(|(_, number)| number));
            }
            prop_assert_eq!(left, model.iter().map(|(number, _)| *number).collect::<Vec<_>>());
        }
    }
}
