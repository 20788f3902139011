//! From keys to the document tree that the configuration's types are read from. The type of an option says how its text is read.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::value::decode_value;
use crate::config::labels::values::{parse_bool, split_list};
use crate::config::text;
use crate::config::text::shape::Shape;
use crate::config::text::tree::{Entry, Node, SourceLocation, Table, Value};
use crate::diagnostics::suggest::did_you_mean;

/// A key that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProblem {
    /// The key below its object, as `servers/s/weight`.
    pub key: String,
    pub reason: String,
}

/// Keys as a tree, split at their slashes.
#[derive(Debug, Default)]
pub(super) struct KeyNode {
    /// The key's own value, decoded.
    pub value: Option<String>,
    pub children: BTreeMap<String, KeyNode>,
}

impl KeyNode {
    /// Builds the tree of an object's keys.
    pub fn new(keys: &BTreeMap<&str, &[u8]>) -> Result<KeyNode, KeyProblem> {
        let mut root = KeyNode::default();
        for (key, bytes) in keys {
            let value = decode_value(bytes).map_err(|reason| KeyProblem { key: (*key).to_owned(), reason })?;
            let mut node = &mut root;
            for part in key.split('/').filter(|part| !part.is_empty()) {
                node = node.children.entry(part.to_owned()).or_default();
            }
            node.value = Some(value);
        }
        Ok(root)
    }

    /// The child of this name in any case; the spelling in lower case counts, which is the current one.
    pub fn child(&self, name: &str) -> Option<&KeyNode> {
        let lower = name.to_ascii_lowercase();
        self.children.get(&lower).or_else(|| self.spellings(&lower).next().map(|(_, child)| child))
    }

    /// The value of the child of this name, if it is not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.child(name)?.value.as_deref().filter(|text| !text.is_empty())
    }

    /// The children whose name is `lower` in another case. A dot before the name is ignored: Traefik v1 reads
    /// `auth/forward/.authresponseheaders`.
    fn spellings<'n>(&'n self, lower: &str) -> impl Iterator<Item = (&'n String, &'n KeyNode)> {
        self.children.iter().filter(move |(name, _)| name.trim_start_matches('.').eq_ignore_ascii_case(lower))
    }

    /// The children in the order of their numbers, else of their names.
    pub fn items(&self) -> Vec<(&String, &KeyNode)> {
        let mut items: Vec<_> = self.children.iter().collect();
        items.sort_by_key(|(name, _)| name.parse::<u64>().unwrap_or(u64::MAX));
        items
    }
}

/// Reads an object's keys into its type. Adds keys that no option has to `unknown`.
pub(super) fn read_object<T: DeserializeOwned>(
    keys: &KeyNode,
    shape: &Shape,
    unknown: &mut Vec<KeyProblem>,
) -> Result<T, KeyProblem> {
    let node = table(keys, shape, "", unknown)?;
    let read = text::read_tree(&node, "", "", &[]);
    read.map(|read| read.value)
        .map_err(|error| KeyProblem { key: error.file.clone(), reason: format!("{}: {}", error.message, error.help) })
}

/// The static configuration in a prefix, as a document that can be laid over the file's. Keys of the dynamic configuration are ignored.
///
/// # Errors
/// The first key that cannot be used.
pub fn static_node(
    keys: &BTreeMap<&str, &[u8]>,
    shape: &Shape,
    unknown: &mut Vec<KeyProblem>,
) -> Result<Node, KeyProblem> {
    let is_static = |key: &&str| {
        let first = key.split('/').next().unwrap_or_default();
        !first.eq_ignore_ascii_case("alias") && shape.field(first).is_some()
    };
    let keys = keys.iter().filter(|(key, _)| is_static(key)).map(|(key, value)| (*key, *value)).collect();
    table(&KeyNode::new(&keys)?, shape, "", unknown)
}

