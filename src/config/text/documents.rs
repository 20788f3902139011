//! The documents of the file provider (docs/reference/providers.md#file): a dedicated file, the dynamic part of the main file,
//! or several files merged.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use crate::config::dynamic::{Backend, DynamicConfig, Frontend, TlsEntry};
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

/// The document of one of many files. A map of one entry has space for eleven, so the objects are lists.
#[derive(Debug, Clone)]
pub struct FileDocument {
    backends: Box<[(String, Backend)]>,
    frontends: Box<[(String, Frontend)]>,
    tls: Vec<TlsEntry>,
}

impl From<DynamicConfig> for FileDocument {
    fn from(document: DynamicConfig) -> Self {
        FileDocument {
            backends: document.backends.into_iter().collect(),
            frontends: document.frontends.into_iter().collect(),
            tls: document.tls,
        }
    }
}

/// Merges the documents of files, each with the file's name, in their order: the first definition of a name wins, certificates add up.
pub fn merge<'d>(documents: impl IntoIterator<Item = (&'d str, &'d FileDocument)>) -> Merged {
    let (mut backends, mut frontends) = (MergedObjects::new("backend"), MergedObjects::new("frontend"));
    let (mut tls, mut rejected) = (Vec::new(), Vec::new());
    for (file, document) in documents {
        backends.merge(file, &document.backends, &mut rejected);
        frontends.merge(file, &document.frontends, &mut rejected);
        tls.extend(document.tls.iter().cloned());
    }
    let dynamic = DynamicConfig { backends: backends.into_map(), frontends: frontends.into_map(), tls };
    Merged { dynamic, rejected }
}

/// The objects of one kind, each with its name.
struct MergedObjects<'d, T> {
    kind: &'static str,
    /// The first file that defines each name.
    owners: HashMap<&'d str, &'d str>,
    objects: Vec<&'d (String, T)>,
}

impl<'d, T: Clone> MergedObjects<'d, T> {
    fn new(kind: &'static str) -> Self {
        MergedObjects { kind, owners: HashMap::new(), objects: Vec::new() }
    }

    fn merge(&mut self, file: &'d str, objects: &'d [(String, T)], rejected: &mut Vec<Rejected>) {
        let kind = self.kind;
        for object in objects {
            let name = object.0.as_str();
            match self.owners.entry(name) {
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
                    free.insert(file);
                    self.objects.push(object);
                }
            }
        }
    }

    /// Copies the objects into a map. A map that is made at once has full nodes.
    fn into_map(self) -> BTreeMap<String, T> {
        self.objects.into_iter().cloned().collect()
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
        let [first, second] = [first, second].map(|read| FileDocument::from(read.expect("both files are valid").value));
        let merged = merge([("a.toml", &first), ("b.toml", &second)]);
        assert_eq!(merged.dynamic.backends["b"].servers.get("s").unwrap().url, "http://1");
        assert_eq!(merged.dynamic.backends.len(), 2);
        assert_eq!(merged.dynamic.tls.len(), 2);
        assert_eq!(merged.rejected.len(), 1);
        assert_eq!(merged.rejected[0].name, "backend b in b.toml");
    }
}
