//! COMPAT.md: every key and label of the code has its row there.

use std::collections::BTreeSet;
use std::fs;

use crate::source::{backquoted, root, sources, string_literals};

#[test]
fn every_label_has_a_row() {
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
fn every_static_key_has_a_row() {
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
fn rows_have_a_known_state_and_a_note_if_not_done() {
    for [key, state, note] in compat_rows() {
        assert!(["done", "differs", "refused", "not yet"].contains(&state.as_str()), "unknown state {state}: {key}");
        assert!(state == "done" || !note.is_empty(), "a row that is not done needs a note: {key}");
    }
}

/// The rows of COMPAT.md: key without backquotes, state, note.
pub fn compat_rows() -> Vec<[String; 3]> {
    let compat = fs::read_to_string(root().join("COMPAT.md")).expect("COMPAT.md");
    let lines = compat.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 3, "key | state | note: {line}");
        [cells[0].replace('`', ""), cells[1].to_owned(), cells[2].trim_end_matches('|').trim().to_owned()]
    };
    lines.map(row).collect()
}

/// The keys of COMPAT.md, in lower case.
fn compat_keys() -> BTreeSet<String> {
    let compat = fs::read_to_string(root().join("COMPAT.md")).expect("COMPAT.md");
    let rows = compat.lines().filter(|line| line.starts_with("| `"));
    let keys: BTreeSet<String> = rows.flat_map(backquoted).map(|key| key.to_lowercase()).collect();
    assert!(keys.len() > 200, "COMPAT.md has only {} keys", keys.len());
    keys
}
