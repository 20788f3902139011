//! Code that is built and tested but never connected. `scripts/unused.sh` proves with the compiler that the program reaches every function,
//! constant, variant and field. The rules here find the commonest cases without a compilation: public functions that only tests call, and
//! options that are parsed and that nothing reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::compat::compat_rows;
use crate::source::{root, sources, words};

#[test]
fn every_public_function_is_called_by_the_program() {
    let sources = sources();
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for source in &sources {
        words(&source.code).for_each(|word| *uses.entry(word).or_default() += 1);
    }
    let mut definitions: BTreeMap<String, (usize, BTreeSet<String>)> = BTreeMap::new();
    for source in &sources {
        for name in public_functions(&source.code) {
            let entry = definitions.entry(name).or_default();
            entry.0 += 1;
            entry.1.insert(source.path.clone());
        }
    }
    let unused: Vec<String> = definitions
        .iter()
        .filter(|(name, (count, _))| uses.get(name.as_str()).is_some_and(|uses| uses <= count))
        .map(|(name, (_, files))| format!("{name} in {files:?}"))
        .collect();
    assert!(unused.is_empty(), "public functions that only tests call; connect, remove or mark them: {unused:#?}");
}

#[test]
fn every_mark_gives_its_reason_and_the_compiler_checks_it() {
    for source in sources() {
        // rustfmt breaks a long mark over several lines.
        let text = source.text.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(");
        for mark in text.split("cfg_attr(reachability, ").skip(1) {
            // A whole module may be marked with `allow`: `expect` would not notice that a part of it is connected.
            let (lint, rest) = mark.split_once("(dead_code, reason = \"").unwrap_or((mark, ""));
            let reason = rest.split('"').next().unwrap_or_default();
            assert!(["expect", "allow"].contains(&lint) && reason.len() > 20, "{}: {mark:.120}", source.path);
        }
    }
    let suite = fs::read_to_string(root().join("scripts/test.sh")).expect("a script");
    assert!(suite.contains("\nscripts/unused.sh\n"), "scripts/test.sh does not run scripts/unused.sh");
}

#[test]
fn option_that_nothing_reads_is_declared_without_effect() {
    let sources = sources();
    let is_definition = |path: &str| path.starts_with("src/config/static_config/") || path == "src/config/dynamic.rs";
    let is_read = |name: &str| {
        // The list of ignored options reads them to warn of them.
        let mut readers = sources.iter().filter(|source| !source.path.ends_with("/unsupported.rs"));
        let access = format!(".{name}");
        let ends = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
        readers.any(|source| source.code.split(&access).skip(1).any(ends))
    };
    let rows = compat_rows();
    let (mut unread, mut undeclared) = (0, Vec::new());
    for source in sources.iter().filter(|source| is_definition(&source.path)) {
        for name in public_fields(&source.code).filter(|name| !is_read(name)) {
            unread += 1;
            let key = name.replace('_', "");
            let declares = |row: &&[String; 3]| {
                row[0].split('.').any(|part| part.eq_ignore_ascii_case(&key))
                    && (row[1] != "done" || ["Without meaning", "Unused"].iter().any(|start| row[2].starts_with(start)))
            };
            if !rows.iter().any(|row| declares(&row)) {
                undeclared.push(format!("{name} in {}", source.path));
            }
        }
    }
    assert!(unread > 5, "only {unread} options that nothing reads: the rule does not find them");
    assert!(undeclared.is_empty(), "options that are parsed, never read, and done in COMPAT.md: {undeclared:#?}");
}

fn public_fields(code: &str) -> impl Iterator<Item = &str> {
    code.lines()
        .filter_map(|line| line.strip_prefix("    pub ")?.split_once(": "))
        .map(|(name, _)| name)
        .filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

fn public_functions(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_marked = false;
    for line in code.lines() {
        let line = line.trim_start();
        is_marked |= line == "#[cfg(test)]" || line.starts_with("#[cfg_attr(");
        let is_for_tests = is_marked && line.contains("fn ");
        is_marked &= !is_for_tests;
        let Some(rest) = line.strip_prefix("pub").filter(|rest| rest.starts_with([' ', '('])) else { continue };
        let Some((before, name)) = rest.split_once("fn ") else { continue };
        let is_function = before.split_whitespace().all(|word| {
            ["async", "const", "unsafe"].contains(&word) || word.starts_with('(') || word.ends_with(')') || word == "in"
        });
        if is_function && !is_for_tests {
            found.extend(words(name).next().map(str::to_owned));
        }
    }
    found
}
