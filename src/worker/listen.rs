//! A worker's thread: its ring, its listeners, and one task per connection.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use monoio::io::Canceller;
use monoio::net::TcpStream;
use socket2::Socket;

use super::handshake::connection_task;
use super::layer4::udp;
use super::resources::connection_balancer::{self, AcceptedConnection};
use super::upstream::network::NetworkDial;
use super::worker::{Worker, WorkerShared};
use crate::limits;
use crate::net::driver::{Driver, DriverInfo, DriverPreference};
use crate::net::{RingProbe, Tcp, socket};

/// A started worker, for the code that starts the process.
pub struct WorkerHandle {
    pub driver: DriverInfo,
}

/// Starts worker `number` on its own thread, pinned to `core` if one is given. `listeners` pairs entry points with their sockets.
///
/// # Errors
/// The system's, if the thread or a driver of the wanted kind cannot be created.
pub fn spawn(
    number: usize,
    core: Option<usize>,
    wanted: DriverPreference,
    shared: Arc<WorkerShared>,
    listeners: Vec<(usize, Socket)>,
) -> io::Result<WorkerHandle> {
    let (ready, started) = channel();
    std::thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(move || run(number, core, wanted, shared, listeners, &ready))?;
    let driver = started.recv().map_err(|_| io::Error::other(format!("worker {number} ended while it started")))??;
    Ok(WorkerHandle { driver })
}

fn run(
    number: usize,
    core: Option<usize>,
    wanted: DriverPreference,
    shared: Arc<WorkerShared>,
    listeners: Vec<(usize, Socket)>,
    ready: &Sender<io::Result<DriverInfo>>,
) {
    if let Some(core) = core {
        // A worker that cannot be pinned still works.
        let _ = monoio::utils::bind_to_cpu_set([core]);
    }
    let mut driver = match Driver::build(wanted) {
        Ok(driver) => driver,
        Err(e) => {
            let _ = ready.send(Err(e));
            return;
        }
    };
    let choice = driver.choice.clone();
    let status_owner = Arc::clone(&shared);
    // Closes the queue also if this thread panics: no connection is passed to a worker that has ended.
    let _open = status_owner.worker_status.get(number).map(|status| status.handoff_queue.open());
    driver.block_on(async move {
        let worker = Worker::new(number, shared, choice.clone(), NetworkDial);
        let _ = ready.send(Ok(choice));
        let timer_worker = Rc::clone(&worker);
        monoio::spawn(async move { timer_worker.run_timers().await });
        let (datagrams, listeners) = listeners.into_iter().partition(|(_, socket)| socket::is_datagram(socket));
        monoio::spawn(run_acceptors(Rc::clone(&worker), listeners));
        monoio::spawn(udp::run(Rc::clone(&worker), datagrams));
        let queue_worker = Rc::clone(&worker);
        monoio::spawn(async move { queue_worker.handoff_queue().run(|accepted| adopt(&queue_worker, accepted)).await });
        // Dropping a runtime frees buffers that the kernel still writes to: this loop runs until the process exits
        // (docs/reference/drivers.md#buffers-and-cancelled-operations).
        let mut probe = RingProbe::new();
        let mut beats = 0;
        loop {
            monoio::time::sleep(Duration::from_secs(limits::HEARTBEAT_SECS)).await;
            beat(&worker, &mut probe).await;
            beats += 1;
            if beats % limits::TRIM_BEATS == 0 {
                worker.trim();
            }
        }
    });
}

/// Counts a heartbeat if a byte went through the ring: timers run without the ring, so they prove nothing. A shortage of descriptors when
/// the probe is made is no failure of the ring: the probe is made again next time.
async fn beat(worker: &Worker<NetworkDial>, probe: &mut io::Result<RingProbe>) {
    let is_alive = match probe {
        Ok(probe) => probe.probe().await.is_ok(),
        Err(_) => {
            *probe = RingProbe::new();
            true
        }
    };
    if is_alive && let Some(status) = worker.shared.worker_status.get(worker.number) {
        status.beats.fetch_add(1, Relaxed);
    }
}

