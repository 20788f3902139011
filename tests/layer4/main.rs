//! Layer 4 against real peers, on both drivers: PostgreSQL, Redis, MariaDB, OpenSSH and dnsmasq of Debian, clients and servers with TLS, and
//! peers that reset, stop reading or send byte by byte.

#[path = "../support/mod.rs"]
mod support;

mod balancing;
mod bounds;
mod containers;
mod databases;
mod ends;
mod hellos;
mod one_port;
mod peers;
mod proxy;
mod servers;
mod udp;
mod udp_peers;
mod udp_process;
