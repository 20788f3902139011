//! The file provider (docs/reference/providers.md#file): routes from the main file, a dedicated file, or a folder of files.
//!
//! A file that cannot be read changes nothing: the last good routes stay. Changes are noticed through inotify on the file
//! and on its folder, and through a look at the files' status every few seconds for mounts where inotify stays silent.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::update::{ProviderUpdate, UpdateSender};
use crate::config::static_config;
use crate::config::text::{self, InvalidConfig, Merged};

mod settle;
mod stamps;
mod watches;

use settle::wait_until_settled;
use stamps::FileStamps;
use watches::FileWatcher;

/// The name of this provider in the API.
pub const PROVIDER: &str = "file";

/// How often the files' status is looked at, for mounts without inotify events.
pub const POLL_PERIOD: Duration = Duration::from_secs(5);

/// Editors write a file in several steps: events this close together are one change.
const SETTLE_PERIOD: Duration = Duration::from_millis(50);

/// A file that changed during each of so many reads is taken as it was read.
const TORN_READS_MAX: usize = 20;

/// Where the routes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoutesLocation {
    /// In the main configuration file, among the fixed options.
    Main(PathBuf),
    /// In a file of their own.
    File(PathBuf),
    /// In all `.toml` and `.tmpl` files of a folder and its subfolders, in the order of their paths.
    Directory(PathBuf),
}

/// What the provider needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSettings {
    pub place: RoutesLocation,
    /// Whether changes are followed.
    pub watch: bool,
    /// See [`POLL_PERIOD`].
    pub poll: Duration,
}

impl FileSettings {
    /// Settings from the `[file]` table. `None` when the routes stand in the main file and there is none.
    pub fn new(table: &static_config::File, main: Option<&Path>) -> Option<FileSettings> {
        let place = if !table.directory.is_empty() {
            RoutesLocation::Directory(PathBuf::from(&table.directory))
        } else if !table.filename.is_empty() {
            RoutesLocation::File(PathBuf::from(&table.filename))
        } else {
            RoutesLocation::Main(main?.to_owned())
        };
        Some(FileSettings { place, watch: table.watch, poll: POLL_PERIOD })
    }
}

