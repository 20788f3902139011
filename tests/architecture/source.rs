//! The source text as the rules see it: code without comments, without the insides of string literals, and without tests; comments and
//! string literals by themselves; and the files that a file names by its `use` lines.

use std::fs;
use std::path::{Path, PathBuf};

/// One file under `src`.
pub struct Source {
    /// From the project's folder, `src/http/head.rs`.
    pub path: String,
    /// First part of the module path: `http`. `lib` and `main` for those two files.
    pub module: String,
    /// Length of the module path: 1 for `src/http/mod.rs`, 2 for `src/http/head.rs`.
    pub depth: usize,
    pub text: String,
    /// The text without comments, without the insides of literals, and without tests.
    pub code: String,
}

impl Source {
    /// A file of the given code, for the tests of these rules.
    pub fn of_code(path: &str, code: &str) -> Source {
        let module = path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default().to_owned();
        Source { path: path.to_owned(), module, depth: 1, text: code.to_owned(), code: code.to_owned() }
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn sources() -> Vec<Source> {
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
    Source { module: parts[0].to_owned(), depth: parts.len(), path, text, code }
}

/// All files of the project, without what git and cargo keep.
pub fn project_files() -> Vec<PathBuf> {
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

pub fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
}

pub fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Whether a crate is named at the start of a path: `tokio::time`, `use tokio;`, not `our::tokio::x`.
pub fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].trim_end_matches("r#");
        let (after, before) = (&code[at + name.len()..], before.chars().last().unwrap_or(' '));
        let starts = !before.is_alphanumeric() && before != '_' && (before != ':' || code[..at].ends_with(" ::"));
        starts && (after.starts_with("::") || (code[..at].ends_with("use ") && after.starts_with([';', ' '])))
    })
}

/// Every path that begins with `crate::`, brace lists written out, down to the second part.
pub fn crate_paths(code: &str) -> Vec<Vec<String>> {
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
pub fn longest_super(code: &str) -> Option<usize> {
    let chain = |at: usize| code[at..].split("::").take_while(|part| part.trim() == "super").count();
    code.match_indices("super::").map(|(at, _)| chain(at)).max()
}

pub fn backquoted(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The string literals of a file's code, without escapes being read.
pub fn string_literals(source: &Source) -> Vec<String> {
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
pub fn blanked(text: &str) -> String {
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
    let source = Source { path: String::new(), module: String::new(), depth: 1, text: text.to_owned(), code };
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
