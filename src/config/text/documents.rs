//! The documents of the file provider (docs/reference/providers.md#file): a dedicated file, the dynamic part of the main file,
//! or several files merged.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::config::dynamic::DynamicConfig;
use crate::config::{Rejected, Severity, static_config};
use crate::diagnostics::{Code, Diagnostic};

use super::go_template::replace_quoted_text;
use super::invalid::SourceText;
use super::tree::Node;
use super::{InvalidConfig, ParsedConfig, parse, read, read_part};

/// Reads a file that holds dynamic configuration only.
///
/// # Errors
/// The errors of [`read`], and Go template syntax other than quoted text: Traefik runs templates, Ringway does not.
pub fn dedicated(text: &str, file: &str) -> Result<ParsedConfig<DynamicConfig>, InvalidConfig> {
    read(&rendered(text, file)?, file)
}

/// Parses a file that holds dynamic configuration only, without reading it into its type.
///
/// # Errors
/// Broken TOML, and Go template syntax other than quoted text.
pub fn parse_dedicated(text: &str, file: &str) -> Result<Node, InvalidConfig> {
    parse(&rendered(text, file)?, file)
}

fn rendered<'t>(text: &'t str, file: &str) -> Result<Cow<'t, str>, InvalidConfig> {
    replace_quoted_text(text).map_err(|span| {
        let message = "`{{` starts a Go template, and Ringway does not run templates in configuration files".to_owned();
        let help = "write the rendered text here, or render the file before Ringway reads it; literal braces are \
                    written {{ \"{{\" }}"
            .to_owned();
        InvalidConfig::at(&SourceText { text, file }, span, Code::GoTemplate, message, help)
    })
}

/// Reads the backends, frontends and certificates of the main file, which also holds the static configuration. Braces are
/// ordinary text here, as in Traefik.
pub fn inline(text: &str, file: &str) -> Result<ParsedConfig<DynamicConfig>, InvalidConfig> {
    let static_keys: Vec<&str> = static_config::StaticConfig::shape().fields().collect();
    // Unknown top-level keys are not reported here: the reader of the static configuration reports them.
    read_part(text, file, &static_keys).map(|read| ParsedConfig {
        warnings: read.warnings.into_iter().filter(|warning| warning.key.contains('.')).collect(),
        ..read
    })
}

/// The documents of several files merged into one.
#[derive(Debug, Default, PartialEq)]
pub struct Merged {
    pub dynamic: DynamicConfig,
    /// Every definition of a name but the first.
    pub rejected: Vec<Rejected>,
}

/// Merges documents in their order: the first definition of a name wins, certificates add up.
pub fn merge(documents: impl IntoIterator<Item = (String, DynamicConfig)>) -> Merged {
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
            Entry::Occupied(first) => rejected.push(Rejected::new(
                "file",
                format!("{kind} {name} in {file}"),
                Severity::Rejected,
                Diagnostic::new(
                    Code::DuplicateName,
                    "",
                    format!("{} already defines a {kind} of this name: rename one of them", first.get()),
                ),
            )),
            Entry::Vacant(free) => {
                free.insert(file.to_owned());
                into.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_keeps_first_definition_and_all_certificates() {
        let first =
            dedicated("[backends.b.servers.s]\nurl='http://1'\n[[tls]]\n[tls.certificate]\ncertFile='x'", "a.toml");
        let second = dedicated("[backends.b.servers.s]\nurl='http://2'\n[backends.c]\n[[tls]]\n", "b.toml");
        let documents = [("a.toml", first), ("b.toml", second)]
            .map(|(file, read)| (file.to_owned(), read.expect("both files are valid").value));
        let merged = merge(documents);
        assert_eq!(merged.dynamic.backends["b"].servers.get("s").unwrap().url, "http://1");
        assert_eq!(merged.dynamic.backends.len(), 2);
        assert_eq!(merged.dynamic.tls.len(), 2);
        assert_eq!(merged.rejected.len(), 1);
        assert_eq!(merged.rejected[0].name, "backend b in b.toml");
    }
}