/// Sends the routes, and again at each change, until the receiver is gone. Without `watch` it ends after the first good load.
pub async fn run(settings: FileSettings, send: UpdateSender) {
    let (report, mut events) = unbounded_channel();
    let mut watches = settings.watch.then(|| FileWatcher::new(&settings.place, report));
    let mut stamps = FileStamps::of(&settings.place);
    let mut loaded = false;
    let mut last_error = String::new();
    let mut torn = 0;
    loop {
        let read = load(&settings.place);
        let now = FileStamps::of(&settings.place);
        // Written to while it was being read: what was read may be the empty file in front of its new contents.
        if settings.watch && now != stamps && torn < TORN_READS_MAX {
            let (newer, is_over) = wait_until_settled(&settings.place, &watches, &stamps, now).await;
            (stamps, torn) = (newer, if is_over { torn + 1 } else { TORN_READS_MAX });
            continue;
        }
        match read {
            Ok(merged) => {
                loaded = true;
                last_error.clear();
                tracing::info!("file provider: routes loaded from {}", settings.place);
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
        // Taken before the load they describe: a write in between shows up as a difference.
        match changed(&settings, &mut watches, &mut events, &stamps, &send).await {
            Some((newer, is_over)) => (stamps, torn) = (newer, if is_over { 0 } else { TORN_READS_MAX }),
            None => return,
        }
    }
}

/// Waits until the files differ from `stamps`, as [`at_rest`] does; `None` when nobody listens any more.
async fn changed(
    settings: &FileSettings,
    watches: &mut Option<FileWatcher>,
    events: &mut UnboundedReceiver<()>,
    stamps: &FileStamps,
    send: &UpdateSender,
) -> Option<(FileStamps, bool)> {
    loop {
        tokio::select! {
            _ = send.closed() => return None,
            // Without watches the sending half is gone and this arm stays off.
            Some(()) = events.recv() => settle(events).await,
            _ = tokio::time::sleep(settings.poll) => {}
        }
        let now = FileStamps::of(&settings.place);
        if let Some(watches) = watches {
            watches.renew();
        }
        if now != *stamps {
            return Some(wait_until_settled(&settings.place, watches, stamps, now).await);
        }
    }
}

/// Lets a burst of events pass.
async fn settle(events: &mut UnboundedReceiver<()>) {
    tokio::time::sleep(SETTLE_PERIOD).await;
    while events.try_recv().is_ok() {}
}

/// A broken file is looked at again and again; its error is logged when it changes.
fn report_once(last_error: &mut String, error: String, loaded: bool) {
    if *last_error == error {
        return;
    }
    let outcome =
        if loaded { "the routes before it stay in force" } else { "there are no routes from files until it is good" };
    tracing::error!("file provider: {outcome}: {error}");
    *last_error = error;
}

/// Why the routes cannot be loaded; the text says where and what to do.
#[derive(Debug)]
pub enum LoadError {
    Unreadable { path: PathBuf, error: io::Error },
    Invalid(InvalidConfig),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Unreadable { path, error } => {
                write!(f, "{} cannot be read ({error}): correct the path or its permissions", path.display())
            }
            LoadError::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}

/// Reads everything there is now. One bad file fails the whole load, as in Traefik.
///
/// # Errors
/// A file that cannot be read or understood.
pub fn load(place: &RoutesLocation) -> Result<Merged, LoadError> {
    let mut documents = Vec::new();
    for path in place.files()? {
        let contents =
            std::fs::read_to_string(&path).map_err(|error| LoadError::Unreadable { path: path.clone(), error })?;
        let name = path.display().to_string();
        let read = match place {
            RoutesLocation::Main(_) => text::inline(&contents, &name),
            RoutesLocation::File(_) | RoutesLocation::Directory(_) => text::dedicated(&contents, &name),
        };
        let read = read.map_err(LoadError::Invalid)?;
        for warning in &read.warnings {
            tracing::warn!("file provider: {warning}");
        }
        documents.push((name, read.value));
    }
    let merged = text::merge(documents);
    for rejected in &merged.rejected {
        tracing::warn!("file provider: {} is skipped: {}", rejected.name, rejected.reason);
    }
    Ok(merged)
}

impl RoutesLocation {
    /// The path as it was configured.
    pub fn path(&self) -> &Path {
        match self {
            RoutesLocation::Main(path) | RoutesLocation::File(path) | RoutesLocation::Directory(path) => path,
        }
    }

    /// One name for a file, however the caller, or an event of the folder or the file, writes its path. `None`: not ours.
    fn key(&self, path: &Path) -> Option<PathBuf> {
        match self {
            RoutesLocation::Main(file) | RoutesLocation::File(file) => {
                (path.file_name() == file.file_name()).then(|| file.clone())
            }
            RoutesLocation::Directory(_) => is_routes(path).then(|| std::path::absolute(path).ok())?,
        }
    }

    /// The files to read, in their order.
    fn files(&self) -> Result<Vec<PathBuf>, LoadError> {
        match self {
            RoutesLocation::Main(path) | RoutesLocation::File(path) => Ok(vec![path.clone()]),
            RoutesLocation::Directory(path) => {
                let mut files = Vec::new();
                walk(path, DIRECTORY_DEPTH_MAX, &mut files)?;
                Ok(files)
            }
        }
    }
}

/// The names that a folder's files of routes have.
fn is_routes(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml" || extension == "tmpl")
}

/// Subfolders are followed this deep: a link to a parent would lead round in circles.
const DIRECTORY_DEPTH_MAX: usize = 16;

fn walk(folder: &Path, depth_left: usize, files: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    let unreadable = |error| LoadError::Unreadable { path: folder.to_owned(), error };
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    paths.sort();
    for path in paths {
        // Kubernetes keeps a mounted folder's generations in names that start with two dots; its plain names link there.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".."));
        if path.is_dir() {
            if depth_left > 0 && !hidden {
                walk(&path, depth_left - 1, files)?;
            }
        } else if is_routes(&path) {
            files.push(path);
        }
    }
    Ok(())
}

impl fmt::Display for RoutesLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().display().fmt(f)
    }
}

#[cfg(test)]
mod tests;
