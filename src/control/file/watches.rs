//! inotify on a place: the folder tells about renames, the file itself about writes through a mount of that one file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
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
    written: Written,
}

/// What events told of the files so far.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<BTreeMap<PathBuf, Writing>>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// Written to, and not closed since.
    Open,
    /// Closed, or put in its place as a whole. The kernel takes the time of a file's change from the same clock.
    Over(SystemTime),
}

impl Written {
    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Writing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, place: &Place, event: &Event) {
        let writing = match event.kind {
            // Emptying a file while opening it is an event of this kind too; it comes when the emptying is done.
            EventKind::Modify(ModifyKind::Data(_)) => Writing::Open,
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(_))
            | EventKind::Remove(_) => Writing::Over(SystemTime::now()),
            // Events were lost, the closing of a file perhaps among them.
            _ if event.need_rescan() => return self.files().clear(),
            _ => return,
        };
        for path in event.paths.iter().filter_map(|path| place.key(path)) {
            self.files().insert(path, writing);
        }
    }
}

impl Watches {
    /// Starts watching; each change puts a `()` into `report`.
    pub fn new(place: &Place, report: UnboundedSender<()>) -> Watches {
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
            Place::Directory(folder) => (folder.clone(), RecursiveMode::Recursive, None),
            Place::Main(file) | Place::File(file) => (folder_of(file), RecursiveMode::NonRecursive, Some(file.clone())),
        };
        let mut watches = Watches { watcher, folder, mode, file, folder_watched: false, written };
        watches.renew();
        watches
    }

    /// Somebody has one of the files open and has written to it. Silent mounts never say so.
    pub fn is_being_written(&self) -> bool {
        self.written.files().values().any(|writing| *writing == Writing::Open)
    }

    /// Whoever wrote to the file of this path of `place` has ended it, at `time` or later.
    pub fn is_over_since(&self, place: &Place, path: &Path, time: SystemTime) -> bool {
        let written = place.key(path).and_then(|path| self.written.files().get(&path).copied());
        written.is_some_and(|writing| matches!(writing, Writing::Over(when) if when >= time))
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
