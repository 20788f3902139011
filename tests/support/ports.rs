//! Ports for servers that a test starts.

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;

/// Below those that the system gives to connections: one of these is not taken by a neighbour's client before its server listens.
const FIRST: u16 = 10_240;
const COUNT: u16 = 20_000;

/// A TCP port that was free a moment ago on every address of this machine.
pub fn free_port() -> u16 {
    for _ in 0..1000 {
        // Seeded anew each time, and differently in every process.
        let random = RandomState::new().hash_one(0_u8);
        let port = FIRST + (random % u64::from(COUNT)) as u16;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
