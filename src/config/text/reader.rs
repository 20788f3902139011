//! The serde deserializer of a [`Node`] tree: matches option names in any case and records unknown keys.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::invalid::{SourceText, TypeMismatch, Warning};
use super::tree::{Entry, Node, SourceLocation, Table, Value};
use crate::diagnostics::suggest::did_you_mean;

/// Unknown keys met while reading.
#[derive(Default)]
pub(super) struct UnknownKeys(RefCell<Vec<Unknown>>);

struct Unknown {
    key: String,
    nearest: Option<String>,
    span: Range<usize>,
}

impl UnknownKeys {
    pub fn into_warnings(self, source: &SourceText<'_>) -> Vec<Warning> {
        let mut unknown = self.0.into_inner();
        unknown.sort_by_key(|key| key.span.start);
        // The keys are sorted, so that one pass through the text finds the lines of all of them.
        let (mut line, mut rest) = (1, source.text.as_bytes());
        let mut to_warning = |Unknown { key, nearest, span }| {
            let passed = source.text.len() - rest.len();
            let (before, after) = rest.split_at_checked(span.start.saturating_sub(passed)).unwrap_or((rest, &[]));
            line += memchr::memchr_iter(b'\n', before).count();
            rest = after;
            Warning { file: source.file.to_owned(), line, key, nearest, place: source.place_on(line, span) }
        };
        unknown.into_iter().map(&mut to_warning).collect()
    }

    fn record(&self, key: String, entry: &Entry, fields: &[&str], other_keys: &[&str]) {
        // An unknown flag is rejected before it becomes a node, so the key is in a file.
        let SourceLocation::File(span) = &entry.origin else { return };
        let nearest = did_you_mean(&entry.name, fields.iter().chain(other_keys).copied()).map(str::to_owned);
        self.0.borrow_mut().push(Unknown { key, nearest, span: span.clone() });
    }
}

/// Deserializes one value.
pub(super) struct Reader<'n> {
    node: Node,
    /// Dotted path from the root; empty at the root.
    key: String,
    unknown_keys: &'n UnknownKeys,
    /// Keys at the root that belong to another reader.
    other_keys: &'n [&'n str],
}

impl<'n> Reader<'n> {
    pub fn root(node: Node, unknown_keys: &'n UnknownKeys, other_keys: &'n [&'n str]) -> Self {
        Reader { node, key: String::new(), unknown_keys, other_keys }
    }

    fn wrong_type<T>(&self, expected: &str, help: &str) -> Result<T, TypeMismatch> {
        Err(TypeMismatch::wrong_type(expected, help, &self.node.value).locate(&self.key, &self.node.origin))
    }

    /// Matches each entry with a field: by its exact name, else by its name in another case. Records entries without a field.
    fn match_fields(&self, table: Table, fields: &'static [&'static str]) -> Result<Vec<NamedEntry>, TypeMismatch> {
        let mut matched = NamedEntries::default();
        for entry in table.entries {
            let exact = fields.iter().find(|field| **field == entry.name);
            match exact.or_else(|| fields.iter().find(|field| field.eq_ignore_ascii_case(&entry.name))) {
                Some(field) => self.add(&mut matched, (*field).to_owned(), entry)?,
                None if self.other_keys.iter().any(|other| other.eq_ignore_ascii_case(&entry.name)) => {}
                None => self.unknown_keys.record(join(&self.key, &entry.name), &entry, fields, self.other_keys),
            }
        }
        Ok(matched.entries)
    }

    /// Collects a map's entries under their own names.
    fn map_entries(&self, table: Table) -> Result<Vec<NamedEntry>, TypeMismatch> {
        let mut named = NamedEntries::default();
        for entry in table.entries {
            self.add(&mut named, entry.name.clone(), entry)?;
        }
        Ok(named.entries)
    }

    /// Adds an entry. Two tables of one name are merged, as in Traefik: their names differ in case only. Two values of one name
    /// are an error.
    fn add(&self, named: &mut NamedEntries, name: String, entry: Entry) -> Result<(), TypeMismatch> {
        let Some(&at) = named.positions.get(&name) else {
            named.positions.insert(name.clone(), named.entries.len());
            named.entries.push((name, entry));
            return Ok(());
        };
        let first = &mut named.entries[at].1;
        match (&mut first.node.value, entry.node.value) {
            (Value::Table(first), Value::Table(second)) => first.entries.extend(second.entries),
            _ => {
                let (key, other) = (join(&self.key, &entry.name), join(&self.key, &first.name));
                return Err(TypeMismatch::duplicate_option(&key, &other, &entry.origin));
            }
        }
        Ok(())
    }

