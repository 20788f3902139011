//! The sessions of a worker: how they begin, change their server, and end.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use super::held::Held;
use super::server;
use super::session::{MANY_ANSWERS, Session};
use super::session_table::{Client, SessionTable};
use crate::backend::TriedServers;
use crate::config::snapshot::UdpFrontend;
use crate::limits::{self, Bound};
use crate::net::readiness_set::ReadinessSet;
use crate::net::udp;
use crate::net::udp_batch::{self, Message, SendFailure};
use crate::observe::Published;
use crate::observe::access_log::{ConnectionRecord, ConnectionServer};
use crate::observe::layer4::{EndReason, Layer4};
use crate::observe::metrics::DropReason;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

const LAST_ANSWERS_NANOS: u64 = limits::UDP_LAST_ANSWERS_SECS * 1_000_000_000;

/// A socket that clients send to, as the sessions see it.
pub struct ListenerInfo {
    /// The number of the entry point.
    pub entry: usize,
    /// The idle time after which sessions end.
    pub timeout_nanos: u64,
}

/// All sessions of one worker.
pub struct Sessions<D: Dial> {
    worker: Rc<Worker<D>>,
    listeners: Rc<[ListenerInfo]>,
    /// Reports the sockets of the sessions, under the sessions' numbers.
    set: Rc<ReadinessSet>,
    /// Sessions of listener N are in queue N; retired ones are in the last.
    pub table: SessionTable<Session>,
    published: Arc<Published>,
    held_bytes: usize,
}

/// How far messages have come.
#[derive(Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// All have been sent or dropped.
    All,
    /// The messages from this number on wait for room in the session's socket.
    Full(usize),
}

impl<D: Dial> Sessions<D> {
    pub fn new(worker: Rc<Worker<D>>, listeners: Rc<[ListenerInfo]>, set: Rc<ReadinessSet>) -> Self {
        let workers = worker.shared.worker_status.len();
        let max = udp::sessions_per_worker(limits::UDP_SESSIONS_PER_WORKER_MAX, workers);
        let table = SessionTable::new(listeners.len() + 1, max);
        let published = worker.snapshot();
        Sessions { worker, listeners, set, table, published, held_bytes: 0 }
    }

    fn entry(&self, client: &Client) -> usize {
        self.listeners.get(client.listener).map_or(usize::MAX, |listener| listener.entry)
    }

    pub fn count_dropped(&self, client: &Client, reason: DropReason, count: u64) {
        self.worker.metrics().datagrams_dropped(self.entry(client), reason, count);
    }

    /// The session of a client that has sent a datagram; a new one if it has none.
    ///
    /// # Errors
    /// The client gets no session.
    pub fn find_or_open(&mut self, client: Client, now_nanos: u64) -> Result<usize, DropReason> {
        if let Some(id) = self.table.find(&client) {
            let is_up = self.table.get(id).is_some_and(|session| session.server.lease.server.state.is_up());
            if is_up {
                self.table.touch(id, now_nanos);
                return Ok(id);
            }
            self.retire(id, now_nanos);
        }
        self.open(client, now_nanos)
    }

    fn open(&mut self, client: Client, now_nanos: u64) -> Result<usize, DropReason> {
        let address = udp::canonical(client.address);
        let frontend = self.frontend(&client).ok_or(DropReason::NoFrontend)?;
        if !allows(&frontend, address.ip()) {
            return Err(DropReason::WhiteList);
        }
        if self.table.is_full() {
            self.worker.exceeded(Bound::UdpSessions);
            self.evict_oldest(now_nanos);
        }
        let mut tried = TriedServers::default();
        let chosen = match server::choose(&frontend.backend, address.ip(), &mut tried, now_nanos) {
            // Another session may have what this one needs: a descriptor, or a port.
            Err(DropReason::Shortage) if self.evict_oldest(now_nanos) => {
                server::choose(&frontend.backend, address.ip(), &mut tried, now_nanos)
            }
            other => other,
        };
        let server = chosen.inspect_err(|reason| self.log_not_opened(&frontend, *reason))?;
        self.set.add(server.socket.as_fd(), self.table.next_id()).map_err(|_| DropReason::Shortage)?;
        let counters = self.published.shared_counters(frontend.backend.number);
        if let Some(counters) = &counters {
            self.worker.metrics().connection_opened(Layer4::Udp, counters);
        }
        let session = Session {
            client: address,
            frontend,
            server,
            tried,
            retries: 0,
            held: Held::default(),
            has_answer: false,
            awaits_answer: true,
            is_retired: false,
            start_nanos: now_nanos,
            start_unix_nanos: self.worker.clock.unix_nanos(),
            asked_nanos: now_nanos,
            bytes_in: 0,
            bytes_out: 0,
            answers: 0,
            counters,
        };
        self.table.insert(client, client.listener, session, now_nanos).ok_or(DropReason::Shortage)
    }

