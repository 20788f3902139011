//! Parses TOML text into a [`Node`] tree.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::invalid::TypeMismatch;
use super::tree::{Entry, Node, SourceLocation, Table, Value};

pub(super) fn parse(text: &str) -> Result<Node, TypeMismatch> {
    let root = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(text.len()..text.len());
        TypeMismatch::broken_toml(error.message(), span)
    })?;
    Ok(Node { value: Value::Table(table(root.get_ref())?), origin: SourceLocation::File(0..0) })
}

fn table(table: &DeTable<'_>) -> Result<Table, TypeMismatch> {
    let mut entries = Vec::with_capacity(table.len());
    for (name, value) in table.iter() {
        let entry =
            Entry { name: name.get_ref().to_string(), origin: SourceLocation::File(name.span()), node: node(value)? };
        entries.push(entry);
    }
    Ok(Table { entries })
}

fn node(written: &Spanned<DeValue<'_>>) -> Result<Node, TypeMismatch> {
    let origin = SourceLocation::File(written.span());
    let value = match written.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => return Err(TypeMismatch::number_too_large(origin)),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            // Digits beyond the range of `f64` parse to infinity, too; an infinity that is meant is written `inf`.
            Ok(value) if value.is_finite() || !number.as_str().contains(|c: char| c.is_ascii_digit()) => {
                Value::Float(value)
            }
            _ => return Err(TypeMismatch::number_too_large(origin)),
        },
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(date) => Value::Datetime(date.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(node).collect::<Result<_, _>>()?),
        DeValue::Table(inner) => Value::Table(table(inner)?),
    };
    Ok(Node { value, origin })
}