/// Accepts connections while [`WorkerShared::accepting`] is set. Accept operations are cancelled, not dropped, and the sockets are closed,
/// not shut down: a connection that an operation has just accepted is served, and another process may hold the same sockets.
async fn run_acceptors(worker: Rc<Worker<NetworkDial>>, listeners: Vec<(usize, Socket)>) {
    let poll_interval = Duration::from_millis(limits::ACCEPT_POLL_MILLIS);
    while !worker.is_accepting() {
        monoio::time::sleep(poll_interval).await;
    }
    let canceller = Canceller::new();
    for (entry, socket) in &listeners {
        while let Err(e) = start_accepting(&worker, *entry, socket, &canceller) {
            worker.on_resource_shortage(&e);
            monoio::time::sleep(poll_interval).await;
        }
    }
    while worker.is_accepting() {
        monoio::time::sleep(poll_interval).await;
    }
    canceller.cancel();
}

fn start_accepting(
    worker: &Rc<Worker<NetworkDial>>,
    entry: usize,
    socket: &Socket,
    canceller: &Canceller,
) -> io::Result<()> {
    let listener = Rc::new(socket::accept_from(socket)?);
    // On epoll one task accepts all waiting connections, and only one task per listener could be woken.
    let tasks = if monoio::utils::is_legacy() { 1 } else { limits::ACCEPTS_IN_FLIGHT };
    for _ in 0..tasks {
        let (worker, listener, cancelled) = (Rc::clone(worker), Rc::clone(&listener), canceller.handle());
        worker.shared.accepts.fetch_add(1, Relaxed);
        monoio::spawn(async move {
            loop {
                match listener.cancelable_accept(cancelled.clone()).await {
                    Ok((stream, address)) => on_accept(&worker, entry, stream, address),
                    Err(_) if !worker.is_accepting() => break,
                    Err(e) => {
                        if is_shortage(&e) {
                            worker.on_resource_shortage(&e);
                        }
                        monoio::time::sleep(Duration::from_millis(limits::ACCEPT_PAUSE_MILLIS)).await;
                    }
                }
            }
            drop(listener);
            // Release: a reader that sees this task gone also sees the connections that the task put into hand-off queues.
            worker.shared.accepts.fetch_sub(1, Release);
        });
    }
    Ok(())
}

fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// Serves an accepted connection here, or passes the connection to a worker that has clearly fewer.
fn on_accept(worker: &Rc<Worker<NetworkDial>>, entry: usize, stream: TcpStream, address: SocketAddr) {
    let Some(other) = connection_balancer::less_loaded(worker.number, &worker.shared.worker_status) else {
        return spawn_connection(worker, entry, stream, address);
    };
    let passed = other.try_push(AcceptedConnection { entry, stream: socket::detach(stream), address });
    if let Err(accepted) = passed {
        adopt(worker, accepted);
    }
}

/// Serves a connection that another worker has accepted, or that the other worker's queue did not take.
fn adopt(worker: &Rc<Worker<NetworkDial>>, accepted: AcceptedConnection) {
    match socket::attach(accepted.stream) {
        Ok(stream) => spawn_connection(worker, accepted.entry, stream, accepted.address),
        Err(e) => worker.on_resource_shortage(&e),
    }
}

/// Starts the connection's task, if the connection limiter has a permit.
fn spawn_connection(worker: &Rc<Worker<NetworkDial>>, entry: usize, stream: TcpStream, address: SocketAddr) {
    let permit = match worker.shared.connection_limiter.try_acquire(address.ip()) {
        Ok(permit) => permit,
        Err(error) => return worker.refuse_connection(address, error),
    };
    worker.handoff_queue().begin();
    monoio::spawn(connection_task(Rc::clone(worker), permit, entry, Tcp::new(stream), address));
}
