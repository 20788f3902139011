//! How much of a long body is waited for at a time. A sender that is about as fast as this proxy wakes it for each piece, and the faster the
//! proxy is, the smaller they get: going to sleep and waking cost more than moving them. A sender that is slower is not waited for.

use std::io;
use std::time::Duration;

use super::tcp::TcpReader;
use super::{ReadHalf, TimeLimit};
use crate::limits;

/// The mark of one body.
pub(super) struct LowWater {
    /// What the socket has been told; none if nothing but its own mark of one byte.
    told: Option<usize>,
    is_slow: bool,
}

impl LowWater {
    /// Unless good pieces are wanted there is no mark at all.
    pub(super) fn new(is_wanted: bool) -> Self {
        LowWater { told: None, is_slow: !is_wanted }
    }

    /// Waits until a good piece of the `count` bytes that are left has come, or for some moments, and then for any.
    pub(super) async fn wait(&mut self, from: &mut TcpReader, count: u64, stall: TimeLimit<'_>) -> io::Result<()> {
        let wanted = count.min(limits::LOW_WATER_BYTES as u64) as usize;
        // A body that was short from the start comes in one or two pieces anyway.
        let is_worth_it = wanted == limits::LOW_WATER_BYTES || self.told.is_some();
        // A kernel that knows no such mark is worked with as it is.
        if is_worth_it && !self.is_slow && self.tell(from, wanted) {
            let patience = Duration::from_millis(limits::LOW_WATER_MILLIS);
            if let Ok(readable) = monoio::time::timeout(patience, from.readable()).await {
                return readable;
            }
            self.is_slow = true;
            self.reset(from);
        }
        stall.within_io(from.readable()).await
    }

    fn tell(&mut self, from: &TcpReader, wanted: usize) -> bool {
        if self.told != Some(wanted) && from.set_low_water(wanted).is_ok() {
            self.told = Some(wanted);
        }
        self.told == Some(wanted)
    }

    /// Any byte counts again.
    pub(super) fn reset(&mut self, from: &TcpReader) {
        if self.told.take().is_some() {
            // What it has set before it can set again.
            let _ = from.set_low_water(1);
        }
    }
}
