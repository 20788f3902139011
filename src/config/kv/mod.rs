//! The configuration in a key-value store, with Traefik v1's keys (docs/reference/key-value-stores.md#keys): a tree of keys, the objects
//! and options read from it, and the keys that a configuration is written as.
//!
//! Each backend and each frontend is read by itself. So a broken key rejects one object, and a changed key costs one object.

mod backend;
mod frontend;
mod keys;
mod node;
mod objects;
mod tls;
mod value;
mod write;
#[cfg(test)]
mod tests;

pub use keys::{KeyTree, ObjectName, relative_key};
pub use node::{KeyProblem, static_node};
pub use objects::Objects;
pub use value::{compress, decode_value};
pub use write::{dynamic_keys, static_keys};
