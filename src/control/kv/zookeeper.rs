//! ZooKeeper. A recursive watch says which nodes have changed; these are then read.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use zookeeper_client::{
    Acls, AddWatchMode, Client, CreateMode, CreateOptions, Error, EventType, PersistentWatcher, SessionState, Stat,
    WatchedEvent,
};

use super::store::{Answer, Changes, Condition, Entry, Event, Revision, Store, StoreError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that are on their way at the same time.
const REQUESTS_MAX: usize = 256;
/// Servers before 3.6 have no recursive watch: all nodes are read this often.
const POLL_PERIOD: Duration = Duration::from_secs(5);

const NODE: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());

/// A session with an ensemble.
#[derive(Clone)]
pub struct ZooKeeper {
    client: Client,
    cluster: String,
}

impl ZooKeeper {
    /// Connects to one of the servers in `cluster`, `host:port,host:port`.
    pub async fn connect(cluster: &str, username: &str, password: &str) -> Result<ZooKeeper, StoreError> {
        let mut connector = Client::connector().with_session_timeout(SESSION_TIMEOUT);
        if !username.is_empty() {
            connector = connector.with_auth("digest", format!("{username}:{password}").as_bytes());
        }
        let failed = |why: String| StoreError(format!("zookeeper {cluster}: cannot connect: {why}"));
        let connect = tokio::time::timeout(CONNECT_TIMEOUT, connector.with_fail_eagerly().connect(cluster)).await;
        let timed_out = |_| failed(format!("no answer in {} s", CONNECT_TIMEOUT.as_secs()));
        let client = connect.map_err(timed_out)?.map_err(|error| failed(error.to_string()))?;
        Ok(ZooKeeper { client, cluster: cluster.to_owned() })
    }

    fn failed(&self, doing: &str, error: &Error) -> StoreError {
        StoreError(format!("zookeeper {}: cannot {doing}: {error}", self.cluster))
    }

    /// All nodes below a path. A node that vanishes meanwhile is ignored.
    async fn entries(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let root = path_of(prefix);
        let (mut entries, mut waiting, mut running) = (Vec::new(), vec![root.clone()], FuturesUnordered::new());
        loop {
            while running.len() < REQUESTS_MAX {
                let Some(path) = waiting.pop() else { break };
                running.push(self.node(path));
            }
            let Some(node) = running.next().await else { return Ok(entries) };
            let Some((path, value, stat, children)) = node.map_err(|error| self.failed("list keys", &error))? else {
                continue;
            };
            let parent = if path == "/" { "" } else { path.as_str() };
            waiting.extend(children.into_iter().map(|child| format!("{parent}/{child}")));
            if path != root && (!value.is_empty() || stat.num_children == 0) {
                entries.push(entry(path, value, &stat));
            }
        }
    }

    /// A node's value and its children; `None` if there is no such node.
    async fn node(&self, path: String) -> Result<Option<(String, Vec<u8>, Stat, Vec<String>)>, Error> {
        let (value, stat) = match self.client.get_data(&path).await {
            Ok(found) => found,
            Err(Error::NoNode) => return Ok(None),
            Err(error) => return Err(error),
        };
        let children = match stat.num_children {
            0 => Vec::new(),
            _ => match self.client.list_children(&path).await {
                Ok(children) => children,
                Err(Error::NoNode) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        Ok(Some((path, value, stat, children)))
    }

    /// Writes a node that exists.
    async fn set(&self, path: &str, value: &[u8], version: Option<i32>) -> Result<bool, StoreError> {
        match self.client.set_data(path, value, version).await {
            Ok(_) => Ok(true),
            Err(Error::BadVersion | Error::NoNode) => Ok(false),
            Err(error) => Err(self.failed("write a key", &error)),
        }
    }

    /// Makes a node, and those that it is below; false if it exists.
    async fn create(&self, path: &str, value: &[u8]) -> Result<bool, StoreError> {
        if let Some((parent, _)) = path.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
            let made = self.client.mkdir(parent, &NODE).await;
            made.map_err(|error| self.failed("write a key", &error))?;
        }
        match self.client.create(path, value, &NODE).await {
            Ok(_) => Ok(true),
            Err(Error::NodeExists) => Ok(false),
            Err(error) => Err(self.failed("write a key", &error)),
        }
    }
}

impl Store for ZooKeeper {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move {
            let path = path_of(key);
            match self.client.get_data(&path).await {
                Ok((value, stat)) => Ok(Some(entry(path, value, &stat))),
                Err(Error::NoNode) => Ok(None),
                Err(error) => Err(self.failed("read a key", &error)),
            }
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Entry>> {
        Box::pin(self.entries(prefix))
    }

