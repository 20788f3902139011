//! Reading TOML text into the configuration's types, the way Traefik v1 does (docs/reference/static-configuration.md#toml), but talkative:
//! names match in any case, an unknown key becomes a warning that guesses what was meant, and a value of the wrong type
//! is shown in its line with what to write instead.

use serde::de::DeserializeOwned;

mod documents;
mod go_template;
mod invalid;
mod parse;
mod reader;
pub mod shape;
pub mod tree;

pub use documents::{Merged, dedicated, inline, merge};
pub use invalid::{InvalidConfig, Warning};

use invalid::SourceText;
use tree::Node;

/// A value together with what its reader did not understand.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedConfig<T> {
    pub value: T,
    /// In the order of the lines.
    pub warnings: Vec<Warning>,
}

/// Reads a whole TOML document; `file` is its name for messages.
///
/// # Errors
/// Broken TOML, or a value whose type is not the option's; the error's text shows the place.
pub fn read<T: DeserializeOwned>(text: &str, file: &str) -> Result<ParsedConfig<T>, InvalidConfig> {
    read_part(text, file, &[])
}

/// Like [`read`], for a document that holds other tables besides `T`'s: the top-level keys in `others` pass without a
/// warning, in any case.
pub fn read_part<T: DeserializeOwned>(
    text: &str,
    file: &str,
    others: &[&str],
) -> Result<ParsedConfig<T>, InvalidConfig> {
    let root = parse(text, file)?;
    read_tree(&root, text, file, others)
}

/// Parses a document without giving it a type yet, so that flags can be laid over it.
pub fn parse(text: &str, file: &str) -> Result<Node, InvalidConfig> {
    parse::parse(text).map_err(|broken| broken.show(&SourceText { text, file }))
}

/// Gives a parsed document its type. `text` is what `root` was parsed from, for showing lines.
pub fn read_tree<T: DeserializeOwned>(
    root: &Node,
    text: &str,
    file: &str,
    others: &[&str],
) -> Result<ParsedConfig<T>, InvalidConfig> {
    let source = SourceText { text, file };
    let notes = reader::UnknownKeys::default();
    let value =
        T::deserialize(reader::Reader::root(root.clone(), &notes, others)).map_err(|misfit| misfit.show(&source))?;
    let warnings = notes.into_warnings(&source);
    Ok(ParsedConfig { value, warnings })
}

#[cfg(test)]
mod tests;
