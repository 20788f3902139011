//! Key-value stores: etcd, ZooKeeper and Redis of Debian, and a scripted peer that answers as Consul's public API says.

mod consul;
mod provider;
mod secured;
mod static_source;
mod stores;
#[path = "../support/mod.rs"]
mod support;
