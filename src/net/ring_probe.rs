//! A byte sent through the driver and received again: proof that this thread's ring still moves data
//! (docs/reference/drivers.md#park-errors).

use std::io;

use monoio::io::{AsyncReadRentExt, AsyncWriteRentExt};
use monoio::net::UnixStream;

/// A pair of connected sockets, both used by this thread.
pub struct RingProbe {
    sender: UnixStream,
    receiver: UnixStream,
}

impl RingProbe {
    /// # Errors
    /// The operating system's, if no descriptors are left.
    pub fn new() -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        Ok(RingProbe { sender, receiver })
    }

    /// Sends one byte and receives it.
    ///
    /// # Errors
    /// The driver's. If the ring has failed, this may also never return: then no heartbeat follows, and the watchdog notices that.
    pub async fn probe(&mut self) -> io::Result<()> {
        self.sender.write_all(vec![1]).await.0?;
        self.receiver.read_exact(vec![0]).await.0?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::driver::{Driver, DriverPreference};

    #[test]
    fn probe_succeeds_on_both_drivers() {
        for preference in [DriverPreference::Auto, DriverPreference::Epoll] {
            let mut driver = Driver::build(preference).expect("a driver");
            driver.block_on(async {
                let mut probe = RingProbe::new().expect("a pair");
                for _ in 0..3 {
                    probe.probe().await.expect("the byte is received");
                }
            });
        }
    }
}
