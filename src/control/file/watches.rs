//! inotify on a place: the folder tells about renames, the file itself about writes through a mount of that one file.

use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::UnboundedSender;

use super::Place;

pub(super) struct Watches {
    /// `None` when the kernel gives no inotify instance; polling then does it alone.
    watcher: Option<RecommendedWatcher>,
    folder: PathBuf,
    mode: RecursiveMode,
    /// The single file, if it is one.
    file: Option<PathBuf>,
    folder_watched: bool,
}

impl Watches {
    /// Starts watching; each change puts a `()` into `report`.
    pub fn new(place: &Place, report: UnboundedSender<()>) -> Watches {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let matters = event.as_ref().map_or(true, |event| matters(&event.kind));
            if matters {
                // Nobody listening means that the provider is about to end.
                let _ = report.send(());
            }
        });
        let watcher =
            watcher.inspect_err(|error| tracing::warn!("file provider: no inotify, polling only: {error}")).ok();
        let (folder, mode, file) = match place {
            Place::Directory(folder) => (folder.clone(), RecursiveMode::Recursive, None),
            Place::Main(file) | Place::File(file) => (folder_of(file), RecursiveMode::NonRecursive, Some(file.clone())),
        };
        let mut watches = Watches { watcher, folder, mode, file, folder_watched: false };
        watches.renew();
        watches
    }

    /// Takes up watches that ended: the folder may have appeared, the file's name may lead to another file by now.
    pub fn renew(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        if !self.folder.exists() {
            self.folder_watched = false;
        } else if !self.folder_watched {
            self.folder_watched = watcher.watch(&self.folder, self.mode).is_ok();
        }
        if let Some(file) = &self.file {
            // Fails when the file is gone, or its watch went with it: then the folder's watch and the polling remain.
            let _ = watcher.unwatch(file);
            let _ = watcher.watch(file, RecursiveMode::NonRecursive);
        }
    }
}

/// Reading the files is an event too, and would set us off for ever.
fn matters(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

/// A bare file name stands in the current folder.
fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
