//! A byte that goes through the driver and comes back: proof that this thread's ring still moves data (docs/reference/drivers.md#park-errors).

use std::io;

use monoio::io::{AsyncReadRentExt, AsyncWriteRentExt};
use monoio::net::UnixStream;

/// A connection of this thread to itself.
pub struct RingProbe {
    here: UnixStream,
    there: UnixStream,
}

impl RingProbe {
    /// # Errors
    /// The system's, when there are no descriptors left.
    pub fn new() -> io::Result<Self> {
        let (here, there) = UnixStream::pair()?;
        Ok(RingProbe { here, there })
    }

    /// Sends one byte and receives it.
    ///
    /// # Errors
    /// The driver's; it may also never return, which says the same.
    pub async fn probe(&mut self) -> io::Result<()> {
        self.here.write_all(vec![1]).await.0?;
        self.there.read_exact(vec![0]).await.0?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::driver::{Driver, DriverPreference};

    #[test]
    fn it_beats_on_both_drivers() {
        for wanted in [DriverPreference::Auto, DriverPreference::Epoll] {
            let mut driver = Driver::build(wanted).expect("a driver");
            driver.block_on(async {
                let mut pulse = RingProbe::new().expect("a pair");
                for _ in 0..3 {
                    pulse.probe().await.expect("a beat");
                }
            });
        }
    }
}
