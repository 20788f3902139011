//! The serde side: hands a [`Node`]'s values to the types, matching names in any case and noting what nobody asked for.

use std::cell::RefCell;
use std::collections::HashMap;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::invalid::{SourceText, TypeMismatch, Warning};
use super::tree::{Entry, Node, SourceLocation, Table, Value};
use crate::config::suggest::did_you_mean;

/// Unknown keys met while reading.
#[derive(Default)]
pub(super) struct UnknownKeys(RefCell<Vec<Unknown>>);

struct Unknown {
    key: String,
    nearest: Option<String>,
    offset: usize,
}

impl UnknownKeys {
    pub fn into_warnings(self, source: &SourceText<'_>) -> Vec<Warning> {
        let mut unknown = self.0.into_inner();
        unknown.sort_by_key(|key| key.offset);
        // One pass through the text for all of them.
        let (mut line, mut rest) = (1, source.text.as_bytes());
        let mut to_warning = |Unknown { key, nearest, offset }| {
            let passed = source.text.len() - rest.len();
            let (before, after) = rest.split_at_checked(offset.saturating_sub(passed)).unwrap_or((rest, &[]));
            line += memchr::memchr_iter(b'\n', before).count();
            rest = after;
            Warning { file: source.file.to_owned(), line, key, nearest }
        };
        unknown.into_iter().map(&mut to_warning).collect()
    }

    fn unknown(&self, key: String, entry: &Entry, fields: &[&str], others: &[&str]) {
        // A flag is looked up before it becomes a node, so only files reach this.
        let SourceLocation::File(span) = &entry.origin else { return };
        let nearest = did_you_mean(&entry.name, fields.iter().chain(others).copied()).map(str::to_owned);
        self.0.borrow_mut().push(Unknown { key, nearest, offset: span.start });
    }
}

/// One value on its way into a type.
pub(super) struct Reader<'n> {
    node: Node,
    /// Dotted path from the root; empty at the root.
    key: String,
    notes: &'n UnknownKeys,
    /// Keys at the root that belong to another reader.
    others: &'n [&'n str],
}

impl<'n> Reader<'n> {
    pub fn root(node: Node, notes: &'n UnknownKeys, others: &'n [&'n str]) -> Self {
        Reader { node, key: String::new(), notes, others }
    }

    fn wrong_type<T>(&self, expected: &str, help: &str) -> Result<T, TypeMismatch> {
        Err(TypeMismatch::wrong_type(expected, help, &self.node.value).locate(&self.key, &self.node.origin))
    }

    /// Pairs each entry with the field it means: the exact name first, else the name in another case.
    fn claim(&self, table: Table, fields: &'static [&'static str]) -> Result<Vec<Named>, TypeMismatch> {
        let mut claimed = Claimed::default();
        for entry in table.entries {
            let exact = fields.iter().find(|field| **field == entry.name);
            match exact.or_else(|| fields.iter().find(|field| field.eq_ignore_ascii_case(&entry.name))) {
                Some(field) => self.add(&mut claimed, (*field).to_owned(), entry)?,
                None if self.others.iter().any(|other| other.eq_ignore_ascii_case(&entry.name)) => {}
                None => self.notes.unknown(join(&self.key, &entry.name), &entry, fields, self.others),
            }
        }
        Ok(claimed.entries)
    }

    /// A map's entries under their own names.
    fn named(&self, table: Table) -> Result<Vec<Named>, TypeMismatch> {
        let mut named = Claimed::default();
        for entry in table.entries {
            self.add(&mut named, entry.name.clone(), entry)?;
        }
        Ok(named.entries)
    }

    /// Two tables whose names differ in case only are one table, as in Traefik; two values are a contradiction.
    fn add(&self, claimed: &mut Claimed, name: String, entry: Entry) -> Result<(), TypeMismatch> {
        let Some(&at) = claimed.places.get(&name) else {
            claimed.places.insert(name.clone(), claimed.entries.len());
            claimed.entries.push((name, entry));
            return Ok(());
        };
        let first = &mut claimed.entries[at].1;
        match (&mut first.node.value, entry.node.value) {
            (Value::Table(first), Value::Table(second)) => first.entries.extend(second.entries),
            _ => {
                let (key, other) = (join(&self.key, &entry.name), join(&self.key, &first.name));
                return Err(TypeMismatch::twice(&key, &other, &entry.origin));
            }
        }
        Ok(())
    }

    fn into_items(self, items: Vec<Node>) -> Items<'n> {
        Items { key: self.key, notes: self.notes, items: items.into_iter().enumerate() }
    }

    fn into_entries(self, entries: Vec<Named>) -> Entries<'n> {
        Entries { key: self.key, notes: self.notes, left: entries.into_iter(), value: None }
    }

    /// The value, leaving an empty text in its place.
    fn take(&mut self) -> Value {
        std::mem::replace(&mut self.node.value, Value::Text(String::new()))
    }
}

/// An entry and the name under which the type knows it.
type Named = (String, Entry);

/// Entries in the order they were met, found by name: a file may hold thousands of backends.
#[derive(Default)]
struct Claimed {
    entries: Vec<Named>,
    places: HashMap<String, usize>,
}

fn join(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

const HELP_TABLE: &str = "write it as a table: `[name]`, or `name = { key = value }`";

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = TypeMismatch;

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, TypeMismatch> {
        let (key, origin) = (self.key.clone(), self.node.origin.clone());
        match self.take() {
            Value::Text(text) | Value::Datetime(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::List(items) => visitor.visit_seq(self.into_items(items)),
            Value::Table(table) => {
                let entries = self.named(table)?;
                visitor.visit_map(self.into_entries(entries))
            }
        }
        .map_err(|misfit| misfit.locate(&key, &origin))
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
        match self.take() {
            Value::List(items) => visitor.visit_seq(self.into_items(items)),
            other => {
                self.node.value = other;
                self.wrong_type("an array", "put the values in brackets: [\"one\", \"two\"]")
            }
        }
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, TypeMismatch> {
        match self.take() {
            Value::Table(table) => {
                let entries = self.named(table)?;
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
        match self.take() {
            Value::Table(table) => {
                let claimed = self.claim(table, fields)?;
                visitor.visit_map(self.into_entries(claimed)).map_err(|misfit| misfit.locate(&key, &origin))
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
    notes: &'n UnknownKeys,
    items: std::iter::Enumerate<std::vec::IntoIter<Node>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = TypeMismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, TypeMismatch> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        let key = format!("{}[{index}]", self.key);
        seed.deserialize(Reader { node, key, notes: self.notes, others: &[] }).map(Some)
    }
}

struct Entries<'n> {
    key: String,
    notes: &'n UnknownKeys,
    left: std::vec::IntoIter<Named>,
    value: Option<Named>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = TypeMismatch;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, TypeMismatch> {
        self.value = self.left.next();
        let Some((name, _)) = &self.value else { return Ok(None) };
        let name: StrDeserializer<'_, TypeMismatch> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, TypeMismatch> {
        let Some((name, entry)) = self.value.take() else {
            return Err(serde::de::Error::custom("a value was asked for before its key"));
        };
        let key = join(&self.key, &name);
        seed.deserialize(Reader { node: entry.node, key, notes: self.notes, others: &[] })
    }
}
