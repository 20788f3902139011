//! The low-water mark of a long body (SO_RCVLOWAT): how many bytes the socket collects before the thread is woken. A sender about as fast
//! as this proxy would wake it for each piece, and the faster the proxy, the smaller the pieces: sleeping and waking would cost more than
//! moving them. For a sender that is slower the mark is given up.

use std::io;
use std::time::Duration;

use super::tcp::TcpReader;
use super::{ReadHalf, TimeLimit};
use crate::limits;

/// The low-water mark of one body.
pub(super) struct LowWater {
    /// The mark set on the socket; `None` if it has the kernel's default of one byte.
    mark: Option<usize>,
    is_slow: bool,
}

impl LowWater {
    /// Never sets a mark unless `is_enabled`.
    pub(super) fn new(is_enabled: bool) -> Self {
        LowWater { mark: None, is_slow: !is_enabled }
    }

    /// Waits until `LOW_WATER_BYTES` of the `count` remaining bytes, or all of them, have arrived; after `LOW_WATER_MILLIS`, and from then
    /// on, until any byte has arrived.
    pub(super) async fn wait(&mut self, from: &mut TcpReader, count: u64, stall: TimeLimit<'_>) -> io::Result<()> {
        let wanted = count.min(limits::LOW_WATER_BYTES as u64) as usize;
        // A body that was short from the start arrives in one or two pieces anyway.
        let is_worth_it = wanted == limits::LOW_WATER_BYTES || self.mark.is_some();
        // If the kernel rejects the mark, the wait is for any byte.
        if is_worth_it && !self.is_slow && self.set(from, wanted) {
            let timeout = Duration::from_millis(limits::LOW_WATER_MILLIS);
            if let Ok(readable) = monoio::time::timeout(timeout, from.readable()).await {
                return readable;
            }
            self.is_slow = true;
            self.reset(from);
        }
        stall.within_io(from.readable()).await
    }

    /// Waits for the next bytes of a stream without a length, for `LOW_WATER_MILLIS` at most: for `LOW_WATER_BYTES` of them if the stream
    /// `is_long`, else for any. False if they have not arrived in time; then there is no mark.
    pub(super) async fn gather(&mut self, from: &mut TcpReader, is_long: bool) -> io::Result<bool> {
        if is_long {
            self.set(from, limits::LOW_WATER_BYTES);
        }
        let timeout = Duration::from_millis(limits::LOW_WATER_MILLIS);
        match monoio::time::timeout(timeout, from.readable()).await {
            Ok(readable) => readable.map(|()| true),
            Err(_) => {
                self.reset(from);
                Ok(false)
            }
        }
    }

    fn set(&mut self, from: &TcpReader, wanted: usize) -> bool {
        if self.mark != Some(wanted) && from.set_low_water(wanted).is_ok() {
            self.mark = Some(wanted);
        }
        self.mark == Some(wanted)
    }

    /// Sets the socket back to one byte.
    pub(super) fn reset(&mut self, from: &TcpReader) {
        if self.mark.take().is_some() {
            // Cannot fail: the same socket took a mark before.
            let _ = from.set_low_water(1);
        }
    }
}
