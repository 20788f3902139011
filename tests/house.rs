//! The rules of the house, checked on the source text: who may use whom, where a runtime may be named, where `unsafe` may
//! stand, how long a file may be. ARCHITECTURE.md gives the reasons. A rule that only stands in a document is a wish.
//!
//! Looked at is code: comments, the insides of string literals, everything from `#[cfg(test)]` to a file's end (tests stand
//! last), and files named `tests.rs` or `..._tests.rs` and folders named `tests` are left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 600;

/// Room, and what it may name by `crate::`. A room may always name itself. `config::snapshot` allows that part only.
/// `main` and the crate's root file stand outside the table; they hold no logic.
const USES: [(&str, &[&str]); 15] = [
    ("limits", &[]),
    ("error", &["limits", "http"]),
    ("http", &["limits", "error"]),
    ("tls", &["limits", "error"]),
    ("detect", &["limits", "error"]),
    ("rule", &["limits", "error", "http"]),
    ("middleware", &["limits", "error", "http"]),
    ("backend", &["limits", "error", "http"]),
    ("config", &["limits", "error", "rule", "middleware", "backend", "http", "tls"]),
    ("observe", &["limits", "error", "config", "http"]),
    ("net", &["limits", "error", "tls"]),
    (
        "worker",
        &[
            "limits",
            "error",
            "net",
            "config::snapshot",
            "rule",
            "middleware",
            "backend",
            "http",
            "tls",
            "detect",
            "observe",
        ],
    ),
    ("control", &["limits", "error", "config", "backend", "tls", "observe"]),
    ("cli", &["limits", "error", "config"]),
    ("app", &["limits", "error", "worker", "control", "observe", "config", "net", "tls", "cli"]),
];

/// Crates that belong to one plane, and the rooms (or files) that may name them.
const CRATES: [(&str, &[&str]); 7] = [
    ("monoio", &["net", "worker"]),
    ("io_uring", &["net"]),
    ("tokio", &["control", "app.rs"]),
    ("bollard", &["control"]),
    ("instant_acme", &["control"]),
    ("hyper", &["control"]),
    ("notify", &["control"]),
];

/// Rooms that get time, files, connections and random bytes as arguments.
const SANS_IO: [&str; 8] = ["http", "tls", "detect", "rule", "middleware", "backend", "config", "observe"];
const WORLD: [&str; 8] = [
    "Instant::now",
    "SystemTime::now",
    "UNIX_EPOCH.elapsed",
    "TcpStream",
    "UdpSocket",
    "std::fs",
    "File::open",
    "thread::spawn",
];

