//! The file provider (docs/reference/providers.md#file): routes from the main file, a dedicated file, or a folder of files.
//!
//! If a file cannot be read, the last good routes stay. Changes are noticed through inotify on the file and on its folder. The files'
//! status is also polled every [`POLL_PERIOD`], for mounts that deliver no inotify events.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::update::{ProviderUpdate, UpdateSender};
use crate::config::static_config;
use crate::config::text::{self, FileDocument, Merged};

mod cache;
mod location;
mod read;
mod settle;
mod stamps;
mod watches;

use cache::FileCache;
pub use location::{LoadError, RoutesLocation};
use read::read_file;
use settle::{SETTLE_PERIOD, wait_until_settled};
use stamps::FileStamps;
use watches::FileWatcher;

/// The name of this provider in the API.
pub const PROVIDER: &str = "file";

/// How often the files' status is polled, for mounts that deliver no inotify events.
pub const POLL_PERIOD: Duration = Duration::from_secs(5);

/// After this many successive reads during which the files changed, the next read is used even if the files change during it.
const TORN_READS_MAX: usize = 20;

/// The settings of the file provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSettings {
    pub location: RoutesLocation,
    /// Whether changes are followed.
    pub watch: bool,
    /// How often the files' status is polled; see [`POLL_PERIOD`].
    pub poll: Duration,
}

impl FileSettings {
    /// Reads the settings from the `[file]` table. `None` if the routes would be in the main file and there is none.
    pub fn new(table: &static_config::File, main: Option<&Path>) -> Option<FileSettings> {
        let location = if !table.directory.is_empty() {
            RoutesLocation::Directory(PathBuf::from(&table.directory))
        } else if !table.filename.is_empty() {
            RoutesLocation::File(PathBuf::from(&table.filename))
        } else {
            RoutesLocation::Main(main?.to_owned())
        };
        Some(FileSettings { location, watch: table.watch, poll: POLL_PERIOD })
    }
}

/// Sends the routes at the start and after each change, until the receiver is dropped. Without `watch` the function returns after the
/// first successful load.
pub async fn run(settings: FileSettings, send: UpdateSender) {
    let (report, mut events) = unbounded_channel();
    let mut watcher = settings.watch.then(|| FileWatcher::new(&settings.location, report));
    let mut stamps = FileStamps::of(&settings.location);
    let mut cache = FileCache::default();
    let mut loaded = false;
    let mut last_error = String::new();
    let mut torn = 0;
    loop {
        let read = cache.update(&settings.location, &stamps);
        // A file was written while it was being read, so the content read may be that of a file emptied for its new content.
        if settings.watch && cache.is_torn() && torn < TORN_READS_MAX {
            let now = FileStamps::of(&settings.location);
            let (newer, is_settled) = wait_until_settled(&settings.location, &watcher, &stamps, now).await;
            (stamps, torn) = (newer, if is_settled { torn + 1 } else { TORN_READS_MAX });
            continue;
        }
        match read {
            Ok(()) => {
                let merged = log_and_merge(&mut cache, &stamps);
                loaded = true;
                last_error.clear();
                tracing::info!("file provider: routes loaded from {}", settings.location);
                if send
                    .send(ProviderUpdate { provider: PROVIDER, dynamic: merged.dynamic, rejected: merged.rejected })
                    .is_err()
                {
                    return;
                }
            }
            Err(error) => {
                let error = error.to_string();
                send.report_unavailable(PROVIDER, &error);
                report_once(&mut last_error, error, loaded);
            }
        }
        if !settings.watch && loaded {
            return;
        }
        // The stamps were taken before the load that they describe, so that a write in between appears as a difference.
        match changed(&settings, &mut watcher, &mut events, &stamps, &send).await {
            Some((newer, is_settled)) => (stamps, torn) = (newer, if is_settled { 0 } else { TORN_READS_MAX }),
            None => return,
        }
    }
}

/// Waits until the files differ from `stamps` and the change is over. Gives the result of [`wait_until_settled`], or `None` if the receiver
/// of the updates has been dropped.
async fn changed(
    settings: &FileSettings,
    watcher: &mut Option<FileWatcher>,
    events: &mut UnboundedReceiver<()>,
    stamps: &FileStamps,
    send: &UpdateSender,
) -> Option<(FileStamps, bool)> {
    loop {
        tokio::select! {
            _ = send.closed() => return None,
            // Without a watcher the sender of the events has been dropped, which disables this branch.
            Some(()) = events.recv() => drain_burst(events).await,
            _ = tokio::time::sleep(settings.poll) => {}
        }
        let now = FileStamps::of(&settings.location);
        if let Some(watcher) = watcher {
            watcher.renew();
        }
        if now != *stamps {
            return Some(wait_until_settled(&settings.location, watcher, stamps, now).await);
        }
    }
}

/// Waits for [`SETTLE_PERIOD`] and discards the events that have arrived by then.
async fn drain_burst(events: &mut UnboundedReceiver<()>) {
    tokio::time::sleep(SETTLE_PERIOD).await;
    while events.try_recv().is_ok() {}
}

/// Logs the error of a load unless it is the one logged last, because a broken file is read again at every change.
fn report_once(last_error: &mut String, error: String, loaded: bool) {
    if *last_error == error {
        return;
    }
    let outcome =
        if loaded { "keeping the previous routes" } else { "no routes are loaded from files until this is fixed" };
    tracing::error!("file provider: {outcome}: {error}");
    *last_error = error;
}

/// The files of a location as read, with the warnings about unknown keys.
#[derive(Debug, Default)]
pub struct RouteFiles {
    /// Name and text, in the order in which the files are merged.
    pub texts: Vec<(String, String)>,
    documents: Vec<FileDocument>,
    pub warnings: Vec<text::Warning>,
}

impl RouteFiles {
    /// Reads all files of the location. One bad file fails the whole load, as in Traefik.
    ///
    /// # Errors
    /// A file or folder cannot be read, or a file is not valid.
    pub fn read(location: &RoutesLocation) -> Result<RouteFiles, LoadError> {
        let mut files = RouteFiles::default();
        for path in location.files()? {
            let name = path.display().to_string();
            let (contents, read) = read_file(location, &path)?;
            files.warnings.extend(read.warnings);
            files.documents.push(read.value.into());
            files.texts.push((name, contents));
        }
        Ok(files)
    }

    /// Merges the files into one document.
    pub fn merge(self) -> Merged {
        text::merge(self.texts.iter().map(|(name, _)| name.as_str()).zip(&self.documents))
    }
}

/// Merges the files as they were read last, and logs what is wrong with them.
fn log_and_merge(cache: &mut FileCache, stamps: &FileStamps) -> Merged {
    for warning in cache.take_warnings(stamps) {
        tracing::warn!("file provider: {warning}");
    }
    let merged = cache.merge(stamps);
    for rejected in &merged.rejected {
        tracing::warn!("file provider: {} rejected: {}", rejected.name, rejected.reason);
    }
    merged
}

/// Reads and merges all files of the location.
///
/// # Errors
/// A file or folder cannot be read, or a file is not valid.
pub fn load(location: &RoutesLocation) -> Result<Merged, LoadError> {
    RouteFiles::read(location).map(RouteFiles::merge)
}

#[cfg(test)]
mod tests;
