//! Lays the static configuration of a key-value store over that of file and flags: the store wins
//! (docs/reference/command-line.md#sources-and-precedence).

use super::{CliError, Invocation};
use crate::config::static_config::{self, DYNAMIC_TABLES, StaticConfig};
use crate::config::text;
use crate::config::text::shape::Shape;
use crate::config::text::tree::{Node, Value};

impl Invocation {
    /// The same invocation with the options of `stored` on top.
    ///
    /// # Errors
    /// A value of the wrong type.
    pub fn with_stored(mut self, stored: Node) -> Result<Invocation, CliError> {
        lay_over(&mut self.tree, stored, &StaticConfig::shape());
        let name = self.file.as_deref().map_or_else(String::new, |file| file.display().to_string());
        let parsed = text::read_tree::<StaticConfig>(&self.tree, &self.file_text, &name, &DYNAMIC_TABLES)?;
        self.static_config = parsed.value;
        // What file and flags were warned about is in the list already.
        for sentence in self.static_config.resolve() {
            let finding = static_config::remark(&sentence);
            if self.findings.iter().all(|known| known.message != finding.message) {
                self.findings.push(finding);
            }
        }
        Ok(self)
    }
}

/// Tables are merged option by option; other values replace what is there.
fn lay_over(below: &mut Node, above: Node, shape: &Shape) {
    let Value::Table(above) = above.value else {
        *below = above;
        return;
    };
    let Some(table) = below.as_table_mut() else {
        below.value = Value::Table(above);
        return;
    };
    for entry in above.entries {
        let is_map = matches!(shape, Shape::Map(_));
        let inner = match shape {
            Shape::Map(inner) => inner.as_ref(),
            _ => shape.field(&entry.name).map_or(&Shape::Text, |(_, inner)| inner),
        };
        let has_table = table.option(&entry.name).is_some_and(|node| node.as_table().is_some());
        let is_same_name = !is_map || table.entries.iter().any(|below| below.name == entry.name);
        if has_table && is_same_name && matches!(entry.node.value, Value::Table(_)) {
            lay_over(table.option_or_table(&entry.name, &entry.origin), entry.node, inner);
        } else if is_map {
            table.set_key(&entry.name, entry.node);
        } else {
            table.set_option(&entry.name, entry.node);
        }
    }
}
