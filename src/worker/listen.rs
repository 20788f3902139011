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
use super::resources::connection_balancer::{self, AcceptedConnection};
use super::upstream::connection::NetworkDial;
use super::worker::{Worker, WorkerShared};
use crate::limits;
use crate::net::driver::{Driver, DriverInfo, DriverPreference};
use crate::net::{RingProbe, Tcp, socket};

/// One worker as the wiring sees it.
pub struct WorkerHandle {
    pub driver: DriverInfo,
}

/// Starts worker `number` on its own thread, pinned to `core` if one is given. `listeners` pairs entry points with their sockets.
///
/// # Errors
/// No thread, or no driver of the wanted kind.
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
    let all = Arc::clone(&shared);
    // Also where this thread fails: no connection is passed to a worker that has gone.
    let _open = all.worker_status.get(number).map(|vitals| vitals.handoff_queue.open());
    driver.block_on(async move {
        let worker = Rc::new(Worker::new(number, shared, choice.clone(), NetworkDial));
        let _ = ready.send(Ok(choice));
        let timed = Rc::clone(&worker);
        monoio::spawn(async move { timed.run_timers().await });
        monoio::spawn(run_acceptors(Rc::clone(&worker), listeners));
        let taking = Rc::clone(&worker);
        monoio::spawn(async move { taking.handoff_queue().run(|accepted| adopt(&taking, accepted)).await });
        // Dropping a runtime frees buffers that the kernel still writes to: the thread sleeps until the process exits (docs/reference/drivers.md#buffers-and-cancelled-operations).
        let mut pulse = RingProbe::new();
        let mut beats = 0;
        loop {
            monoio::time::sleep(Duration::from_secs(limits::HEARTBEAT_SECS)).await;
            beat(&worker, &mut pulse).await;
            beats += 1;
            if beats % limits::TRIM_BEATS == 0 {
                worker.trim();
            }
        }
    });
}

/// Timers run without the ring, so a heartbeat is a byte that went through it. A shortage of descriptors when the pulse is made is no
/// failure of the ring: it is made again next time.
async fn beat(worker: &Worker<NetworkDial>, pulse: &mut io::Result<RingProbe>) {
    let is_alive = match pulse {
        Ok(pulse) => pulse.probe().await.is_ok(),
        Err(_) => {
            *pulse = RingProbe::new();
            true
        }
    };
    if is_alive && let Some(vitals) = worker.shared.worker_status.get(worker.number) {
        vitals.beats.fetch_add(1, Relaxed);
    }
}

/// Accepts from when [`Shared::accepting`] says so until it says no more. Accepts are cancelled, not dropped, and the sockets are closed,
/// not shut down: the connection that one of them has just taken is served, and another process may hold the same sockets.
async fn run_acceptors(worker: Rc<Worker<NetworkDial>>, listeners: Vec<(usize, Socket)>) {
    let look = Duration::from_millis(limits::ACCEPT_POLL_MILLIS);
    while !worker.is_accepting() {
        monoio::time::sleep(look).await;
    }
    let canceller = Canceller::new();
    for (entry, socket) in &listeners {
        while let Err(e) = start_accepting(&worker, *entry, socket, &canceller) {
            worker.on_resource_shortage(&e);
            monoio::time::sleep(look).await;
        }
    }
    while worker.is_accepting() {
        monoio::time::sleep(look).await;
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
    // On epoll one task takes all that wait, and only one could be woken.
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
            // What it has passed on is seen by whoever sees that it has ended.
            worker.shared.accepts.fetch_sub(1, Release);
        });
    }
    Ok(())
}

fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// One accepted connection: it stays, or goes to a worker that has clearly fewer.
fn on_accept(worker: &Rc<Worker<NetworkDial>>, entry: usize, stream: TcpStream, address: SocketAddr) {
    let Some(other) = connection_balancer::less_loaded(worker.number, &worker.shared.worker_status) else {
        return spawn_connection(worker, entry, stream, address);
    };
    let passed = other.try_push(AcceptedConnection { entry, stream: socket::detach(stream), address });
    if let Err(back) = passed {
        adopt(worker, back);
    }
}

/// A connection that another worker has accepted, or that no other one would take.
fn adopt(worker: &Rc<Worker<NetworkDial>>, accepted: AcceptedConnection) {
    match socket::attach(accepted.stream) {
        Ok(stream) => spawn_connection(worker, accepted.entry, stream, accepted.address),
        Err(e) => worker.on_resource_shortage(&e),
    }
}

/// A connection becomes one task.
fn spawn_connection(worker: &Rc<Worker<NetworkDial>>, entry: usize, stream: TcpStream, address: SocketAddr) {
    let place = match worker.shared.connection_limiter.try_acquire(address.ip()) {
        Ok(place) => place,
        Err(why) => return worker.refuse_connection(address, why),
    };
    worker.handoff_queue().begin();
    monoio::spawn(connection_task(Rc::clone(worker), place, entry, Tcp::new(stream), address));
}
