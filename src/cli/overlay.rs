//! Applies flags to the file's document (docs/reference/command-line.md#merge-rules). An option's type determines how the text of its
//! flag is read.

use super::arguments::{Flag, Target, target};
use super::{CliError, entry_points};
use crate::config::text::shape::Shape;
use crate::config::text::tree::{Node, SourceLocation, Table, Value};

pub(super) fn apply_flags(
    flags: &[Flag],
    shape: &Shape,
    root: &mut Node,
    warnings: &mut Vec<String>,
) -> Result<(), CliError> {
    let mut found = Vec::with_capacity(flags.len());
    for flag in flags {
        if let Some(target) = target(&flag.name, shape) {
            found.push((flag, target));
        }
    }
    // The flag of a table resets the table, so it is applied before the flags of the options inside, whatever the user's order.
    found.sort_by_key(|(_, target)| (!is_table(target), target.path.len()));
    let mut lists_started: Vec<&str> = Vec::new();
    for (flag, target) in &found {
        if target.path == ["entryPoints"] {
            let text = flag.value.as_deref().unwrap_or_default();
            let (name, node) = entry_points::parse(text, &flag.display_name, warnings)?;
            if let Some(table) = table_at(root, &target.path, &flag.display_name) {
                table.set_key(&name, node);
            }
        } else if is_table(target) {
            apply_table(flag, target, root, warnings)?;
        } else if let Shape::List(item) = target.shape {
            let repeated = lists_started.contains(&flag.name.as_str());
            lists_started.push(&flag.name);
            apply_list(flag, target, item, repeated, root)?;
        } else {
            set_value(root, &target.path, &flag.display_name, value(flag, target)?);
        }
    }
    Ok(())
}

/// Whether the target is a table. A raw table takes any key below it as text; only its own name denotes the table.
fn is_table(target: &Target<'_>) -> bool {
    matches!(target.shape, Shape::Table(_)) || (target.shape.is_raw_table() && target.path.len() == 1)
}

fn apply_table(flag: &Flag, target: &Target<'_>, root: &mut Node, warnings: &mut Vec<String>) -> Result<(), CliError> {
    let on = flag.value.as_deref().map_or(Ok(true), |text| bool(flag, text))?;
    let (last, parents) = target.path.split_last().unwrap_or((&flag.name, &[]));
    if on {
        let node = Node::from_flag(Value::Table(Table::default()), &flag.display_name);
        if let Some(table) = table_at(root, parents, &flag.display_name) {
            table.set_option(last, node);
        }
    } else if root.as_table().is_some_and(|table| table.option(last).is_some()) {
        warnings.push(format!(
            "{}=false does not switch off what the file switches on: remove the table there",
            flag.display_name
        ));
    }
    Ok(())
}

/// Sets a list. Its first flag replaces the file's list; each further one adds items.
fn apply_list(flag: &Flag, target: &Target<'_>, item: &Shape, repeated: bool, root: &mut Node) -> Result<(), CliError> {
    let text = flag.value.as_deref().unwrap_or_default();
    let mut items = Vec::new();
    if target.path == ["acme", "domains"] {
        items.push(acme_domain(text, &flag.display_name));
    } else {
        for part in text.split([',', ';']).filter(|part| !part.is_empty()) {
            items.push(Node::from_flag(scalar(flag, item, part)?, &flag.display_name));
        }
    }
    let (last, parents) = target.path.split_last().unwrap_or((&flag.name, &[]));
    let Some(table) = table_at(root, parents, &flag.display_name) else { return Ok(()) };
    let origin = SourceLocation::Flag(flag.display_name.clone());
    if repeated && let Value::List(before) = &mut table.option_or_table(last, &origin).value {
        before.append(&mut items);
        return Ok(());
    }
    table.set_option(last, Node::from_flag(Value::List(items), &flag.display_name));
    Ok(())
}

/// Parses the names of one certificate, `main,san1,san2` (docs/reference/static-configuration.md#values).
fn acme_domain(text: &str, display_name: &str) -> Node {
    let mut names = text
        .split([',', ';'])
        .filter(|name| !name.is_empty())
        .map(|name| Node::from_flag(Value::Text(name.to_owned()), display_name));
    let mut table = Table::default();
    if let Some(main) = names.next() {
        table.set_key("main", main);
    }
    table.set_key("sans", Node::from_flag(Value::List(names.collect()), display_name));
    Node::from_flag(Value::Table(table), display_name)
}

fn value(flag: &Flag, target: &Target<'_>) -> Result<Value, CliError> {
    let text = flag.value.as_deref();
    match (target.shape, text) {
        (Shape::Bool, None) => Ok(Value::Bool(true)),
        (Shape::Map(_), Some(text)) if !target.shape.is_raw_table() => mode_table(flag, text),
        (shape, text) => scalar(flag, shape, text.unwrap_or_default()),
    }
}

fn scalar(flag: &Flag, shape: &Shape, text: &str) -> Result<Value, CliError> {
    let wrong = |what: &str| CliError::Usage(format!("{}: {text:?} is not {what}", flag.display_name));
    Ok(match shape {
        Shape::Bool => Value::Bool(bool(flag, text)?),
        Shape::Integer => Value::Integer(integer(text).ok_or_else(|| wrong("a whole number: write digits only"))?),
        Shape::Float => Value::Float(text.parse().map_err(|_| wrong("a number: write one such as 0.3"))?),
        _ => Value::Text(text.to_owned()),
    })
}

/// Parses a bool as Go's `ParseBool` does (docs/reference/static-configuration.md#values).
fn bool(flag: &Flag, text: &str) -> Result<bool, CliError> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(CliError::Usage(format!(
            "{}: {text:?} is neither true nor false: write one of them",
            flag.display_name
        ))),
    }
}

/// Parses an integer, decimal or with Go's prefixes: `0x1f`, `017`.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

/// Parses `A=drop B=keep`, which may be in quotes (docs/reference/static-configuration.md#values).
fn mode_table(flag: &Flag, text: &str) -> Result<Value, CliError> {
    let mut table = Table::default();
    for item in text.trim_matches(['"', '\'']).split_whitespace() {
        let Some((name, mode)) = item.split_once('=') else {
            let message = format!("{}: {item:?} names no mode: write {item}=keep or {item}=drop", flag.display_name);
            return Err(CliError::Usage(message));
        };
        table.set_key(name, Node::from_flag(Value::Text(mode.to_owned()), &flag.display_name));
    }
    Ok(Value::Table(table))
}

fn set_value(root: &mut Node, path: &[String], display_name: &str, value: Value) {
    let Some((last, parents)) = path.split_last() else { return };
    if let Some(table) = table_at(root, parents, display_name) {
        table.set_option(last, Node::from_flag(value, display_name));
    }
}

/// Returns the table at a path, after inserting missing tables. `None` if the file has a value of another type there: `read_tree`
/// reports that later.
fn table_at<'n>(root: &'n mut Node, path: &[String], display_name: &str) -> Option<&'n mut Table> {
    let origin = SourceLocation::Flag(display_name.to_owned());
    let mut node = root;
    for key in path {
        node = node.as_table_mut()?.option_or_table(key, &origin);
    }
    node.as_table_mut()
}
