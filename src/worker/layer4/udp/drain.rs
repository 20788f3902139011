//! The end of a worker's sessions when the process stops, or has handed its sockets over.

use std::sync::atomic::Ordering::Relaxed;

use super::sessions::Sessions;
use crate::limits;
use crate::observe::layer4::EndReason;
use crate::worker::resources::dial::Dial;

const LAST_ANSWERS_NANOS: u64 = limits::UDP_LAST_ANSWERS_SECS * 1_000_000_000;

impl<D: Dial> Sessions<D> {
    /// Called again and again once no datagrams of clients are received any more. On shutdown, sessions end as soon as the server has
    /// answered, or five seconds after the client's last datagram. After a hand-over they go on until they are idle: the new process does
    /// not know them. Returns the number of sessions that are left.
    pub fn drain(&mut self, is_stopping: bool, now_nanos: u64) -> usize {
        if is_stopping {
            let before = now_nanos.saturating_sub(LAST_ANSWERS_NANOS);
            let is_over = |id: &usize| {
                self.table.get(*id).is_none_or(|session| !session.awaits_answer || session.asked_nanos < before)
            };
            for id in self.table.ids().filter(is_over).collect::<Vec<_>>() {
                self.end(id, EndReason::Shutdown, now_nanos);
            }
        }
        self.table.len()
    }
}

/// A worker's part in the number of active requests, for which the end of the process waits.
#[derive(Default)]
pub struct ActiveSessions(usize);

impl ActiveSessions {
    pub fn set(&mut self, count: usize, active: &std::sync::atomic::AtomicUsize) {
        let before = std::mem::replace(&mut self.0, count);
        // One addition that may wrap: the sum of all parts is never below zero.
        active.fetch_add(count.wrapping_sub(before), Relaxed);
    }
}
