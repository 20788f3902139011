//! Files and the files that they import: no circles, and the folders of `worker` name each other in one direction only.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, sources, words};

/// The parts of `worker`, and the parts that each may import. A part may always import itself. Parts further down may import parts further
/// up, never the other way round.
const WORKER_USES: [(&str, &[&str]); 17] = [
    ("resources", &[]),
    ("message", &["resources"]),
    ("pool", &["resources"]),
    ("bound_connections", &["resources"]),
    ("open_links", &["message"]),
    ("server_links", &["resources", "message"]),
    ("worker", &["resources", "pool", "bound_connections", "open_links", "server_links"]),
    ("bounds", &["resources", "message", "worker"]),
    ("http2_metrics", &["resources", "message", "worker"]),
    ("link_turns", &["resources", "message", "worker", "bounds"]),
    ("upstream", &["resources", "message", "pool", "server_links", "worker", "bounds", "http2_metrics", "link_turns"]),
    ("tcp_choice", &[]),
    ("request", &["resources", "message", "worker", "bounds", "upstream", "tcp_choice"]),
    ("downstream", &["resources", "message", "worker", "bounds", "http2_metrics", "link_turns", "request"]),
    ("layer4", &["resources", "worker", "bounds", "upstream", "tcp_choice"]),
    ("handshake", &["resources", "worker", "bounds", "upstream", "downstream", "layer4"]),
    ("listen", &["resources", "worker", "bounds", "upstream", "layer4", "handshake"]),
];

/// Words that name a protocol version. The request path has none of them: it reads and writes messages through `message::stream`.
const VERSION_WORDS: [&str; 6] = ["h1", "h2", "http1", "http2", "Http10", "Http11"];

type Module = Vec<String>;

/// The files under `src` by their module path, with what each imports.
struct Imports {
    files: BTreeMap<Module, String>,
    edges: BTreeMap<Module, BTreeSet<Module>>,
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let imports = Imports::read(&sources());
    let circles: Vec<String> = imports
        .files
        .keys()
        .filter(|file| imports.reaches(file, file))
        .map(|file| imports.files[file].clone())
        .collect();
    assert!(circles.is_empty(), "these files import each other, directly or by others: {circles:#?}");
}

