//! The file or folder that has the routes, and its files.

use std::fmt;
use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::text::InvalidConfig;

/// The file or folder that has the routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoutesLocation {
    /// The main configuration file, where the routes are among the static options.
    Main(PathBuf),
    /// A file that has only routes.
    File(PathBuf),
    /// A folder: all its `.toml` and `.tmpl` files and those of its subfolders, in the order of their paths.
    Directory(PathBuf),
}

/// The reason why the routes cannot be loaded. Its text says where and what to do.
#[derive(Debug, Clone)]
pub enum LoadError {
    Unreadable { path: PathBuf, error: Arc<io::Error> },
    Invalid(InvalidConfig),
}

impl LoadError {
    pub(super) fn unreadable(path: &Path, error: io::Error) -> LoadError {
        LoadError::Unreadable { path: path.to_owned(), error: Arc::new(error) }
    }
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

impl RoutesLocation {
    /// The path as it was configured.
    pub fn path(&self) -> &Path {
        match self {
            RoutesLocation::Main(path) | RoutesLocation::File(path) | RoutesLocation::Directory(path) => path,
        }
    }

    /// The canonical form of a file's path, which callers and events of the folder or of the file may write in different ways. `None` if
    /// the file does not belong to this location.
    pub(super) fn key(&self, path: &Path) -> Option<PathBuf> {
        match self {
            RoutesLocation::Main(file) | RoutesLocation::File(file) => {
                (path.file_name() == file.file_name()).then(|| file.clone())
            }
            RoutesLocation::Directory(_) => is_routes_file(path).then(|| std::path::absolute(path).ok())?,
        }
    }

    /// The files to read, in the order in which they are merged.
    pub fn files(&self) -> Result<Vec<PathBuf>, LoadError> {
        match self {
            RoutesLocation::Main(path) | RoutesLocation::File(path) => Ok(vec![path.clone()]),
            RoutesLocation::Directory(path) => {
                let mut files = Vec::new();
                collect_files(path, DIRECTORY_DEPTH_MAX, &mut files)?;
                Ok(files)
            }
        }
    }
}

/// Whether a file in a folder has the name of a routes file: `*.toml` or `*.tmpl`.
fn is_routes_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml" || extension == "tmpl")
}

/// How deep subfolders are read. Without a limit, a link to a parent folder would never end.
const DIRECTORY_DEPTH_MAX: usize = 16;

fn collect_files(folder: &Path, depth_left: usize, files: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    let unreadable = |error| LoadError::unreadable(folder, error);
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let mut entries = entries
        .map(|entry| entry.map(|entry| (entry.file_name(), is_folder(&entry))))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    entries.sort_unstable();
    for (name, is_folder) in entries {
        // Kubernetes stores the versions of a mounted volume in folders whose names start with two dots. The plain names link into them.
        let hidden = name.as_encoded_bytes().starts_with(b"..");
        if is_folder {
            if depth_left > 0 && !hidden {
                collect_files(&folder.join(name), depth_left - 1, files)?;
            }
        } else if is_routes_file(Path::new(&name)) {
            files.push(folder.join(name));
        }
    }
    Ok(())
}

/// Whether an entry is a folder, or a link to one. The folder's listing says what most entries are, so that only links cost a call.
fn is_folder(entry: &DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if !kind.is_symlink() => kind.is_dir(),
        _ => entry.path().is_dir(),
    }
}

impl fmt::Display for RoutesLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().display().fmt(f)
    }
}