const UNSAFE_FILES: [&str; 2] = ["src/net/sys.rs", "src/allocator.rs"];

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let mut broken = Vec::new();
    for source in sources() {
        let Some((_, allowed)) = USES.iter().find(|(room, _)| *room == source.room) else {
            if !["lib", "main", "allocator"].contains(&source.room.as_str()) {
                broken.push(format!("{}: the room {} has no line in tests/house.rs", source.path, source.room));
            }
            continue;
        };
        for path in crate_paths(&source.code) {
            let full = path.join("::");
            let named = |entry: &&str| full == **entry || full.starts_with(&format!("{entry}::"));
            if path.first() != Some(&source.room) && !allowed.iter().any(named) {
                broken.push(format!("{}: {} may not use crate::{full}", source.path, source.room));
            }
        }
        if let Some(chain) = longest_super(&source.code).filter(|chain| *chain >= source.depth) {
            broken.push(format!(
                "{}: {chain} times super:: leaves the room; name the other room by crate::",
                source.path
            ));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn runtimes_are_named_only_in_their_rooms() {
    let mut broken = Vec::new();
    for source in sources() {
        for (name, rooms) in CRATES {
            let file = source.path.trim_start_matches("src/");
            let allowed = rooms.contains(&source.room.as_str()) || rooms.contains(&file);
            if !allowed && names_crate(&source.code, name) {
                broken.push(format!("{}: {name} belongs to {}", source.path, rooms.join(", ")));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn core_rooms_do_not_reach_for_the_world() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| SANS_IO.contains(&source.room.as_str())) {
        for name in WORLD.iter().filter(|name| source.code.contains(**name)) {
            broken.push(format!("{}: {name} has to come in as an argument", source.path));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_limit_bounds_something() {
    let sources = sources();
    let limits = sources.iter().find(|source| source.path == "src/limits.rs").expect("src/limits.rs");
    let (names, checks) = limits.code.split_once("const _: ()").expect("checks at the end");
    // A comment that names a limit does not keep to it.
    let lines = sources.iter().filter(|source| source.room != "limits").flat_map(|source| source.text.lines());
    let used: BTreeSet<&str> = lines.filter(|line| !line.trim_start().starts_with("//")).flat_map(words).collect();
    let named = names.split("pub const ").skip(1).filter_map(|rest| words(rest).next());
    let unused: Vec<&str> = named.filter(|name| !used.contains(name)).collect();
    assert!(unused.is_empty() && !checks.contains("pub const"), "limits that bound nothing: {unused:?}");
}

#[test]
fn unsafe_stands_only_where_it_is_listed() {
    for source in sources().iter().filter(|source| !UNSAFE_FILES.contains(&source.path.as_str())) {
        assert!(!words(&source.code).any(|word| word == "unsafe"), "{}: unsafe", source.path);
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
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
fn no_file_names_a_place_of_one_machine() {
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

#[test]
fn every_label_of_the_translation_has_its_row_in_compat() {
    let rows = compat_keys();
    let mut missing = BTreeSet::new();
    for source in sources().iter().filter(|source| source.path.starts_with("src/config/labels")) {
        for literal in string_literals(source) {
            let label = match literal.split_once('.') {
                Some(("traefik", _)) => literal.to_lowercase(),
                Some(("frontend" | "backend", _)) => format!("traefik.{literal}").to_lowercase(),
                _ => continue,
            };
            // The beginning of a label's name is not a label, but has to be the beginning of one.
            let start = format!("{}.", label.trim_end_matches('.'));
            let known = rows.contains(&label) || rows.iter().any(|row| row.starts_with(&start));
            if !known && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '.') {
                missing.insert(literal);
            }
        }
    }
    assert!(missing.is_empty(), "labels without a row in COMPAT.md: {missing:?}");
}

#[test]
fn every_key_of_the_fixed_configuration_has_its_row_in_compat() {
    let rows = compat_keys();
    let parts: BTreeSet<&str> = rows.iter().flat_map(|row| row.split('.')).collect();
    let mut missing = BTreeSet::new();
    for source in sources().iter().filter(|source| source.path.starts_with("src/config/static_config")) {
        let read =
            |structure: &&str| structure.split("struct ").next().is_some_and(|head| head.contains("Deserialize"));
        for structure in source.code.split("#[derive(").skip(1).filter(read) {
            let body =
                structure.split_once('{').and_then(|(_, rest)| rest.split_once("\n}")).map_or("", |(body, _)| body);
            let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'));
            for (field, _) in fields.filter(|(field, _)| !parts.contains(field.replace('_', "").as_str())) {
                missing.insert(format!("{}: {field}", source.path));
            }
        }
    }
    assert!(missing.is_empty(), "fields without a key of their name in COMPAT.md: {missing:#?}");
}

#[test]
fn compat_rows_have_a_key_a_known_state_and_a_note_where_one_is_due() {
    let compat = fs::read_to_string(root().join("COMPAT.md")).expect("COMPAT.md");
    for line in compat.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 3, "key | state | note: {line}");
        let (state, note) = (cells[1], cells[2].trim_end_matches('|').trim());
        assert!(["done", "differs", "refused", "not yet"].contains(&state), "unknown state {state}: {line}");
        assert!(state == "done" || !note.is_empty(), "a row that is not done needs a note: {line}");
    }
}

#[test]
fn the_table_of_rooms_in_the_architecture_is_this_one() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let section =
        text.split("## Rooms").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section on rooms");
    let told: Vec<(String, BTreeSet<String>)> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
            let room = backquoted(cells[0]).next().unwrap_or_default();
            (room, backquoted(cells[2]).flat_map(|list| words_of(&list)).collect())
        })
        .collect();
    let everybody = ["limits", "error"];
    let held = USES.map(|(room, uses)| {
        let uses = uses.iter().filter(|name| !everybody.contains(name));
        (room.to_owned(), uses.map(|name| (*name).to_owned()).collect())
    });
    assert_eq!(told, held, "ARCHITECTURE.md on the left, tests/house.rs on the right");
}

/// Holds also where cargo-deny is not installed. What is banned stands in deny.toml: the lock file names crates that are never built.
#[test]
fn every_dependency_comes_from_the_registry_with_a_checksum() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    let packages: Vec<&str> = lock.split("[[package]]").skip(1).collect();
    assert!(packages.len() > 100);
    for package in packages {
        let name = package.split('"').nth(1).unwrap_or_default();
        let fetched = package.contains("source = \"registry+") && package.contains("checksum = \"");
        assert!(fetched || name == "ringway", "{name} comes from elsewhere, or has no checksum");
    }
}

fn words_of(list: &str) -> Vec<String> {
    list.split(' ').map(str::to_owned).collect()
}

/// The keys of COMPAT.md, in lower case.
fn compat_keys() -> BTreeSet<String> {
    let compat = fs::read_to_string(root().join("COMPAT.md")).expect("COMPAT.md");
    let rows = compat.lines().filter(|line| line.starts_with("| `"));
    let keys: BTreeSet<String> = rows.flat_map(backquoted).map(|key| key.to_lowercase()).collect();
    assert!(keys.len() > 200, "COMPAT.md has only {} keys", keys.len());
    keys
}

/// One file under `src`.
struct Source {
    /// From the project's folder, `src/http/head.rs`.
    path: String,
    /// First part of the module path: `http`. `lib` and `main` for those two files.
    room: String,
    /// Length of the module path: 1 for `src/http/mod.rs`, 2 for `src/http/head.rs`.
    depth: usize,
    text: String,
    /// The text without comments, without the insides of literals, and without tests.
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    collect(&root().join("src"), &mut files);
    let sources: Vec<Source> =
        files.iter().filter(|file| file.extension().is_some_and(|end| end == "rs")).map(source).collect();
    assert!(sources.len() > 10, "only {} files under src", sources.len());
    sources
}

fn source(file: &PathBuf) -> Source {
    let path = file.strip_prefix(root()).expect("a file of the project").to_string_lossy().into_owned();
    let module = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let parts: Vec<&str> = module.split('/').collect();
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{path}: {error}"));
    let tests = path.ends_with("/tests.rs") || path.contains("/tests/") || path.ends_with("_tests.rs");
    let code = if tests { String::new() } else { without_tests(&blanked(&text)).to_owned() };
    Source { room: parts[0].to_owned(), depth: parts.len(), path, text, code }
}

/// All files of the project, without what git and cargo keep.
fn project_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root()).expect("the project's folder").flatten() {
        let name = entry.file_name();
        if ["target", ".git", "fuzz"].iter().all(|skipped| name != *skipped) {
            collect(&entry.path(), &mut files);
        }
    }
    files
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder of the project").flatten() {
            collect(&entry.path(), files);
        }
    } else {
        files.push(path.to_owned());
    }
}

fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]").next().unwrap_or_default()
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Whether a crate is named at the start of a path: `tokio::time`, `use tokio;`, not `our::tokio::x`.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].trim_end_matches("r#");
        let (after, before) = (&code[at + name.len()..], before.chars().last().unwrap_or(' '));
        let starts = !before.is_alphanumeric() && before != '_' && (before != ':' || code[..at].ends_with(" ::"));
        starts && (after.starts_with("::") || (code[..at].ends_with("use ") && after.starts_with([';', ' '])))
    })
}

/// Every path that begins with `crate::`, brace lists written out, down to the second part.
fn crate_paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let tail: String = code[at + "crate::".len()..].chars().filter(|c| !c.is_whitespace()).take(4000).collect();
        expand(&tail, &[], &mut found);
    }
    found
}

fn expand(tail: &str, prefix: &[String], found: &mut Vec<Vec<String>>) {
    if let Some(list) = tail.strip_prefix('{') {
        let (mut depth, mut start) = (0usize, 0usize);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    if at > start {
                        expand(&list[start..at], prefix, found);
                    }
                    start = at + 1;
                    if c == '}' {
                        return;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        return;
    }
    let end = tail.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tail.len());
    let mut path = prefix.to_vec();
    path.push(tail[..end].to_owned());
    match tail[end..].strip_prefix("::") {
        Some(rest) if path.len() < 2 => expand(rest, &path, found),
        _ => found.push(path),
    }
}

