//! inotify on a place: the folder tells about renames, the file itself about writes through a mount of that one file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::UnboundedSender;

use super::RoutesLocation;

pub(super) struct FileWatcher {
    /// `None` when the kernel gives no inotify instance; polling then does it alone.
    watcher: Option<RecommendedWatcher>,
    folder: PathBuf,
    mode: RecursiveMode,
    /// The single file, if it is one.
    file: Option<PathBuf>,
    folder_watched: bool,
    written: Written,
}

/// What events told of the files so far, for so many of them at the most: of those forgotten nothing is known.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<BTreeMap<PathBuf, Writing>>>);

const WRITTEN_MAX: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// Written to at this time, and not closed since.
    Open(Instant),
    /// Closed, or put in its place as a whole, at this time. The kernel of this machine takes the time of a change from the
    /// same clock; a file server has its own.
    Closed(SystemTime),
}

impl Written {
    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Writing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, place: &RoutesLocation, event: &Event) {
        let mut files = self.files();
        // Events were lost, the closing of a file perhaps among them.
        if event.need_rescan() || files.len() >= WRITTEN_MAX {
            files.clear();
        }
        for path in event.paths.iter().filter_map(|path| place.key(path)) {
            match event.kind {
                // Emptying a file while opening it is an event of this kind too; it comes when the emptying is done.
                EventKind::Modify(ModifyKind::Data(_)) => drop(files.insert(path, Writing::Open(Instant::now()))),
                EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                    files.insert(path, Writing::Closed(SystemTime::now()));
                }
                // The time of its change moves on with its owner or its mode.
                EventKind::Modify(ModifyKind::Metadata(_)) => {
                    if let Some(Writing::Closed(when)) = files.get_mut(&path) {
                        *when = SystemTime::now();
                    }
                }
                // Another file has this name from now on, or none.
                EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                    files.remove(&path);
                }
                _ => {}
            }
        }
    }
}

impl FileWatcher {
    /// Starts watching; each change puts a `()` into `report`.
    pub fn new(place: &RoutesLocation, report: UnboundedSender<()>) -> FileWatcher {
        let written = Written::default();
        let (noted, whose) = (written.clone(), place.clone());
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if let Ok(event) = &event {
                noted.note(&whose, event);
            }
            if event.as_ref().map_or(true, |event| matters(&event.kind)) {
                // Nobody listening means that the provider is about to end.
                let _ = report.send(());
            }
        });
        let watcher =
            watcher.inspect_err(|error| tracing::warn!("file provider: no inotify, polling only: {error}")).ok();
        let (folder, mode, file) = match place {
            RoutesLocation::Directory(folder) => (folder.clone(), RecursiveMode::Recursive, None),
            RoutesLocation::Main(file) | RoutesLocation::File(file) => {
                (folder_of(file), RecursiveMode::NonRecursive, Some(file.clone()))
            }
        };
        let mut watches = FileWatcher { watcher, folder, mode, file, folder_watched: false, written };
        watches.renew();
        watches
    }

    /// What events told last of the file of this path. Nothing where they stay silent, or come under another path.
    pub fn writing(&self, place: &RoutesLocation, path: &Path) -> Option<Writing> {
        self.written.files().get(&place.key(path)?).copied()
    }

    /// Takes up watches that ended: the folder may have appeared, the file's name may lead to another file by now.
    pub fn renew(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        if !self.folder.exists() {
            self.folder_watched = false;
        } else if !self.folder_watched {
            self.folder_watched = watcher.watch(&self.folder, self.mode).is_ok();
        }
        // A watch is not changed under a writer: the closing of the file could fall in between.
        let is_open = |file| matches!(self.written.files().get(file), Some(Writing::Open(_)));
        if let Some(file) = self.file.as_ref().filter(|file| !is_open(*file)) {
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
