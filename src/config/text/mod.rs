//! Reads TOML text into the configuration's types by Traefik v1's rules (docs/reference/static-configuration.md#toml): option
//! names match in any case. Other than Traefik, it reports mistakes: an unknown key gives a warning with the name that was
//! probably meant, and a value of the wrong type gives an error that shows its line and what to write instead.

use serde::de::DeserializeOwned;

mod decode;
mod documents;
mod go_template;
mod invalid;
mod locate;
mod parse;
mod reader;
pub mod shape;
pub mod tree;

pub use decode::decode;
pub use documents::{FileDocument, Merged, dedicated, inline, merge, parse_dedicated};
pub use invalid::{InvalidConfig, Warning};
pub use locate::{LocatedFile, locate, locate_name};

use invalid::SourceText;
use tree::Node;

/// A parsed configuration with the warnings about its unknown keys.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedConfig<T> {
    pub value: T,
    /// Sorted by line.
    pub warnings: Vec<Warning>,
}

/// Reads a whole TOML document; `file` is its name for messages.
///
/// # Errors
/// Broken TOML, or a value of another type than its option's. The error's text shows file, line and column.
pub fn read<T: DeserializeOwned>(text: &str, file: &str) -> Result<ParsedConfig<T>, InvalidConfig> {
    read_part(text, file, &[])
}

/// Like [`read`], for a document that also holds tables of another type: the top-level keys in `other_keys` (in any case)
/// give no warning.
pub fn read_part<T: DeserializeOwned>(
    text: &str,
    file: &str,
    other_keys: &[&str],
) -> Result<ParsedConfig<T>, InvalidConfig> {
    let root = parse(text, file)?;
    read_tree(&root, text, file, other_keys)
}

/// Parses a document into a tree, in which flags can replace values before [`read_tree`] checks the types.
pub fn parse(text: &str, file: &str) -> Result<Node, InvalidConfig> {
    parse::parse(text).map_err(|mismatch| mismatch.into_error(&SourceText { text, file }))
}

/// Deserializes a parsed document. `text` is the text that `root` was parsed from: error messages show its lines.
pub fn read_tree<T: DeserializeOwned>(
    root: &Node,
    text: &str,
    file: &str,
    other_keys: &[&str],
) -> Result<ParsedConfig<T>, InvalidConfig> {
    let source = SourceText { text, file };
    let unknown_keys = reader::UnknownKeys::default();
    let value = T::deserialize(reader::Reader::root(root.clone(), &unknown_keys, other_keys))
        .map_err(|mismatch| mismatch.into_error(&source))?;
    let warnings = unknown_keys.into_warnings(&source);
    Ok(ParsedConfig { value, warnings })
}

#[cfg(test)]
mod tests;
