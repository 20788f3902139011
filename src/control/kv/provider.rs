//! The provider of one store: follows the keys of its prefix, and reads the objects again whose keys have changed.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::settings::StoreSettings;
use super::store::{Changes, Entry, Event, Store, StoreError};
use crate::config::kv::{KeyTree, ObjectName, Objects, decode_value};
use crate::control::backoff::Backoff;
use crate::control::update::{ProviderUpdate, UpdateSender};
use crate::limits::{STORE_KEYS_MAX, STORE_LISTING_BYTES_MAX};

/// Changes that follow each other within this time are applied together.
const BURST_GAP: Duration = Duration::from_millis(20);
const BURST_MAX: Duration = Duration::from_millis(200);

/// Sends the configuration of the store at the start and after each change, until the receiver is dropped. A store that is lost costs
/// nothing of the last configuration; all its keys are read when it answers again. Without `watch` the function returns after the first
/// configuration.
pub async fn run(settings: StoreSettings, send: UpdateSender) {
    let mut followed = Followed::new(&settings);
    let mut backoff = Backoff::default();
    let mut last_error = String::new();
    loop {
        let started = Instant::now();
        let ended = tokio::select! {
            () = send.closed() => return,
            ended = follow(&settings, &mut followed, &send, &mut last_error) => ended,
        };
        let Err(StoreError(error)) = ended else { return };
        send.report_unavailable(settings.provider, &error);
        // A store that is away is reported once, not at every attempt.
        if last_error != error {
            let kept = if followed.is_loaded { "the last configuration is kept" } else { "no routes from there yet" };
            tracing::error!(provider = settings.provider, "{error}; {kept}, and the store is tried again");
            last_error = error;
        }
        tokio::time::sleep(backoff.after_run(started.elapsed())).await;
    }
}

/// Follows the store until the connection is lost. Returns without an error if there is nothing (more) to follow.
async fn follow(
    settings: &StoreSettings,
    followed: &mut Followed,
    send: &UpdateSender,
    last_error: &mut String,
) -> Result<(), StoreError> {
    let store = settings.connect().await?;
    let (entries, mut changes) = if settings.watch {
        let (entries, changes) = store.follow(&settings.prefix).await?;
        (entries, Some(changes))
    } else {
        (store.list(&settings.prefix).await?, None)
    };
    if !std::mem::take(last_error).is_empty() {
        tracing::warn!(provider = settings.provider, "the store answers again: all its keys are read");
    }
    let mut is_changed = followed.replace(&*store, entries).await?;
    loop {
        if is_changed {
            let (dynamic, rejected) = followed.objects.document();
            if send.send(ProviderUpdate { provider: settings.provider, dynamic, rejected }).is_err() {
                return Ok(());
            }
        }
        let Some(changes) = &mut changes else { return Ok(()) };
        is_changed = false;
        for event in burst(&mut **changes).await? {
            is_changed |= followed.apply(&*store, event).await?;
        }
    }
}

/// The next event, and those that follow it at once.
async fn burst(changes: &mut dyn Changes) -> Result<Vec<Event>, StoreError> {
    let mut events = vec![changes.next().await?];
    let end = Instant::now() + BURST_MAX;
    while let Ok(event) = timeout_at(end.min(Instant::now() + BURST_GAP), changes.next()).await {
        events.push(event?);
    }
    Ok(events)
}

/// The keys of the prefix, and the objects read from them or from the prefix that `alias` names.
struct Followed {
    prefix: String,
    keys: KeyTree,
    /// The alias and its keys, while the key `alias` has a value.
    aliased: Option<(String, KeyTree)>,
    objects: Objects,
    is_loaded: bool,
}

impl Followed {
    fn new(settings: &StoreSettings) -> Followed {
        Followed {
            prefix: settings.prefix.clone(),
            keys: KeyTree::default(),
            aliased: None,
            objects: Objects::new(settings.provider, settings.constraints.clone()),
            is_loaded: false,
        }
    }

    /// Takes a new listing of all keys. Tells whether an object has changed.
    async fn replace(&mut self, store: &dyn Store, entries: Vec<Entry>) -> Result<bool, StoreError> {
        let before = std::mem::replace(&mut self.keys, tree(&self.prefix, entries)?);
        let changed = self.keys.changed_objects(&before);
        let is_first = !std::mem::replace(&mut self.is_loaded, true);
        // The first configuration is sent even if it is empty.
        Ok(self.read_changed(store, changed).await? || is_first)
    }

    async fn apply(&mut self, store: &dyn Store, event: Event) -> Result<bool, StoreError> {
        let changes = match event {
            Event::Listing(entries) => return self.replace(store, entries).await,
            Event::Changes(changes) => changes,
        };
        let mut changed = BTreeSet::new();
        for (key, value) in changes {
            changed.extend(self.keys.apply(&self.prefix, &key, value));
        }
        self.read_changed(store, changed).await
    }

    /// Reads the changed objects again.
    async fn read_changed(&mut self, store: &dyn Store, changed: BTreeSet<ObjectName>) -> Result<bool, StoreError> {
        let alias = self.keys.get("alias").and_then(|value| decode_value(value).ok());
        let alias = alias.map(|alias| alias.trim().trim_matches('/').to_owned()).filter(|alias| !alias.is_empty());
        let changed = match (alias, self.aliased.take()) {
            (None, None) => changed,
            // The prefix of the alias is not followed, as in Traefik: every change below the main prefix reads it again.
            (Some(alias), was) => {
                let now = tree(&alias, store.list(&alias).await?)?;
                let changed = match &was {
                    Some((_, was)) => now.changed_objects(was),
                    None => self.keys.objects().into_iter().chain(now.objects()).collect(),
                };
                self.aliased = Some((alias, now));
                changed
            }
            (None, Some((_, was))) => self.keys.objects().into_iter().chain(was.objects()).collect(),
        };
        let keys = self.aliased.as_ref().map_or(&self.keys, |(_, keys)| keys);
        self.objects.update(keys, &changed);
        Ok(!changed.is_empty())
    }
}

/// Sorts a listing into a tree.
///
/// # Errors
/// The listing exceeds a bound.
fn tree(prefix: &str, entries: Vec<Entry>) -> Result<KeyTree, StoreError> {
    let bytes: usize = entries.iter().map(|entry| entry.key.len() + entry.value.len()).sum();
    if entries.len() > STORE_KEYS_MAX || bytes > STORE_LISTING_BYTES_MAX {
        let count = entries.len();
        return Err(StoreError(format!(
            "{prefix} holds {count} keys of {bytes} bytes, where {STORE_KEYS_MAX} keys and {STORE_LISTING_BYTES_MAX} bytes are allowed"
        )));
    }
    let mut tree = KeyTree::default();
    for Entry { key, value, .. } in entries {
        tree.apply(prefix, &key, Some(value));
    }
    Ok(tree)
}
