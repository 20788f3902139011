//! The static configuration in a store: read before the proxy starts, and written by `storeconfig`. Both run before the control thread
//! exists, on a runtime of their own.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};

use super::settings::StoreSettings;
use super::store::{Condition, Store, StoreError};
use crate::config::kv::KeyTree;
use crate::control::backoff::Backoff;

/// Writes that are on their way at the same time.
const WRITES_MAX: usize = 32;

/// The keys that `storeconfig` writes.
pub struct StoredKeys {
    /// Keys below the prefix with their values.
    pub keys: BTreeMap<String, String>,
    /// Keys outside of the prefix, each with its value and whether an existing value is replaced.
    pub objects: Vec<(String, Vec<u8>, bool)>,
    /// Keys below the prefix that are removed.
    pub removed: Vec<String>,
}

/// Reads all keys of the prefix. A store that does not answer is tried until it does; `report` gets each new reason.
///
/// # Errors
/// The runtime cannot be started.
pub fn read_static(settings: &StoreSettings, report: &dyn Fn(&str)) -> Result<KeyTree, String> {
    settings.endpoints()?;
    block_on(async {
        let (mut backoff, mut last) = (Backoff::default(), String::new());
        loop {
            match read_once(settings).await {
                Ok(tree) => return tree,
                Err(StoreError(error)) => {
                    if error != last {
                        report(&format!(
                            "the configuration cannot be read from the store, which is tried again: {error}"
                        ));
                        last = error;
                    }
                    tokio::time::sleep(backoff.after_run(Duration::ZERO)).await;
                }
            }
        }
    })
}

async fn read_once(settings: &StoreSettings) -> Result<KeyTree, StoreError> {
    let store = settings.connect().await?;
    let mut tree = KeyTree::default();
    for entry in store.list(&settings.prefix).await? {
        tree.apply(&settings.prefix, &entry.key, Some(entry.value));
    }
    Ok(tree)
}

/// Writes keys, and returns lines that say what was written.
///
/// # Errors
/// The store cannot be reached, or refuses.
pub fn write_keys(settings: &StoreSettings, stored: StoredKeys) -> Result<Vec<String>, String> {
    let prefix = settings.prefix.trim_matches('/').to_owned();
    let full = move |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") };
    let written = block_on(async {
        let store = settings.connect().await?;
        let store_ref = &*store;
        let writes = stored.keys.iter().map(|(key, value)| {
            let key = full(key);
            async move {
                store_ref
                    .put(&key, value.clone().into_bytes(), Condition::Any)
                    .await
                    .map(|_| format!("{key} is written"))
            }
        });
        let mut lines: Vec<String> = futures_util::stream::iter(writes).buffered(WRITES_MAX).try_collect().await?;
        for (key, value, replaces) in stored.objects {
            lines.push(write_object(&*store, &key, value, replaces).await?);
        }
        for key in &stored.removed {
            store.delete(&full(key)).await?;
        }
        Ok(lines)
    })?;
    written.map_err(|StoreError(error)| error)
}

/// Writes an object that other processes may write, too: never over a change of theirs.
async fn write_object(store: &dyn Store, key: &str, value: Vec<u8>, replaces: bool) -> Result<String, StoreError> {
    let existing = store.get(key).await?;
    let condition = match existing {
        Some(_) if !replaces => return Ok(format!("{key} exists, and is kept: acme.overrideCertificates replaces it")),
        Some(entry) => Condition::Unchanged(entry.revision),
        None => Condition::Absent,
    };
    match store.put(key, value, condition).await? {
        true => Ok(format!("{key} is written")),
        false => {
            Err(StoreError(format!("{key} was written by another process at the same moment: run storeconfig again")))
        }
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start a runtime: {error}"))?;
    Ok(tokio::task::LocalSet::new().block_on(&runtime, work))
}
