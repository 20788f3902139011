//! Sizes and first lines of files, `unsafe`, limits, and dependencies.

use std::collections::BTreeSet;
use std::fs;

use crate::source::{project_files, root, sources, words};

const FILE_LINES_MAX: usize = 600;

const UNSAFE_FILES: [&str; 2] = ["src/net/sys.rs", "src/allocator.rs"];

#[test]
fn every_limit_is_used() {
    let sources = sources();
    let limits = sources.iter().find(|source| source.path == "src/limits.rs").expect("src/limits.rs");
    let (names, checks) = limits.code.split_once("const _: ()").expect("checks at the end");
    // A comment that names a limit does not keep to it.
    let lines = sources.iter().filter(|source| source.module != "limits").flat_map(|source| source.text.lines());
    let used: BTreeSet<&str> = lines.filter(|line| !line.trim_start().starts_with("//")).flat_map(words).collect();
    let named = names.split("pub const ").skip(1).filter_map(|rest| words(rest).next());
    let unused: Vec<&str> = named.filter(|name| !used.contains(name)).collect();
    assert!(unused.is_empty() && !checks.contains("pub const"), "limits that bound nothing: {unused:?}");
}

#[test]
fn unsafe_stands_only_in_listed_files() {
    for source in sources().iter().filter(|source| !UNSAFE_FILES.contains(&source.path.as_str())) {
        assert!(!words(&source.code).any(|word| word == "unsafe"), "{}: unsafe", source.path);
    }
}

#[test]
fn files_are_short_and_begin_with_their_purpose() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            broken.push(format!("{}: {lines} lines, split it by concern (at most {FILE_LINES_MAX})", source.path));
        }
        if !source.text.starts_with("//!") {
            broken.push(format!("{}: begins without a //! line that says what it is for", source.path));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    // Written in parts, so that this file does not name them either.
    let places = [concat!("/wo", "rk/"), concat!("/fa", "rm/"), concat!("/tmp/", "wt/")];
    let mut broken = Vec::new();
    for path in project_files() {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for place in places.iter().filter(|place| text.contains(**place)) {
            broken.push(format!("{}: {place}", path.display()));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// cargo-deny checks more, where it is installed. Banned crates stand in deny.toml: the lock file names crates that are never built.
#[test]
fn every_dependency_has_a_registry_checksum() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    let packages: Vec<&str> = lock.split("[[package]]").skip(1).collect();
    assert!(packages.len() > 100);
    for package in packages {
        let name = package.split('"').nth(1).unwrap_or_default();
        let fetched = package.contains("source = \"registry+") && package.contains("checksum = \"");
        assert!(fetched || name == "ringway", "{name} comes from elsewhere, or has no checksum");
    }
}