#[test]
fn folders_of_worker_import_only_allowed_folders() {
    let imports = Imports::read(&sources());
    let mut broken = Vec::new();
    for (file, targets) in imports.edges.iter().filter(|(file, _)| file[0] == "worker" && file.len() > 1) {
        let Some((_, allowed)) = WORKER_USES.iter().find(|(part, _)| *part == file[1]) else {
            broken.push(format!("{}: {} has no line in WORKER_USES", imports.files[file], file[1]));
            continue;
        };
        for target in targets.iter().filter(|target| target[0] == "worker" && target.len() > 1) {
            if target[1] != file[1] && !allowed.contains(&target[1].as_str()) {
                broken.push(format!("{}: {} may not import {}", imports.files[file], file[1], target.join("::")));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn protocol_versions_do_not_import_each_other() {
    let imports = Imports::read(&sources());
    let version = |file: &Module| (file.get(1)? == "message").then(|| file.get(2).cloned()).flatten();
    for (file, targets) in &imports.edges {
        let Some(own) = version(file).filter(|name| name.starts_with('h')) else { continue };
        for other in targets.iter().filter_map(version).filter(|name| name.starts_with('h')) {
            assert_eq!(
                own, other,
                "{}: message::{own} and message::{other} never name each other",
                imports.files[file]
            );
        }
    }
}

#[test]
fn request_path_names_no_protocol_version() {
    for source in sources().iter().filter(|source| source.path.starts_with("src/worker/request/")) {
        let named: Vec<&str> = words(&source.code).filter(|word| VERSION_WORDS.contains(word)).collect();
        assert!(named.is_empty(), "{}: {named:?}; add what is missing to message::stream", source.path);
    }
}

#[test]
fn imports_are_resolved_through_brace_lists_supers_and_re_exports() {
    let source = |path: &str, code: &str| Source::of_code(path, code);
    let sources = [
        source("src/a/mod.rs", "pub mod b; pub use b::{Thing, Other as Alias};"),
        source("src/a/b.rs", "pub struct Thing; use super::super::c::{self, d::Deep};"),
        source("src/c.rs", "use crate::a::Thing;"),
        source("src/c/d.rs", "pub struct Deep; use self::x::Y; use std::fmt;"),
    ];
    let imports = Imports::read(&sources);
    let edge = |from: &[&str], to: &[&str]| {
        let owned = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Module>();
        imports.edges[&owned(from)].contains(&owned(to))
    };
    assert!(edge(&["a", "b"], &["c"]) && edge(&["a", "b"], &["c", "d"]), "{:?}", imports.edges);
    assert!(edge(&["c"], &["a", "b"]), "the re-export leads to the file that defines the type: {:?}", imports.edges);
    assert!(imports.reaches(&vec!["a".to_owned(), "b".to_owned()], &vec!["a".to_owned(), "b".to_owned()]));
}

impl Imports {
    fn read(sources: &[Source]) -> Imports {
        let code: BTreeMap<Module, &Source> =
            sources.iter().filter(|source| !source.code.is_empty()).map(|source| (module_of(source), source)).collect();
        let files: BTreeMap<Module, String> =
            code.iter().map(|(module, source)| (module.clone(), source.path.clone())).collect();
        let mut re_exports = BTreeMap::new();
        for (module, source) in &code {
            for (path, is_public) in use_paths(&source.code, module, source) {
                if let Some(name) = path.last().filter(|_| is_public) {
                    re_exports.insert((module.clone(), name.clone()), path.clone());
                }
            }
        }
        let mut edges: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (module, source) in &code {
            let targets = edges.entry(module.clone()).or_default();
            for (path, is_public) in use_paths(&source.code, module, source) {
                if let Some(file) = home(path, &files, &re_exports).filter(|file| !is_public && file != module) {
                    targets.insert(file);
                }
            }
        }
        Imports { files, edges }
    }

    /// Whether `from` imports `to`, directly or by other files.
    fn reaches(&self, from: &Module, to: &Module) -> bool {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&Module> = self.edges.get(from).into_iter().flatten().collect();
        while let Some(file) = open.pop() {
            if file == to {
                return true;
            }
            if seen.insert(file) {
                open.extend(self.edges.get(file).into_iter().flatten());
            }
        }
        false
    }
}

fn module_of(source: &Source) -> Module {
    let path = source.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_owned).collect()
}

/// The file that defines the item at `path`, found through re-exports.
fn home(
    mut path: Module,
    files: &BTreeMap<Module, String>,
    re_exports: &BTreeMap<(Module, String), Module>,
) -> Option<Module> {
    for _ in 0..4 {
        let module =
            (1..=path.len()).rev().map(|length| path[..length].to_vec()).find(|part| files.contains_key(part))?;
        let Some(item) = path.get(module.len()) else { return Some(module) };
        match re_exports.get(&(module.clone(), item.clone())) {
            Some(target) => {
                let rest = path[module.len() + 1..].to_vec();
                path = [target.clone(), rest].concat();
            }
            None => return Some(module),
        }
    }
    None
}

/// The full paths of a file's `use` lines that begin in this crate, and whether each is public.
fn use_paths(code: &str, module: &Module, source: &Source) -> Vec<(Module, bool)> {
    let mut found = Vec::new();
    for statement in code.split(';') {
        let Some((before, tree)) = statement.rsplit_once("use ") else { continue };
        let start = before.rsplit(['\n', '}']).next().unwrap_or_default().trim();
        let is_public = start.starts_with("pub");
        if !(start.is_empty() || is_public) {
            continue;
        }
        let mut paths = Vec::new();
        expand(&tree.split_whitespace().collect::<Vec<_>>().join(" "), &[], &mut paths);
        found.extend(paths.into_iter().filter_map(|path| Some((absolute(path, module, source)?, is_public))));
    }
    found
}

fn absolute(path: Module, module: &Module, source: &Source) -> Option<Module> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    let is_root = ["src/lib.rs", "src/main.rs"].contains(&source.path.as_str());
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module.clone(), path[1..].to_vec()].concat()),
        "super" => Some([module[..module.len().checked_sub(supers)?].to_vec(), path[supers..].to_vec()].concat()),
        _ if is_root => Some(path),
        // A child module that is named without `self::`.
        _ if source.code.contains(&format!("mod {};", path[0])) => Some([module.clone(), path].concat()),
        _ => None,
    }
}

/// `a::{b, c::{self, d}}` as its single paths.
fn expand(tree: &str, prefix: &[String], found: &mut Vec<Module>) {
    let tree = tree.trim();
    if let Some((head, tail)) = tree.split_once('{') {
        let inner = tail.rsplit_once('}').map_or(tail, |(inner, _)| inner);
        let prefix: Module = [prefix.to_vec(), parts(head)].concat();
        let (mut depth, mut start) = (0, 0);
        for (at, c) in inner.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&inner[start..at], &prefix, found);
                    start = at + 1;
                }
                _ => {}
            }
        }
        expand(&inner[start..], &prefix, found);
    } else if !tree.is_empty() {
        let path = parts(tree.split(" as ").next().unwrap_or_default());
        let path = if path == ["self"] && !prefix.is_empty() { Vec::new() } else { path };
        found.push([prefix.to_vec(), path].concat());
    }
}

fn parts(path: &str) -> Module {
    path.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
