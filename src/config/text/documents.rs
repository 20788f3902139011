//! The file provider's documents (docs/reference/providers.md#file): a dedicated file, the dynamic part of the main file, many files merged.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::config::dynamic::DynamicConfig;
use crate::config::{Rejected, Severity, static_config};

use super::go_template::rendered;
use super::invalid::SourceText;
use super::{InvalidConfig, ParsedConfig, read, read_part};

/// Reads a file that holds routes only.
///
/// # Errors
/// Besides what [`read`] refuses: Go template syntax other than quoted text, which Traefik would run and Ringway does not.
pub fn dedicated(text: &str, file: &str) -> Result<ParsedConfig<DynamicConfig>, InvalidConfig> {
    let rendered = rendered(text).map_err(|span| {
        let message = "`{{` starts a Go template, and Ringway does not run templates in configuration files".to_owned();
        let help = "write the rendered text here, or render the file before Ringway reads it; braces that are meant as such are \
                    written {{ \"{{\" }}"
            .to_owned();
        InvalidConfig::at(&SourceText { text, file }, span, message, help)
    })?;
    read(&rendered, file)
}

/// Reads the backends, frontends and certificates out of the main file, where they stand among the fixed options.
/// Braces are ordinary text here, as in Traefik.
pub fn inline(text: &str, file: &str) -> Result<ParsedConfig<DynamicConfig>, InvalidConfig> {
    let fixed: Vec<&str> = static_config::StaticConfig::shape().fields().collect();
    // The main file's unknown keys are reported once, by the reader of the fixed options.
    read_part(text, file, &fixed).map(|read| ParsedConfig {
        warnings: read.warnings.into_iter().filter(|warning| warning.key.contains('.')).collect(),
        ..read
    })
}

/// What several files say together.
#[derive(Debug, Default, PartialEq)]
pub struct Merged {
    pub dynamic: DynamicConfig,
    /// Second definitions of a name.
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
            Entry::Occupied(first) => rejected.push(Rejected {
                provider: "file".to_owned(),
                name: format!("{kind} {name} in {file}"),
                reason: format!("{} already defines a {kind} of this name: rename one of them", first.get()),
                severity: Severity::Rejected,
                bound: None,
            }),
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
    fn the_first_definition_wins_and_certificates_add_up() {
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
