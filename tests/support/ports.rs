//! Ports for servers that a test starts.

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;

/// First port of a range below the kernel's ephemeral ports: no client connection can take a port of it before its server listens.
const FIRST: u16 = 10_240;
const COUNT: u16 = 20_000;

/// A TCP port that was free a moment ago on every address of this machine.
pub fn free_port() -> u16 {
    for _ in 0..1000 {
        // A new seed for each call and process.
        let random = RandomState::new().hash_one(0_u8);
        let port = FIRST + (random % u64::from(COUNT)) as u16;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
