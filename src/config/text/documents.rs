//! The file provider's documents (dynamic.md 3.1): a dedicated file, the dynamic part of the main file, many files merged.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use crate::config::dynamic::Dynamic;
use crate::config::{Rejected, fixed};

use super::invalid::Source;
use super::{InvalidConfig, Read, read, read_part};

/// Reads a file that holds routes only.
///
/// # Errors
/// Besides what [`read`] refuses: Go template syntax, which Traefik would run and Ringway does not.
pub fn dedicated(text: &str, file: &str) -> Result<Read<Dynamic>, InvalidConfig> {
    if let Some(span) = template(text) {
        let message = "`{{` starts a Go template, and Ringway does not run templates in configuration files".to_owned();
        let help = "write the rendered text here, or render the file before Ringway reads it".to_owned();
        return Err(InvalidConfig::at(&Source { text, file }, span, message, help));
    }
    read(text, file)
}

/// Reads the backends, frontends and certificates out of the main file, where they stand among the fixed options.
/// Braces are ordinary text here, as in Traefik.
pub fn inline(text: &str, file: &str) -> Result<Read<Dynamic>, InvalidConfig> {
    let fixed: Vec<&str> = fixed::Fixed::shape().fields().collect();
    // The main file's unknown keys are reported once, by the reader of the fixed options.
    read_part(text, file, &fixed).map(|read| Read {
        warnings: read.warnings.into_iter().filter(|warning| warning.key.contains('.')).collect(),
        ..read
    })
}

/// What several files say together.
#[derive(Debug, Default, PartialEq)]
pub struct Merged {
    pub dynamic: Dynamic,
    /// Second definitions of a name.
    pub rejected: Vec<Rejected>,
}

/// Merges documents in their order: the first definition of a name wins, certificates add up.
pub fn merge(documents: impl IntoIterator<Item = (String, Dynamic)>) -> Merged {
    let mut merged = Merged::default();
    let mut owners = BTreeMap::new();
    for (file, document) in documents {
        let Merged { dynamic, rejected } = &mut merged;
        merge_names("backend", &file, document.backends, &mut dynamic.backends, &mut owners, rejected);
        merge_names("frontend", &file, document.frontends, &mut dynamic.frontends, &mut owners, rejected);
        dynamic.tls.extend(document.tls);
    }
    merged
}

fn merge_names<T>(
    kind: &'static str,
    file: &str,
    from: BTreeMap<String, T>,
    into: &mut BTreeMap<String, T>,
    owners: &mut BTreeMap<(&'static str, String), String>,
    rejected: &mut Vec<Rejected>,
) {
    for (name, value) in from {
        match owners.entry((kind, name.clone())) {
            Entry::Occupied(first) => rejected.push(Rejected {
                provider: "file".to_owned(),
                name: format!("{kind} {name} in {file}"),
                reason: format!("{} already defines a {kind} of this name: rename one of them", first.get()),
            }),
            Entry::Vacant(free) => {
                free.insert(file.to_owned());
                into.insert(name, value);
            }
        }
    }
}

/// Finds `{{` outside comments.
fn template(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut quote: Option<&[u8]> = None;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(b"{{") {
            return Some(at..at + 2);
        }
        at += match quote {
            None if rest[0] == b'#' => rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()),
            None => match opening(rest) {
                Some(opened) => {
                    quote = Some(opened);
                    opened.len()
                }
                None => 1,
            },
            Some(open) if open[0] == b'"' && rest[0] == b'\\' && !rest[1..].starts_with(b"{{") => 2,
            Some(open) if rest.starts_with(open) => {
                quote = None;
                open.len()
            }
            // A one-line string that never ends is broken TOML: start afresh, so that no comment hides behind it.
            Some(open) if open.len() == 1 && rest[0] == b'\n' => {
                quote = None;
                1
            }
            Some(_) => 1,
        };
    }
    None
}

fn opening(rest: &[u8]) -> Option<&'static [u8]> {
    let quotes: [&'static [u8]; 4] = [b"\"\"\"", b"'''", b"\"", b"'"];
    quotes.into_iter().find(|quote| rest.starts_with(quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_syntax_is_found_outside_comments() {
        for (text, found) in [
            ("a = \"x\" # {{ no }}\n", None),
            ("# {{\nb = 1\n", None),
            ("a = \"# {{ yes }}\"", Some(7)),
            ("a = 'C:\\' # {{ no", None),
            ("a = \"\\\"# {{\"", Some(9)),
            ("a = \"\\\\\" # {{", None),
            ("a = '''\n# {{'''", Some(10)),
            ("{{ range }}", Some(0)),
            ("rule = \"HostRegexp:{name:[a-z]+}.test\"", None),
            ("a = \"open\nb = 1 # {{", None),
        ] {
            assert_eq!(template(text).map(|span| span.start), found, "{text:?}");
        }
    }

    #[test]
    fn the_first_definition_wins_and_certificates_add_up() {
        let first =
            dedicated("[backends.b.servers.s]\nurl='http://1'\n[[tls]]\n[tls.certificate]\ncertFile='x'", "a.toml");
        let second = dedicated("[backends.b.servers.s]\nurl='http://2'\n[backends.c]\n[[tls]]\n", "b.toml");
        let documents = [("a.toml", first), ("b.toml", second)]
            .map(|(file, read)| (file.to_owned(), read.expect("both files are valid").value));
        let merged = merge(documents);
        assert_eq!(merged.dynamic.backends["b"].servers["s"].url, "http://1");
        assert_eq!(merged.dynamic.backends.len(), 2);
        assert_eq!(merged.dynamic.tls.len(), 2);
        assert_eq!(merged.rejected.len(), 1);
        assert_eq!(merged.rejected[0].name, "backend b in b.toml");
    }
}
