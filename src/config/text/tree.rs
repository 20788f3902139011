//! A parsed document that remembers where each value was written: in a file's bytes, or by a flag.

use std::ops::Range;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceLocation {
    /// Byte range in the file's text.
    File(Range<usize>),
    /// The flag with its dashes, e.g. `--api.dashboard`.
    Flag(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub value: Value,
    pub origin: SourceLocation,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// No option has this type; messages show the text.
    Datetime(String),
    List(Vec<Node>),
    Table(Table),
}

/// Named values. No two names are equal byte for byte, but two names may differ in case only.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub name: String,
    /// Where the name was written.
    pub origin: SourceLocation,
    pub node: Node,
}

impl Node {
    /// A value given on the command line.
    pub fn from_flag(value: Value, flag: &str) -> Node {
        Node { value, origin: SourceLocation::Flag(flag.to_owned()) }
    }

    /// An empty document.
    pub fn empty() -> Node {
        Node { value: Value::Table(Table::default()), origin: SourceLocation::File(0..0) }
    }

    pub fn as_table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }
}

impl Table {
    /// Finds an option's value: by its exact name, else by its name in another case.
    pub fn option(&self, name: &str) -> Option<&Node> {
        self.position(name).map(|at| &self.entries[at].node)
    }

    /// Sets an option and removes its earlier values, whatever their case.
    pub fn set_option(&mut self, name: &str, node: Node) {
        self.entries.retain(|entry| !entry.name.eq_ignore_ascii_case(name));
        self.set_key(name, node);
    }

    /// Sets a key of a map, where case matters.
    pub fn set_key(&mut self, name: &str, node: Node) {
        self.entries.retain(|entry| entry.name != name);
        let origin = node.origin.clone();
        self.entries.push(Entry { name: name.to_owned(), origin, node });
    }

    /// Returns the option's value, after inserting an empty table if the option is absent.
    pub fn option_or_table(&mut self, name: &str, origin: &SourceLocation) -> &mut Node {
        let at = self.position(name).unwrap_or_else(|| {
            let node = Node { value: Value::Table(Table::default()), origin: origin.clone() };
            self.entries.push(Entry { name: name.to_owned(), origin: origin.clone(), node });
            self.entries.len() - 1
        });
        &mut self.entries[at].node
    }

    fn position(&self, name: &str) -> Option<usize> {
        let exact = self.entries.iter().position(|entry| entry.name == name);
        exact.or_else(|| self.entries.iter().position(|entry| entry.name.eq_ignore_ascii_case(name)))
    }
}