/// The longest chain of `super::`, if there is any.
fn longest_super(code: &str) -> Option<usize> {
    let chain = |at: usize| code[at..].split("::").take_while(|part| part.trim() == "super").count();
    code.match_indices("super::").map(|(at, _)| chain(at)).max()
}

fn backquoted(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The string literals of a file's code, without escapes being read.
fn string_literals(source: &Source) -> Vec<String> {
    let (text, code) = (&source.text, &source.code);
    let mut found = Vec::new();
    let mut open = None;
    for (at, c) in code.char_indices().filter(|(_, c)| *c == '"') {
        match open.take() {
            None => open = Some(at + c.len_utf8()),
            Some(start) => found.push(text[start..at].to_owned()),
        }
    }
    found
}

/// The text with comments and the insides of literals turned into blanks; same length in bytes, same lines.
fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let previous_is_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let (keep, skip) = if rest.starts_with("//") {
            (0, rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (0, rest.find("*/").map_or(rest.len(), |end| end + 2))
        } else if let Some(hashes) = raw_string_hashes(rest).filter(|_| !previous_is_word) {
            let start = rest.find('"').map_or(0, |quote| quote + 1);
            let close = format!("\"{}", "#".repeat(hashes));
            (start, rest[start..].find(&close).map_or(rest.len(), |end| start + end))
        } else if rest.starts_with('"') {
            (1, string_end(rest))
        } else if let Some(end) = char_literal_end(rest) {
            (1, end - 1)
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        for byte in out[at + keep..at + skip].iter_mut().filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
        // The closing quote, where there is one, is stepped over and stays.
        at = (at + skip + usize::from(keep > 0)).min(bytes.len());
        while !text.is_char_boundary(at) {
            at += 1;
        }
    }
    String::from_utf8(out).expect("blanks in place of whole literals")
}

/// `r"`, `r#"`, `br##"`: the number of hashes.
fn raw_string_hashes(rest: &str) -> Option<usize> {
    let tail = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = tail.len() - tail.trim_start_matches('#').len();
    tail[hashes..].starts_with('"').then_some(hashes)
}

/// Where the closing quote of the string at the start of `rest` stands.
fn string_end(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// The length of the character literal at the start of `rest`; `None` for a lifetime.
fn char_literal_end(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    if let Some(escape) = inside.strip_prefix('\\') {
        let first = escape.chars().next()?.len_utf8();
        return escape[first..].find('\'').map(|end| 2 + first + end + 1);
    }
    let first = inside.chars().next()?;
    inside[first.len_utf8()..].starts_with('\'').then_some(2 + first.len_utf8())
}

#[test]
fn the_reader_of_these_rules_sees_code_only() {
    let text = "let a = \"crate::x \\\" unsafe\"; // crate::y\nlet b = 'u'; let c: &'static str = r#\"tokio::\"#; /* unsafe */ f('\"', '\\'')\n#[cfg(test)]\nmod tests { unsafe }";
    let blank = blanked(text);
    assert_eq!(blank.len(), text.len());
    let code = without_tests(&blank).to_owned();
    assert!(!code.contains("crate") && !code.contains("unsafe") && !code.contains("tokio"), "{code}");
    assert!(code.contains("let b = ' '; let c: &'static str"), "{code}");
    let source = Source { path: String::new(), room: String::new(), depth: 1, text: text.to_owned(), code };
    assert_eq!(string_literals(&source), ["crate::x \\\" unsafe", "tokio::"]);
}

#[test]
fn the_reader_of_these_rules_writes_out_brace_lists() {
    let code = "use crate::{config::{self, snapshot::Table}, http::head::Head, limits};\nlet x = crate::error::Cause::X; my_crate::y";
    let paths: Vec<String> = crate_paths(code).iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["config::self", "config::snapshot", "http::head", "limits", "error::Cause"]);
    assert!(names_crate("a(tokio::x())", "tokio") && names_crate("use tokio as t;", "tokio"));
    assert!(!names_crate("not_tokio::x(); our::tokio::y", "tokio"));
    assert_eq!(longest_super("use super::super::x; super::y"), Some(2));
}
