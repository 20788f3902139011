//! The tasks that move the datagrams of one worker: one for each listening socket, one for the sockets of all sessions, and one that ends what
//! is over.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::Duration;

use socket2::Socket;

use super::drain::ActiveSessions;
use super::session_table::Client;
use super::sessions::{Forwarded, ListenerInfo, Sessions, is_forged};
use crate::limits;
use crate::net::readiness_set::{ReadinessSet, ReadySockets};
use crate::net::splice::pause;
use crate::net::udp::{self, DatagramSocket, Readiness};
use crate::net::udp_batch::{self, Batch, Message, SendFailure};
use crate::observe::metrics::DropReason;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Sockets that are looked at between two turns of other tasks.
const SOCKETS_PER_TURN: usize = 64;
/// Batches that are received from one socket between two turns of other tasks.
const BATCHES_PER_TURN: usize = 4;
/// How often the kernel is asked for the datagrams that it dropped, in ticks.
const DROPS_TICKS: u64 = 10;

/// A socket that clients send to.
struct Listener {
    socket: RefCell<DatagramSocket>,
    address: SocketAddr,
}

/// The datagrams of one worker.
struct Service<D: Dial> {
    worker: Rc<Worker<D>>,
    set: Rc<ReadinessSet>,
    listeners: Vec<Listener>,
    infos: Rc<[ListenerInfo]>,
    sessions: RefCell<Sessions<D>>,
    /// Whether datagrams of clients are received.
    is_receiving: Cell<bool>,
}

/// Answers in a batch, each with the client that it is for.
struct Answers {
    batch: Batch,
    clients: Vec<Client>,
}

/// Serves `sockets`, each with the number of its entry point, until the process ends. Datagrams of clients are received while the process
/// accepts connections.
pub async fn run<D: Dial>(worker: Rc<Worker<D>>, sockets: Vec<(usize, Socket)>) {
    if sockets.is_empty() {
        return;
    }
    let pause = Duration::from_millis(limits::ACCEPT_POLL_MILLIS);
    let service = loop {
        match Service::new(&worker, &sockets) {
            Ok(service) => break Rc::new(service),
            Err(e) => worker.on_resource_shortage(&e),
        }
        monoio::time::sleep(pause).await;
    };
    while !worker.is_accepting() {
        monoio::time::sleep(pause).await;
    }
    service.begin();
    for number in 0..service.listeners.len() {
        let receiver = Rc::clone(&service);
        monoio::spawn(async move { receiver.receive_from_clients(number).await });
    }
    let receiver = Rc::clone(&service);
    monoio::spawn(async move { receiver.receive_from_servers().await });
    service.keep_time().await;
}

impl<D: Dial> Service<D> {
    fn new(worker: &Rc<Worker<D>>, sockets: &[(usize, Socket)]) -> io::Result<Self> {
        let set = Rc::new(ReadinessSet::new()?);
        let (mut listeners, mut infos) = (Vec::new(), Vec::new());
        for (entry, socket) in sockets {
            let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
            listeners.push(Listener { socket: RefCell::new(DatagramSocket::of_entry_point(socket)?), address });
            let timeout = worker.shared.entry_points.get(*entry).map(|entry| entry.udp_timeout);
            infos.push(ListenerInfo { entry: *entry, timeout_nanos: timeout.map_or(u64::MAX, nanos) });
            worker.metrics().takes_datagrams(*entry);
        }
        let infos: Rc<[ListenerInfo]> = infos.into();
        let sessions = RefCell::new(Sessions::new(Rc::clone(worker), Rc::clone(&infos), Rc::clone(&set)));
        Ok(Service { worker: Rc::clone(worker), set, listeners, infos, sessions, is_receiving: Cell::new(false) })
    }

    /// Begins to receive datagrams of clients.
    fn begin(&self) {
        self.is_receiving.set(true);
        self.worker.shared.accepts.fetch_add(1, Relaxed);
    }

    /// Ends what [`begin`](Self::begin) has begun. Datagrams that wait in the sockets are left to another process. The sockets stay open: the
    /// last answers leave through them.
    fn stop(&self) {
        self.is_receiving.set(false);
        self.worker.shared.accepts.fetch_sub(1, Release);
    }

