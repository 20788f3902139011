//! Connections are spread evenly over the workers, on both drivers: on arrival, and after many connections were closed and replaced. The
//! active requests of a worker count its connections: each connection sends one request, which never gets a response.

#[path = "support/shared.rs"]
mod parts;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use ringway::net::driver::DriverPreference;
use ringway::net::socket;
use ringway::worker::{WorkerShared, spawn};

const DRIVERS: [DriverPreference; 2] = [DriverPreference::IoUring, DriverPreference::Epoll];
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Workers that serve one address; like their threads they live as long as the process.
struct Proxy {
    name: String,
    shared: Arc<WorkerShared>,
    address: SocketAddr,
    /// A listener whose connections wait in its queue: the server accepts none and responds to none.
    _origin: socket2::Socket,
}

impl Proxy {
    fn start(wanted: DriverPreference, workers: usize) -> Proxy {
        let any = "127.0.0.1:0".parse().expect("an address");
        let origin = socket::listen(any, true).expect("an origin");
        let to = origin.local_addr().expect("bound").as_socket().expect("inet");
        let shared = Arc::new(parts::shared(parts::hosts(&format!("http://{to}"), 1, |_| {}), workers));
        let sockets = socket::listen_together(any, workers).expect("listeners");
        let address = sockets[0].local_addr().expect("bound").as_socket().expect("inet");
        for (number, socket) in sockets.into_iter().enumerate() {
            spawn(number, None, wanted, Arc::clone(&shared), vec![(0, socket)]).expect("a worker");
        }
        Proxy { name: format!("{wanted:?}, {workers} workers"), shared, address, _origin: origin }
    }

    fn open(&self, count: usize) -> Vec<TcpStream> {
        let connect = |_| {
            let mut client = TcpStream::connect(self.address).expect("connected");
            client.write_all(b"GET / HTTP/1.1\r\nHost: h0.bench.test\r\n\r\n").expect("sent");
            client
        };
        (0..count).map(connect).collect()
    }

    /// The number of connections of each worker, once all `count` are served.
    fn spread(&self, count: usize) -> Vec<usize> {
        let end = Instant::now() + TIME_LIMIT;
        loop {
            let spread: Vec<usize> =
                self.shared.worker_status.iter().map(|worker_status| worker_status.active.load(Relaxed)).collect();
            if spread.iter().sum::<usize>() == count {
                return spread;
            }
            assert!(Instant::now() < end, "{}: {spread:?} of {count}", self.name);
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[track_caller]
    fn assert_even(&self, when: &str, count: usize) {
        let spread = self.spread(count);
        println!("{}, {when}: {spread:?}", self.name);
        let mean = count as f64 / spread.len() as f64;
        let is_near = |n: &usize| (*n as f64 - mean).abs() <= mean / 10.0;
        assert!(spread.iter().all(is_near), "{}, {when}: {spread:?}, a tenth off {mean}", self.name);
    }
}

#[test]
fn sixty_four_connections_are_balanced_within_a_tenth() {
    for (wanted, workers) in DRIVERS.into_iter().flat_map(|wanted| [(wanted, 2), (wanted, 4)]) {
        let proxy = Proxy::start(wanted, workers);
        let clients = proxy.open(64);
        proxy.assert_even("64 opened", 64);
        drop(clients);
        proxy.spread(0);
    }
}

#[test]
fn replaced_connections_stay_balanced() {
    for (wanted, workers) in DRIVERS.into_iter().flat_map(|wanted| [(wanted, 2), (wanted, 4)]) {
        let proxy = Proxy::start(wanted, workers);
        let mut clients = proxy.open(200);
        proxy.assert_even("200 opened", 200);
        clients.clear();
        proxy.spread(0);
        clients = proxy.open(200);
        proxy.assert_even("200 opened again", 200);
        // Every third connection is closed, on whatever worker.
        let mut number = 0;
        clients.retain(|_| {
            number += 1;
            number % 3 != 0
        });
        proxy.spread(clients.len());
        clients.extend(proxy.open(200 - clients.len()));
        proxy.assert_even("a third replaced", 200);
    }
}
