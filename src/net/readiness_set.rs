//! Many sockets that one task waits for: an epoll instance, which the ring or the worker's own epoll watches as a single descriptor. A
//! session of datagrams then needs neither a task nor an operation in flight, and one wake-up serves all sockets that are ready.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use monoio::net::udp::UdpSocket;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// Sockets that are reported while something can be received from them, each with a number of the caller's choice.
pub struct ReadinessSet {
    /// monoio has no type for descriptors in general. Only `readable` is called, which is the same for each kind.
    watched: UdpSocket,
    epoll: OwnedFd,
}

/// The memory of the answers of [`ReadinessSet::poll`].
pub struct ReadySockets {
    events: Vec<MaybeUninit<Event>>,
    numbers: Vec<usize>,
}

impl ReadinessSet {
    /// # Errors
    /// The operating system's, if no descriptors are left.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let watched = UdpSocket::from_std(epoll.try_clone()?.into())?;
        Ok(ReadinessSet { watched, epoll })
    }

    /// Adds a socket. Closing the last handle of a socket removes it.
    ///
    /// # Errors
    /// The operating system's, if it has no memory to watch the socket.
    pub fn add(&self, socket: BorrowedFd<'_>, number: usize) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(number as u64), EventFlags::IN)?)
    }

    /// Waits until a socket is ready.
    ///
    /// # Errors
    /// The driver's.
    pub async fn wait(&self) -> io::Result<()> {
        self.watched.readable(false).await
    }

    /// Returns the numbers of the sockets that are ready now, without waiting. A socket from which not all has been received is returned by
    /// the next call too; if more are ready than `ready` holds, they take turns.
    pub fn poll<'r>(&self, ready: &'r mut ReadySockets) -> &'r [usize] {
        let ReadySockets { events, numbers } = ready;
        numbers.clear();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if let Ok((filled, _)) = epoll::wait(&self.epoll, &mut events[..], Some(&now)) {
            numbers.extend(filled.iter().map(|event| {
                let data = event.data;
                data.u64() as usize
            }));
        }
        numbers
    }
}

impl ReadySockets {
    /// Room for `count` sockets.
    pub fn new(count: usize) -> Self {
        let events = (0..count).map(|_| MaybeUninit::uninit()).collect();
        ReadySockets { events, numbers: Vec::with_capacity(count) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;
    use crate::net::driver::{Driver, DriverPreference};

    fn pair() -> (std::net::UdpSocket, std::net::UdpSocket) {
        let [a, b] = [(), ()].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket"));
        a.connect(b.local_addr().expect("bound")).expect("connected");
        (a, b)
    }

    #[test]
    fn sockets_are_reported_while_they_are_ready_on_both_drivers() {
        for preference in [DriverPreference::Auto, DriverPreference::Epoll] {
            let mut driver = Driver::build(preference).expect("a driver");
            driver.block_on(async {
                let set = ReadinessSet::new().expect("a set");
                let mut ready = ReadySockets::new(8);
                let (one, two) = (pair(), pair());
                set.add(one.1.as_fd(), 1).expect("added");
                set.add(two.1.as_fd(), 2).expect("added");
                let early = monoio::time::timeout(Duration::from_millis(20), set.wait()).await;
                assert!(early.is_err() && set.poll(&mut ready).is_empty(), "nothing has been sent yet");
                for round in 0..3 {
                    two.0.send(b"x").expect("sent");
                    set.wait().await.expect("ready");
                    assert_eq!(set.poll(&mut ready), [2], "round {round}");
                    two.1.recv(&mut [0; 4]).expect("received");
                    assert!(set.poll(&mut ready).is_empty());
                }
                one.0.send(b"x").expect("sent");
                set.wait().await.expect("ready");
                drop(one.1);
                assert!(set.poll(&mut ready).is_empty(), "a closed socket is not reported");
            });
        }
    }
}