    async fn receive_from_servers(&self) {
        let mut ready = ReadySockets::new(SOCKETS_PER_TURN);
        let mut answers = Answers { batch: Batch::default(), clients: Vec::new() };
        loop {
            if self.set.wait().await.is_err() {
                monoio::time::sleep(Duration::from_millis(limits::ACCEPT_PAUSE_MILLIS)).await;
            }
            self.worker.clock.read();
            for &id in self.set.poll(&mut ready) {
                self.receive_answers(id, &mut answers).await;
            }
            self.send_answers(&mut answers).await;
            pause().await;
        }
    }

    /// Receives datagrams of clients. A task that waits when the process stops goes on waiting: readiness takes nothing from the socket.
    async fn receive_from_clients(&self, number: usize) {
        let Some(listener) = self.listeners.get(number) else { return };
        let readiness = loop {
            match listener.socket.borrow().readiness() {
                Ok(readiness) => break readiness,
                Err(e) => self.worker.on_resource_shortage(&e),
            }
            monoio::time::sleep(Duration::from_millis(limits::ACCEPT_PAUSE_MILLIS)).await;
        };
        let mut batch = Batch::default();
        while self.is_receiving.get() {
            if readiness.readable().await.is_err() {
                monoio::time::sleep(Duration::from_millis(limits::ACCEPT_PAUSE_MILLIS)).await;
            }
            self.worker.clock.read();
            self.sessions.borrow_mut().follow_configuration();
            self.receive_some(number, listener, &mut batch).await;
            pause().await;
        }
    }

    async fn receive_some(&self, number: usize, listener: &Listener, batch: &mut Batch) {
        for _ in 0..BATCHES_PER_TURN {
            batch.clear();
            if !self.is_receiving.get() {
                break;
            }
            let outcome = batch.receive(&listener.socket.borrow());
            let mut first = 0;
            while let Some((address, local)) = batch.addresses(first) {
                let end = batch.end_of_run(first);
                let client = Client { listener: number, address, local };
                self.forward(client, listener.address, batch, first..end).await;
                first = end;
            }
            if !matches!(outcome, Ok(true)) {
                break;
            }
        }
    }

    /// Passes messages of one client on to its server.
    async fn forward(&self, client: Client, listener: SocketAddr, batch: &Batch, run: std::ops::Range<usize>) {
        let now_nanos = self.worker.clock.mono_nanos();
        let messages: Vec<Message> = run.map(|number| batch.message(number)).collect();
        let opened = match is_forged(&client, listener) {
            true => Err(DropReason::ForgedSource),
            false => self.sessions.borrow_mut().find_or_open(client, now_nanos),
        };
        let id = match opened {
            Ok(id) => id,
            Err(reason) => return self.sessions.borrow().count_dropped(&client, reason, count(&messages)),
        };
        let mut outcome = self.sessions.borrow_mut().forward(id, &messages, now_nanos);
        if let Forwarded::Full(next) = outcome {
            self.wait_for_server(id).await;
            outcome = match messages.get(next..) {
                Some(rest) if self.sessions.borrow().table.client(id) == Some(&client) => {
                    match self.sessions.borrow_mut().forward(id, rest, now_nanos) {
                        Forwarded::Full(more) => Forwarded::Full(next + more),
                        Forwarded::All => Forwarded::All,
                    }
                }
                _ => Forwarded::Full(next),
            };
        }
        if let Forwarded::Full(next) = outcome {
            let dropped = count(messages.get(next..).unwrap_or_default());
            self.sessions.borrow().count_dropped(&client, DropReason::SendBuffer, dropped);
        }
    }

    async fn wait_for_server(&self, id: usize) {
        let readiness = self.sessions.borrow().table.get(id).map(|session| session.server.socket.readiness());
        self.wait_writable(readiness).await;
    }

    /// Waits until a socket has room, for a moment at most.
    async fn wait_writable(&self, readiness: Option<io::Result<Readiness>>) {
        let Some(Ok(readiness)) = readiness else { return };
        let time = Duration::from_millis(limits::UDP_SEND_WAIT_MILLIS);
        let _ = self.worker.deadlines.within(time, readiness.writable()).await;
    }

