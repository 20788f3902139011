//! Functions that are public, and that only tests call: each of them is connected, or removed, or listed here with its reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{sources, words};

/// Functions that no code of the program calls, each with its reason.
const EXCEPTIONS: [(&str, &str); 10] = [
    ("alpn_challenge", "the certificate of tls-alpn-01, a challenge that is not supported yet"),
    ("auth_label", "tests and fuzz targets make a BasicAuth with the label that the compiler gives it"),
    ("backend_closed", "as backend_opened"),
    (
        "backend_opened",
        "not connected yet: traefik_backend_open_connections stays 0, and docs/reference/metrics.md says so",
    ),
    ("for_listener", "not connected yet: a client without SNI gets the default certificate"),
    ("is_resumed", "tests/tls.rs sees with it that sessions are resumed"),
    ("reload_failed", "not connected yet: the failure metrics stay 0, and docs/reference/metrics.md says so"),
    ("respond", "tests/observe checks routing and response of the internal routes in one call"),
    ("user_names", "tests see with it which users a list came to"),
    ("write_plain_parts", "tests/tls.rs writes as the TLS stream does, without a socket"),
];

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
        .filter(|(name, _)| !EXCEPTIONS.iter().any(|(exception, _)| exception == name))
        .map(|(name, (_, files))| format!("{name} in {files:?}"))
        .collect();
    assert!(unused.is_empty(), "public functions that only tests call: {unused:#?}");
}

#[test]
fn every_exception_is_still_needed() {
    let sources = sources();
    let defined: BTreeSet<String> = sources.iter().flat_map(|source| public_functions(&source.code)).collect();
    let uses = |name: &str| sources.iter().flat_map(|source| words(&source.code)).filter(|word| *word == name).count();
    for (name, reason) in EXCEPTIONS {
        assert!(!reason.is_empty() && defined.contains(name), "{name} is no public function any more");
        let definitions =
            sources.iter().flat_map(|source| public_functions(&source.code)).filter(|found| found == name);
        assert!(uses(name) <= definitions.count(), "{name} is called by the program now: remove it from the list");
    }
}

fn public_functions(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut previous = "";
    for line in code.lines() {
        let line = line.trim_start();
        let is_for_tests = std::mem::replace(&mut previous, line) == "#[cfg(test)]";
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