    fn follow<'a>(&'a self, prefix: &'a str) -> Answer<'a, (Vec<Entry>, Box<dyn Changes>)> {
        Box::pin(async move {
            let zookeeper = self.clone();
            // The watch comes before the listing, so that no change is between the two.
            let watched = self.client.watch(&path_of(prefix), AddWatchMode::PersistentRecursive).await;
            let changes: Box<dyn Changes> = match watched {
                Ok(watcher) => Box::new(ZooKeeperChanges { zookeeper, watcher, changed: BTreeSet::new() }),
                Err(Error::Unimplemented) => {
                    tracing::error!(
                        "zookeeper {}: the server cannot report changes, so all keys are read every {} s: use ZooKeeper 3.6 or later",
                        self.cluster,
                        POLL_PERIOD.as_secs()
                    );
                    Box::new(ZooKeeperPolling { zookeeper, prefix: prefix.to_owned() })
                }
                Err(error) => return Err(self.failed("follow changes", &error)),
            };
            Ok((self.entries(prefix).await?, changes))
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Vec<u8>, condition: Condition) -> Answer<'a, bool> {
        Box::pin(async move {
            let path = path_of(key);
            match condition {
                Condition::Absent => self.create(&path, &value).await,
                Condition::Unchanged(Revision::Number(version)) => match i32::try_from(version) {
                    Ok(version) => self.set(&path, &value, Some(version)).await,
                    Err(_) => Ok(false),
                },
                Condition::Unchanged(Revision::Value(_)) => Ok(false),
                Condition::Any => {
                    let written = self.set(&path, &value, None).await? || self.create(&path, &value).await?;
                    // Another process made the node between the two attempts.
                    Ok(written || self.set(&path, &value, None).await?)
                }
            }
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            match self.client.delete(&path_of(key), None).await {
                Ok(()) | Err(Error::NoNode) => Ok(()),
                Err(error) => Err(self.failed("remove a key", &error)),
            }
        })
    }
}

struct ZooKeeperChanges {
    zookeeper: ZooKeeper,
    watcher: PersistentWatcher,
    /// Nodes that were reported and are not read yet.
    changed: BTreeSet<String>,
}

impl ZooKeeperChanges {
    /// A lost connection may have lost events, even if it is there again.
    fn note(&mut self, event: WatchedEvent) -> Result<(), StoreError> {
        match event.event_type {
            EventType::Session if event.session_state == SessionState::SyncConnected => Ok(()),
            EventType::Session => {
                let cluster = &self.zookeeper.cluster;
                Err(StoreError(format!("zookeeper {cluster}: the connection is lost ({:?})", event.session_state)))
            }
            _ => {
                self.changed.insert(event.path);
                Ok(())
            }
        }
    }
}

impl Changes for ZooKeeperChanges {
    fn next(&mut self) -> Answer<'_, Event> {
        Box::pin(async move {
            while self.changed.is_empty() {
                let event = self.watcher.changed().await;
                self.note(event)?;
            }
            while let Some(event) = self.watcher.changed().now_or_never() {
                self.note(event)?;
            }
            let mut changes = Vec::with_capacity(self.changed.len());
            let zookeeper = &self.zookeeper;
            let mut reads = futures_util::stream::iter(self.changed.iter().cloned())
                .map(|path| async move { (path.clone(), zookeeper.node(path).await) })
                .buffer_unordered(REQUESTS_MAX);
            while let Some((path, node)) = reads.next().await {
                let value = match node.map_err(|error| zookeeper.failed("read a key", &error))? {
                    // A folder has no value of its own.
                    Some((_, value, stat, _)) if value.is_empty() && stat.num_children > 0 => None,
                    Some((_, value, _, _)) => Some(value),
                    None => None,
                };
                changes.push((key_of(&path), value));
            }
            drop(reads);
            self.changed.clear();
            Ok(Event::Changes(changes))
        })
    }
}

struct ZooKeeperPolling {
    zookeeper: ZooKeeper,
    prefix: String,
}

impl Changes for ZooKeeperPolling {
    fn next(&mut self) -> Answer<'_, Event> {
        Box::pin(async move {
            tokio::time::sleep(POLL_PERIOD).await;
            Ok(Event::Listing(self.zookeeper.entries(&self.prefix).await?))
        })
    }
}

fn entry(path: String, value: Vec<u8>, stat: &Stat) -> Entry {
    let revision = Revision::Number(u64::try_from(stat.version).unwrap_or(0));
    Entry { key: key_of(&path), value, revision }
}

/// Keys begin without a slash, because ZooKeeper does not tell the two spellings apart.
fn key_of(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}

/// The path of a node: with a slash at the beginning and none at the end.
fn path_of(key: &str) -> String {
    let parts: Vec<&str> = key.split('/').filter(|part| !part.is_empty()).collect();
    format!("/{}", parts.join("/"))
}