/// A table's options: each child whose name an option has.
fn table(keys: &KeyNode, shape: &Shape, path: &str, unknown: &mut Vec<KeyProblem>) -> Result<Node, KeyProblem> {
    let mut table = Table::default();
    for (name, child) in &keys.children {
        let key = join(path, name);
        let Some((field, inner)) = shape.field(name.trim_start_matches('.')) else {
            let nearest = did_you_mean(name, shape.fields());
            let hint = nearest
                .map_or("it is ignored".to_owned(), |near| format!("did you mean {}?", near.to_ascii_lowercase()));
            unknown.push(KeyProblem { reason: format!("unknown key {key}: {hint}"), key });
            continue;
        };
        // A deprecated spelling beside the current one.
        let is_other = |(other, _): (&String, _)| other != name && *other == field.to_ascii_lowercase();
        if keys.spellings(&field.to_ascii_lowercase()).any(is_other) {
            continue;
        }
        if let Some(node) = node(child, inner, &key, unknown)? {
            table.entries.push(Entry { name: field.to_owned(), origin: node.origin.clone(), node });
        }
    }
    Ok(at(path, Value::Table(table)))
}

/// The value of an option; `None` if the key says nothing.
fn node(keys: &KeyNode, shape: &Shape, key: &str, unknown: &mut Vec<KeyProblem>) -> Result<Option<Node>, KeyProblem> {
    let text = keys.value.as_deref();
    Ok(match shape {
        Shape::Table(_) => match (text, keys.children.is_empty()) {
            // An empty value, or one of a key with a slash at its end, switches a table on with its defaults. `true` is the form of a bare
            // flag, and of `loadbalancer/stickiness`.
            (Some(text), is_leaf) if !text.is_empty() || is_leaf => match parse_bool(text) {
                _ if text.is_empty() => Some(table(keys, shape, key, unknown)?),
                Some(true) => Some(table(keys, shape, key, unknown)?),
                Some(false) => None,
                None => return Err(problem(key, "this is a table: write true, or keys below it")),
            },
            _ => Some(table(keys, shape, key, unknown)?),
        },
        Shape::Map(inner) if !shape.is_raw_table() => {
            let mut entries = Table::default();
            for (name, child) in &keys.children {
                if let Some(node) = node(child, inner, &join(key, name), unknown)? {
                    entries.entries.push(Entry { name: name.clone(), origin: node.origin.clone(), node });
                }
            }
            Some(at(key, Value::Table(entries)))
        }
        Shape::Map(_) => Some(at(key, Value::Table(Table::default()))),
        Shape::List(item) => Some(at(key, Value::List(list(keys, item, key, unknown)?))),
        Shape::Text | Shape::Duration => text.map(|text| at(key, Value::Text(text.to_owned()))),
        Shape::Bool | Shape::Integer | Shape::Float => match text.map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => Some(at(key, scalar(text, shape, key)?)),
            None => None,
        },
    })
}

/// A list is a value with commas, or numbered keys.
fn list(keys: &KeyNode, item: &Shape, key: &str, unknown: &mut Vec<KeyProblem>) -> Result<Vec<Node>, KeyProblem> {
    let text = keys.value.as_deref().unwrap_or_default();
    let parts = split_list(text);
    if !parts.is_empty() {
        let scalars = parts.into_iter().map(|part| Ok(at(key, scalar(part, item, key)?)));
        return scalars.collect();
    }
    let mut items = Vec::new();
    for (name, child) in keys.items() {
        // An empty text is no item, as in Traefik.
        let is_empty = child.children.is_empty() && child.value.as_deref().is_none_or(str::is_empty);
        if !is_empty && let Some(node) = node(child, item, &join(key, name), unknown)? {
            items.push(node);
        }
    }
    Ok(items)
}

fn scalar(text: &str, shape: &Shape, key: &str) -> Result<Value, KeyProblem> {
    Ok(match shape {
        Shape::Bool => match parse_bool(text) {
            Some(flag) => Value::Bool(flag),
            None => return Err(problem(key, "neither true nor false: write one of them")),
        },
        Shape::Integer => match text.parse() {
            Ok(number) => Value::Integer(number),
            Err(_) => return Err(problem(key, "no whole number: write digits only")),
        },
        Shape::Float => match text.parse() {
            Ok(number) => Value::Float(number),
            Err(_) => return Err(problem(key, "no number: write one such as 0.3")),
        },
        Shape::Table(_) | Shape::Map(_) | Shape::List(_) => {
            return Err(problem(key, "this list has tables: write them below numbered keys"));
        }
        Shape::Text | Shape::Duration => Value::Text(text.to_owned()),
    })
}

fn at(key: &str, value: Value) -> Node {
    Node { value, origin: SourceLocation::Flag(key.to_owned()) }
}

fn problem(key: &str, reason: &str) -> KeyProblem {
    KeyProblem { key: key.to_owned(), reason: reason.to_owned() }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}
