//! Key-value stores (docs/reference/key-value-stores.md): the provider of each store, the static configuration in a store, and what
//! `storeconfig` writes.

mod consul;
mod dial;
mod etcd;
mod etcd_messages;
mod provider;
mod redis;
mod settings;
mod static_source;
mod store;
mod zookeeper;

pub use provider::run;
pub use settings::StoreSettings;
pub use static_source::{StoredKeys, read_static, write_keys};
