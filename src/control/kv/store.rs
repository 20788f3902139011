//! A key-value store, as the provider, `storeconfig` and shared certificates need one: read a key, list a prefix, follow its changes, and
//! write a key if no other process has written it.
//!
//! Keys are texts with slashes. Whether a key begins with a slash makes no difference in ZooKeeper and Consul; in etcd and Redis both
//! spellings of a prefix are read (docs/reference/key-value-stores.md#prefix).

use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: Vec<u8>,
    /// The revision of the key's last change, for [`Condition::Revision`].
    pub revision: Revision,
}

/// The last change of a key: a number in etcd, ZooKeeper and Consul, the value itself in Redis, which counts no changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    Number(u64),
    Value(Vec<u8>),
}

/// The condition on a key at the moment in which it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Any,
    Absent,
    Unchanged(Revision),
}

/// A change of the keys of a followed prefix.
#[derive(Debug)]
pub enum Event {
    /// Keys were written, or removed (no value).
    Changes(Vec<(String, Option<Vec<u8>>)>),
    /// All keys: the store does not say which have changed.
    Listing(Vec<Entry>),
}

/// The answer of a store.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + 'a>>;

/// A connected store. A connection that fails is not repaired: the owner makes a new one.
pub trait Store {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>>;

    /// Lists all keys below a prefix.
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Entry>>;

    /// Lists all keys below a prefix, and follows the changes after that listing.
    fn follow<'a>(&'a self, prefix: &'a str) -> Answer<'a, (Vec<Entry>, Box<dyn Changes>)>;

    /// Writes a key if the condition holds; tells whether it was written.
    fn put<'a>(&'a self, key: &'a str, value: Vec<u8>, condition: Condition) -> Answer<'a, bool>;

    /// Removes a key, if it exists.
    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()>;
}

/// The changes below a prefix.
pub trait Changes {
    /// The next changes. Dropping the future before it is ready loses no change.
    fn next(&mut self) -> Answer<'_, Event>;
}

/// A store that cannot be reached, or refuses; the text says where and why, and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(pub String);

impl StoreError {
    pub fn new(what: impl fmt::Display, error: impl fmt::Display) -> StoreError {
        StoreError(format!("{what}: {error}"))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

/// The spellings of a prefix in a store with flat names, each with a slash at its end. Without a prefix one empty text names all keys.
pub fn spellings(prefix: &str) -> Vec<String> {
    match prefix.trim_matches('/') {
        "" => vec![String::new()],
        prefix => vec![format!("{prefix}/"), format!("/{prefix}/")],
    }
}
