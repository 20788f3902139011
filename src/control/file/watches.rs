//! Watches a location with inotify. The folder's watch reports renames, and the file's own watch reports writes through a bind mount of
//! that one file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::UnboundedSender;

use super::location::RoutesLocation;

/// The inotify watches of a location.
pub(super) struct FileWatcher {
    /// `None` if the kernel gives no inotify instance. Changes are then noticed by polling alone.
    watcher: Option<RecommendedWatcher>,
    folder: PathBuf,
    mode: RecursiveMode,
    /// The file, if the location is a single file.
    file: Option<PathBuf>,
    folder_watched: bool,
    writes: WriteLog,
}

/// The last write to each file that events have reported. If that is known of [`WRITES_MAX`] files, the next event clears the log.
#[derive(Clone, Default)]
struct WriteLog(Arc<Mutex<BTreeMap<PathBuf, LastWrite>>>);

/// The largest number of files in a [`WriteLog`].
const WRITES_MAX: usize = 4096;

/// The last reported write to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastWrite {
    /// The file was written to at this time and has not been closed since.
    Open(Instant),
    /// The file was closed by its writer, or moved to its path complete, at this time. The kernel takes the change times of local files
    /// from the same clock; a file server has its own.
    Closed(SystemTime),
}

impl WriteLog {
    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, LastWrite>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, location: &RoutesLocation, event: &Event) {
        let mut files = self.files();
        // Events were lost, perhaps including the closing of a file.
        if event.need_rescan() || files.len() >= WRITES_MAX {
            files.clear();
        }
        for path in event.paths.iter().filter_map(|path| location.key(path)) {
            match event.kind {
                // Truncating a file on open is an event of this kind too. The event is sent when the truncation is done.
                EventKind::Modify(ModifyKind::Data(_)) => drop(files.insert(path, LastWrite::Open(Instant::now()))),
                EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                    files.insert(path, LastWrite::Closed(SystemTime::now()));
                }
                // A change of owner or mode sets the file's change time as well.
                EventKind::Modify(ModifyKind::Metadata(_)) => {
                    if let Some(LastWrite::Closed(when)) = files.get_mut(&path) {
                        *when = SystemTime::now();
                    }
                }
                // From now on the path is that of another file, or of none.
                EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                    files.remove(&path);
                }
                _ => {}
            }
        }
    }
}

impl FileWatcher {
    /// Starts watching. Each change sends a `()` to `report`.
    pub fn new(location: &RoutesLocation, report: UnboundedSender<()>) -> FileWatcher {
        let writes = WriteLog::default();
        let (recorded, watched) = (writes.clone(), location.clone());
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if let Ok(event) = &event {
                recorded.record(&watched, event);
            }
            if event.as_ref().map_or(true, |event| is_change(&event.kind)) {
                // A dropped receiver means that the provider is about to end.
                let _ = report.send(());
            }
        });
        let watcher =
            watcher.inspect_err(|error| tracing::warn!("file provider: no inotify, polling only: {error}")).ok();
        let (folder, mode, file) = match location {
            RoutesLocation::Directory(folder) => (folder.clone(), RecursiveMode::Recursive, None),
            RoutesLocation::Main(file) | RoutesLocation::File(file) => {
                (folder_of(file), RecursiveMode::NonRecursive, Some(file.clone()))
            }
        };
        let mut watcher = FileWatcher { watcher, folder, mode, file, folder_watched: false, writes };
        watcher.renew();
        watcher
    }

    /// The last reported write to the file of this path. `None` if no event has reported one: some mounts deliver no events, or deliver
    /// them under another path.
    pub fn last_write(&self, location: &RoutesLocation, path: &Path) -> Option<LastWrite> {
        self.writes.files().get(&location.key(path)?).copied()
    }

    /// Renews the watches: the folder may have appeared, and the file's path may be that of another file by now.
    pub fn renew(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        if !self.folder.exists() {
            self.folder_watched = false;
        } else if !self.folder_watched {
            self.folder_watched = watcher.watch(&self.folder, self.mode).is_ok();
        }
        // The file's watch is not replaced while a writer has the file open, because the close event could be missed in between.
        let is_open = |file| matches!(self.writes.files().get(file), Some(LastWrite::Open(_)));
        if let Some(file) = self.file.as_ref().filter(|file| !is_open(*file)) {
            // These calls fail if the file is gone, or its watch with it. The folder's watch and polling then remain.
            let _ = watcher.unwatch(file);
            let _ = watcher.watch(file, RecursiveMode::NonRecursive);
        }
    }
}

/// Whether an event is a change of a file. Reading a file is an event too and must not count, because the provider reads the files after
/// each change.
fn is_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

/// The folder of a file; the current folder for a bare file name.
fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