    /// Receives the answers of one server. Those that fill the batch are sent at once.
    async fn receive_answers(&self, id: usize, answers: &mut Answers) {
        for _ in 0..BATCHES_PER_TURN {
            if !answers.batch.has_room() {
                self.send_answers(answers).await;
            }
            self.receive_from_server(id, answers);
            if answers.batch.has_room() {
                break;
            }
        }
    }

    fn receive_from_server(&self, id: usize, answers: &mut Answers) {
        let now_nanos = self.worker.clock.mono_nanos();
        let mut sessions = self.sessions.borrow_mut();
        let Some((client, session)) = sessions.table.client(id).copied().zip(sessions.table.get(id)) else { return };
        let outcome = answers.batch.receive(&session.server.socket);
        let first = answers.clients.len();
        let arrived = answers.batch.count();
        for number in first..arrived {
            sessions.note_answer(id, &answers.batch.message(number), now_nanos);
        }
        answers.clients.resize(arrived, client);
        if outcome.is_err_and(|error| udp::is_server_failure(&error)) {
            sessions.change_server(id, now_nanos);
        }
    }

    /// Sends the answers of a batch to their clients.
    async fn send_answers(&self, answers: &mut Answers) {
        let Answers { batch, clients } = answers;
        let mut first = 0;
        while let Some(number) = clients.get(first).map(|client| client.listener) {
            let end = first + clients[first..].iter().take_while(|client| client.listener == number).count();
            if let Some(listener) = self.listeners.get(number) {
                let to =
                    |at: usize| Message { to: Some(clients[at].address), from: clients[at].local, ..batch.message(at) };
                let messages: Vec<Message> = (first..end).map(to).collect();
                self.send_to_clients(listener, self.infos[number].entry, &messages).await;
            }
            first = end;
        }
        clients.clear();
        batch.clear();
    }

    async fn send_to_clients(&self, listener: &Listener, entry: usize, messages: &[Message<'_>]) {
        let metrics = self.worker.metrics();
        let (mut rest, mut has_waited) = (messages, false);
        while !rest.is_empty() {
            let outcome = udp_batch::send(&listener.socket.borrow(), rest);
            let (sent, error) = match outcome {
                Ok(()) => (rest.len(), None),
                Err(SendFailure { sent, error }) => (sent, Some(error)),
            };
            metrics.datagrams_out(entry, count(&rest[..sent]));
            rest = &rest[sent..];
            match error {
                None => {}
                Some(e) if e.kind() == io::ErrorKind::WouldBlock && !has_waited => {
                    has_waited = true;
                    let readiness = listener.socket.borrow().readiness();
                    self.wait_writable(Some(readiness)).await;
                }
                Some(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    metrics.datagrams_dropped(entry, DropReason::SendBuffer, count(rest));
                    return;
                }
                Some(_) => {
                    metrics.datagrams_dropped(entry, DropReason::ClientUnreachable, count(&rest[..1]));
                    rest = &rest[1..];
                }
            }
        }
    }

    /// Ends idle sessions, follows the configuration, and notices the end of the process; returns never.
    async fn keep_time(&self) {
        let mut active = ActiveSessions::default();
        for tick in 0_u64.. {
            monoio::time::sleep(Duration::from_millis(limits::DEADLINE_TICK_MILLIS)).await;
            let now_nanos = self.worker.clock.read();
            self.sessions.borrow_mut().follow_configuration();
            self.sessions.borrow_mut().end_idle(now_nanos);
            if tick % DROPS_TICKS == 0 {
                self.count_drops();
            }
            if !self.worker.is_accepting() {
                // The number of sessions is set before the process is told that this worker receives nothing more.
                let is_stopping = self.worker.shared.stopping.load(Relaxed);
                let left = self.sessions.borrow_mut().drain(is_stopping, now_nanos);
                active.set(left, &self.worker.shared.worker_status[self.worker.number].active);
                if self.is_receiving.get() {
                    self.stop();
                }
            }
        }
    }

    fn count_drops(&self) {
        for (listener, info) in self.listeners.iter().zip(self.infos.iter()) {
            let drops = listener.socket.borrow_mut().take_drops();
            if drops > 0 {
                self.worker.metrics().datagrams_dropped(info.entry, DropReason::ReceiveBuffer, drops.into());
            }
        }
    }
}

/// The datagrams of messages.
fn count(messages: &[Message<'_>]) -> u64 {
    messages.iter().map(|message| message.count() as u64).sum()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
