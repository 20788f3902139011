//! The options of a configuration type, found by deserializing that type from a probe, so that flags and help need no second list.

use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

/// The form of an option's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Bool,
    Integer,
    Float,
    Text,
    /// A value of several forms. Among the options only durations accept any form.
    Duration,
    List(Box<Shape>),
    /// A table whose keys the user chooses.
    Map(Box<Shape>),
    Table(Vec<(&'static str, Shape)>),
}

impl Shape {
    /// Finds a type's shape by deserializing the type from a probe, which gives a value for each request and records its form.
    pub fn of<T: DeserializeOwned>() -> Shape {
        let mut shape = Shape::Table(Vec::new());
        // The result is in `shape`. The value, made of zeros and empty texts, is of no use, nor is an error about it.
        let _ = T::deserialize(Probe(&mut shape));
        shape
    }

    /// Whether this is a table with unknown contents: flags below it take any name, and their values are text.
    pub fn is_raw_table(&self) -> bool {
        matches!(self, Shape::Map(inner) if **inner == Shape::Duration)
    }

    /// Finds a field by its name in any case; returns its proper spelling and its shape.
    pub fn field(&self, name: &str) -> Option<(&'static str, &Shape)> {
        let Shape::Table(fields) = self else { return None };
        fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(field, shape)| (*field, shape))
    }

    /// The names of a table's fields; no name for other shapes.
    pub fn fields(&self) -> impl Iterator<Item = &'static str> + '_ {
        let fields = match self {
            Shape::Table(fields) => fields.as_slice(),
            _ => &[],
        };
        fields.iter().map(|(name, _)| *name)
    }
}

struct Probe<'s>(&'s mut Shape);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.0 = Shape::Duration;
        visitor.visit_i64(0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.0 = Shape::Bool;
        visitor.visit_bool(false)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.0 = Shape::Integer;
        visitor.visit_i64(0)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.0 = Shape::Float;
        visitor.visit_f64(0.0)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.0 = Shape::Text;
        visitor.visit_str("")
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut item = Shape::Text;
        let value = visitor.visit_seq(SingleEntry(Some(&mut item)));
        *self.0 = Shape::List(Box::new(item));
        value
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut value_shape = Shape::Text;
        let value = visitor.visit_map(SingleEntry(Some(&mut value_shape)));
        *self.0 = Shape::Map(Box::new(value_shape));
        value
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut fields = Vec::with_capacity(names.len());
        let value = visitor.visit_map(Fields { names: names.iter(), name: "", found: &mut fields });
        *self.0 = Shape::Table(fields);
        value
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
        ignored_any
    }
}

/// Supplies the only item of a list, or the only entry of a map.
struct SingleEntry<'s>(Option<&'s mut Shape>);

impl<'de> SeqAccess<'de> for SingleEntry<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|shape| seed.deserialize(Probe(shape))).transpose()
    }
}

impl<'de> MapAccess<'de> for SingleEntry<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if self.0.is_none() {
            return Ok(None);
        }
        let name: StrDeserializer<'_, Error> = "name".into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        match self.0.take() {
            Some(shape) => seed.deserialize(Probe(shape)),
            None => Err(serde::de::Error::custom("a value was requested before its key")),
        }
    }
}

/// Second names of fields, which serde lists beside the first ones. A probe that gave both would end with the error of a field that occurs
/// twice, and the fields after it would be missing.
const SECOND_NAMES: [&str; 1] = ["forwardingResponse"];

struct Fields<'s> {
    names: std::slice::Iter<'static, &'static str>,
    name: &'static str,
    found: &'s mut Vec<(&'static str, Shape)>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(name) = self.names.find(|name| !SECOND_NAMES.contains(name)) else { return Ok(None) };
        self.name = name;
        let name: StrDeserializer<'_, Error> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let mut shape = Shape::Text;
        let value = seed.deserialize(Probe(&mut shape));
        self.found.push((self.name, shape));
        value
    }
}