    fn frontend(&mut self, client: &Client) -> Option<Arc<UdpFrontend>> {
        self.follow_configuration();
        self.published.snapshot.udp.get(self.entry(client))?.clone()
    }

    /// Sends messages of a session's client to its server, or to another one if the server refuses them.
    pub fn forward(&mut self, id: usize, messages: &[Message<'_>], now_nanos: u64) -> Forwarded {
        let mut next = 0;
        while next < messages.len() {
            let rest = &messages[next..];
            let Some(session) = self.table.get(id) else { break };
            match udp_batch::send(&session.server.socket, rest) {
                Ok(()) => {
                    self.note_forwarded(id, rest, now_nanos);
                    return Forwarded::All;
                }
                Err(SendFailure { sent, error }) => {
                    self.note_forwarded(id, &rest[..sent], now_nanos);
                    next += sent;
                    if error.kind() == std::io::ErrorKind::WouldBlock {
                        return Forwarded::Full(next);
                    }
                    if udp::is_server_failure(&error) && self.change_server(id, now_nanos) {
                        continue;
                    }
                    self.drop_one(id, messages.get(next));
                    next += 1;
                }
            }
        }
        Forwarded::All
    }

    fn drop_one(&self, id: usize, message: Option<&Message<'_>>) {
        if let Some((client, message)) = self.table.client(id).zip(message) {
            self.count_dropped(client, DropReason::ServerFailed, message.count() as u64);
        }
    }

    fn note_forwarded(&mut self, id: usize, messages: &[Message<'_>], now_nanos: u64) {
        let Some(client) = self.table.client(id) else { return };
        let entry = self.entry(client);
        let Some(session) = self.table.get_mut(id) else { return };
        let mut count = 0;
        for message in messages {
            session.bytes_in += message.bytes.len() as u64;
            count += message.count() as u64;
        }
        (session.awaits_answer, session.asked_nanos) = (true, now_nanos);
        if session.may_be_refused(now_nanos) {
            for datagram in messages.iter().flat_map(Message::datagrams) {
                let left = limits::UDP_HELD_BYTES_PER_WORKER_MAX.saturating_sub(self.held_bytes);
                self.held_bytes += session.held.push(datagram, left);
            }
        } else if !session.held.is_empty() {
            self.held_bytes = self.held_bytes.saturating_sub(session.held.clear());
        }
        self.worker.metrics().datagrams_in(entry, count);
    }

    /// Notes a message of a session's server.
    pub fn note_answer(&mut self, id: usize, message: &Message<'_>, now_nanos: u64) {
        let Some(session) = self.table.get_mut(id) else { return };
        if session.note_answers(message.count(), message.bytes.len(), now_nanos) {
            self.held_bytes = self.held_bytes.saturating_sub(session.held.clear());
        }
        if !session.is_retired {
            self.table.touch(id, now_nanos);
        }
    }

    /// Gives a session whose server refuses datagrams another address or server, to which the datagrams go that no server has answered. The
    /// session ends if none is left. Returns whether it goes on.
    pub fn change_server(&mut self, id: usize, now_nanos: u64) -> bool {
        let Some(session) = self.table.get_mut(id) else { return false };
        if session.is_retired {
            self.end(id, EndReason::ServerReset, now_nanos);
            return false;
        }
        let had_answer = std::mem::replace(&mut session.has_answer, false);
        let backend = Arc::clone(&session.frontend.backend);
        if had_answer || !session.server.use_next_address(&backend) {
            session.server.note_refused(&backend, now_nanos);
            session.tried.add(session.server.lease.index);
            session.retries += 1;
            let server = session.server.lease.server.url.text.as_str();
            // Senders can forge addresses: a line for each session would let them fill the log.
            let lines = &self.worker.shared.server_lines;
            if let Some(repeated) = self.worker.may_log_again(lines, &format!("udp refused {server}")) {
                let frontend = &session.frontend.name;
                tracing::warn!(%frontend, backend = %backend.name, %server, "server refuses datagrams: its port is closed (ICMP){repeated}");
            }
            match server::choose(&backend, session.client.ip(), &mut session.tried, now_nanos) {
                Ok(server) => session.server = server,
                Err(reason) => {
                    let frontend = Arc::clone(&session.frontend);
                    self.log_not_opened(&frontend, reason);
                    let reason = if had_answer { EndReason::ServerReset } else { EndReason::ConnectFailed };
                    self.end(id, reason, now_nanos);
                    return false;
                }
            }
        }
        // The old socket has left the set when it was closed.
        let Some(session) = self.table.get(id) else { return false };
        if self.set.add(session.server.socket.as_fd(), id).is_err() {
            self.end(id, EndReason::ConnectFailed, now_nanos);
            return false;
        }
        let held: Vec<Message> = session.held.iter().map(plain).collect();
        // A server that refuses at once is reported by its socket too.
        let _ = udp_batch::send(&session.server.socket, &held);
        true
    }

    /// Leaves a session to its last answers, because its client gets another server from now on.
    fn retire(&mut self, id: usize, now_nanos: u64) {
        if let Some(session) = self.table.get_mut(id) {
            session.is_retired = true;
            self.table.retire(id, self.listeners.len(), now_nanos);
        }
    }

    /// Ends the session that has been idle longest. Returns whether there was one.
    fn evict_oldest(&mut self, now_nanos: u64) -> bool {
        let oldest = self.table.oldest();
        oldest.inspect(|id| self.end(*id, EndReason::Evicted, now_nanos)).is_some()
    }

    /// Ends the sessions that have been idle for their time.
    pub fn end_idle(&mut self, now_nanos: u64) {
        let listeners = Rc::clone(&self.listeners);
        for (queue, listener) in listeners.iter().enumerate() {
            let before = now_nanos.saturating_sub(listener.timeout_nanos);
            while let Some(id) = self.table.idle_since(queue, before) {
                self.end(id, EndReason::Idle, now_nanos);
            }
        }
        let before = now_nanos.saturating_sub(LAST_ANSWERS_NANOS);
        while let Some(id) = self.table.idle_since(listeners.len(), before) {
            self.end(id, EndReason::ServerRemoved, now_nanos);
        }
    }

    /// Applies a new configuration to the sessions: those whose server it has go on, also to drain another server; the others retire.
    pub fn follow_configuration(&mut self) {
        let published = self.worker.snapshot();
        if Arc::ptr_eq(&published, &self.published) {
            return;
        }
        self.published = published;
        let now_nanos = self.worker.clock.mono_nanos();
        for id in self.table.ids().collect::<Vec<_>>() {
            let Some(client) = self.table.client(id).copied() else { continue };
            let frontend = self.published.snapshot.udp.get(self.entry(&client)).cloned().flatten();
            let Some(session) = self.table.get_mut(id).filter(|session| !session.is_retired) else { continue };
            match frontend {
                Some(frontend) if !allows(&frontend, session.client.ip()) => {
                    self.end(id, EndReason::WhiteList, now_nanos);
                }
                Some(frontend) if session.rebind(&frontend) => {}
                _ => self.retire(id, now_nanos),
            }
        }
    }

    /// Ends a session, with its log line.
    pub fn end(&mut self, id: usize, reason: EndReason, now_nanos: u64) {
        let Some((client, mut session)) = self.table.remove(id) else { return };
        self.held_bytes = self.held_bytes.saturating_sub(session.held.clear());
        if session.answers >= MANY_ANSWERS {
            let drops = session.server.socket.take_drops();
            self.count_dropped(&client, DropReason::AnswerBuffer, drops.into());
        }
        let (bytes_in, bytes_out) = (session.bytes_in, session.bytes_out);
        let metrics = self.worker.metrics();
        metrics.connection_closed(Layer4::Udp, session.counters.as_deref(), reason, bytes_in, bytes_out);
        self.log(&session, reason, now_nanos);
    }

    fn log(&self, session: &Session, end: EndReason, now_nanos: u64) {
        let Some(log) = &self.worker.access_log else { return };
        let server = session.endpoint();
        let server = server.map(|at| ConnectionServer { url: at.url.as_bytes(), addr: &at.authority });
        log.write(|format, out, request_count| {
            let record = ConnectionRecord {
                start_unix_nanos: session.start_unix_nanos,
                local_offset_secs: log.local_offset_secs(session.start_unix_nanos),
                duration_nanos: now_nanos.saturating_sub(session.start_nanos),
                client: session.client,
                protocol: "UDP",
                name: b"",
                frontend_name: &session.frontend.log_name,
                backend_name: &session.frontend.backend.name,
                server,
                bytes_in: session.bytes_in,
                bytes_out: session.bytes_out,
                end,
                request_count,
                retry_attempts: session.retries,
            };
            format.append_connection(&record, out);
        });
    }

    /// Logs that a client gets no session; the same for one frontend once in ten minutes.
    fn log_not_opened(&self, frontend: &UdpFrontend, reason: DropReason) {
        let text = match reason {
            DropReason::Shortage => {
                "no socket is left: raise the limit of open files (ulimit -n), or lower udp.timeout"
            }
            DropReason::ServerFailed => "no server takes them: start one, or correct the servers' URLs",
            _ => "the backend has no server that is up: start one",
        };
        let key = format!("udp {} {}", frontend.name, reason.name());
        if let Some(repeated) = self.worker.may_log_again(&self.worker.shared.server_lines, &key) {
            let backend = &frontend.backend.name;
            tracing::error!(frontend = %frontend.name, %backend, "datagrams dropped: {text}{repeated}");
        }
    }
}

fn plain(bytes: &[u8]) -> Message<'_> {
    Message { bytes, segment: None, to: None, from: None }
}

fn allows(frontend: &UdpFrontend, client: IpAddr) -> bool {
    frontend.white_list.as_ref().is_none_or(|list| list.allows_address(client))
}

/// Whether a datagram cannot be answered: its source is port 0, or the very address that it was sent to, so that an answer would come back
/// and be answered again.
pub fn is_forged(client: &Client, listener: SocketAddr) -> bool {
    let asked = client.local.map_or(listener.ip(), |local| local.ip).to_canonical();
    let source = udp::canonical(client.address);
    source.port() == 0 || (source.port() == listener.port() && source.ip() == asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::udp::LocalAddress;

    #[test]
    fn source_that_is_the_entry_point_itself_is_forged() {
        let local = |ip: &str| Some(LocalAddress { ip: ip.parse().expect("an address"), interface: 0 });
        let listener = "[::]:53".parse().expect("an address");
        for (source, asked, forged) in [
            ("[::ffff:10.0.0.1]:53", local("::ffff:10.0.0.1"), true),
            ("[::ffff:10.0.0.1]:54", local("::ffff:10.0.0.1"), false),
            ("[::ffff:10.0.0.2]:53", local("::ffff:10.0.0.1"), false),
            ("[2001:db8::1]:0", local("2001:db8::2"), true),
            ("[2001:db8::1]:53", None, false),
        ] {
            let client = Client { listener: 0, address: source.parse().expect("an address"), local: asked };
            assert_eq!(is_forged(&client, listener), forged, "{source}");
        }
    }
}