    fn into_items(self, items: Vec<Node>) -> Items<'n> {
        Items { key: self.key, unknown_keys: self.unknown_keys, items: items.into_iter().enumerate() }
    }

    fn into_entries(self, entries: Vec<NamedEntry>) -> Entries<'n> {
        Entries { key: self.key, unknown_keys: self.unknown_keys, remaining: entries.into_iter(), value: None }
    }

    /// Takes the value and leaves an empty text in its place.
    fn take_value(&mut self) -> Value {
        std::mem::replace(&mut self.node.value, Value::Text(String::new()))
    }
}

/// An entry with the name of its field, or of its key in a map.
type NamedEntry = (String, Entry);

/// Entries in the order of the document, with their positions by name: a file may hold thousands of backends.
#[derive(Default)]
struct NamedEntries {
    entries: Vec<NamedEntry>,
    positions: HashMap<String, usize>,
}

fn join(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

const HELP_TABLE: &str = "write it as a table: `[name]`, or `name = { key = value }`";

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = TypeMismatch;

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, TypeMismatch> {
        let (key, origin) = (self.key.clone(), self.node.origin.clone());
        match self.take_value() {
            Value::Text(text) | Value::Datetime(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::List(items) => visitor.visit_seq(self.into_items(items)),
            Value::Table(table) => {
                let entries = self.map_entries(table)?;
                visitor.visit_map(self.into_entries(entries))
            }
        }
        .map_err(|mismatch| mismatch.locate(&key, &origin))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeMismatch> {
        match self.node.value {
            Value::Bool(flag) => visitor.visit_bool(flag),
            _ => self.wrong_type("true or false", "write true or false, without quotes"),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeMismatch> {
        match self.node.value {
            Value::Integer(number) => visitor.visit_i64(number),
            _ => self.wrong_type("a whole number", "write digits only, without quotes"),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeMismatch> {
        match self.node.value {
            Value::Float(number) => visitor.visit_f64(number),
            Value::Integer(number) => visitor.visit_f64(number as f64),
            _ => self.wrong_type("a number", "write a number such as 0.3, without quotes"),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeMismatch> {
        match &self.node.value {
            Value::Text(text) => visitor.visit_str(text),
            _ => self.wrong_type("a text", "put it in quotes"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeMismatch> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeMismatch> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, TypeMismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, TypeMismatch> {
        match self.take_value() {
            Value::List(items) => visitor.visit_seq(self.into_items(items)),
            other => {
                self.node.value = other;
                self.wrong_type("an array", "put the values in brackets: [\"one\", \"two\"]")
            }
        }
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, TypeMismatch> {
        match self.take_value() {
            Value::Table(table) => {
                let entries = self.map_entries(table)?;
                visitor.visit_map(self.into_entries(entries))
            }
            other => {
                self.node.value = other;
                self.wrong_type("a table", HELP_TABLE)
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeMismatch> {
        let (key, origin) = (self.key.clone(), self.node.origin.clone());
        match self.take_value() {
            Value::Table(table) => {
                let entries = self.match_fields(table, fields)?;
                visitor.visit_map(self.into_entries(entries)).map_err(|mismatch| mismatch.locate(&key, &origin))
            }
            other => {
                self.node.value = other;
                self.wrong_type("a table", HELP_TABLE)
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeMismatch> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
    }
}

struct Items<'n> {
    key: String,
    unknown_keys: &'n UnknownKeys,
    items: std::iter::Enumerate<std::vec::IntoIter<Node>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = TypeMismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, TypeMismatch> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        let key = format!("{}[{index}]", self.key);
        seed.deserialize(Reader { node, key, unknown_keys: self.unknown_keys, other_keys: &[] }).map(Some)
    }
}

struct Entries<'n> {
    key: String,
    unknown_keys: &'n UnknownKeys,
    remaining: std::vec::IntoIter<NamedEntry>,
    value: Option<NamedEntry>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = TypeMismatch;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, TypeMismatch> {
        self.value = self.remaining.next();
        let Some((name, _)) = &self.value else { return Ok(None) };
        let name: StrDeserializer<'_, TypeMismatch> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, TypeMismatch> {
        let Some((name, entry)) = self.value.take() else {
            return Err(serde::de::Error::custom("a value was requested before its key"));
        };
        let key = join(&self.key, &name);
        seed.deserialize(Reader { node: entry.node, key, unknown_keys: self.unknown_keys, other_keys: &[] })
    }
}
