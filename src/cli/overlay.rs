//! Laying flags over the file's document (docs/reference/command-line.md#merge-rules): each option's own type says how its text is read.

use super::arguments::{Flag, Target, target};
use super::{CliError, entry_points};
use crate::config::text::shape::Shape;
use crate::config::text::tree::{Node, SourceLocation, Table, Value};

pub(super) fn lay(flags: &[Flag], shape: &Shape, root: &mut Node, warnings: &mut Vec<String>) -> Result<(), CliError> {
    let mut found = Vec::with_capacity(flags.len());
    for flag in flags {
        if let Some(target) = target(&flag.name, shape) {
            found.push((flag, target));
        }
    }
    // A table's own flag resets it, so it must come before the flags of what is inside, wherever the user put it.
    found.sort_by_key(|(_, target)| (!is_table(target), target.path.len()));
    let mut lists_begun: Vec<&str> = Vec::new();
    for (flag, target) in &found {
        if target.path == ["entryPoints"] {
            let text = flag.value.as_deref().unwrap_or_default();
            let (name, node) = entry_points::parse(text, &flag.shown, warnings)?;
            if let Some(table) = place(root, &target.path, &flag.shown) {
                table.set_key(&name, node);
            }
        } else if is_table(target) {
            lay_table(flag, target, root, warnings)?;
        } else if let Shape::List(item) = target.shape {
            let repeated = lists_begun.contains(&flag.name.as_str());
            lists_begun.push(&flag.name);
            lay_list(flag, target, item, repeated, root)?;
        } else {
            set(root, &target.path, &flag.shown, value(flag, target)?);
        }
    }
    Ok(())
}

/// Raw tables take any key below them; only the bare name is the table itself.
fn is_table(target: &Target<'_>) -> bool {
    matches!(target.shape, Shape::Table(_)) || (target.shape.is_raw_table() && target.path.len() == 1)
}

fn lay_table(flag: &Flag, target: &Target<'_>, root: &mut Node, warnings: &mut Vec<String>) -> Result<(), CliError> {
    let on = flag.value.as_deref().map_or(Ok(true), |text| bool(flag, text))?;
    let (last, parents) = target.path.split_last().unwrap_or((&flag.name, &[]));
    if on {
        let node = Node::from_flag(Value::Table(Table::default()), &flag.shown);
        if let Some(table) = place(root, parents, &flag.shown) {
            table.set_option(last, node);
        }
    } else if root.as_table().is_some_and(|table| table.option(last).is_some()) {
        warnings.push(format!(
            "{}=false does not switch off what the file switches on: remove the table there",
            flag.shown
        ));
    }
    Ok(())
}

/// A list's flag replaces the file's list; given again, it adds to what it gave before.
fn lay_list(flag: &Flag, target: &Target<'_>, item: &Shape, repeated: bool, root: &mut Node) -> Result<(), CliError> {
    let text = flag.value.as_deref().unwrap_or_default();
    let mut items = Vec::new();
    if target.path == ["acme", "domains"] {
        items.push(domain(text, &flag.shown));
    } else {
        for part in text.split([',', ';']).filter(|part| !part.is_empty()) {
            items.push(Node::from_flag(scalar(flag, item, part)?, &flag.shown));
        }
    }
    let (last, parents) = target.path.split_last().unwrap_or((&flag.name, &[]));
    let Some(table) = place(root, parents, &flag.shown) else { return Ok(()) };
    let origin = SourceLocation::Flag(flag.shown.clone());
    if repeated && let Value::List(before) = &mut table.option_or_table(last, &origin).value {
        before.append(&mut items);
        return Ok(());
    }
    table.set_option(last, Node::from_flag(Value::List(items), &flag.shown));
    Ok(())
}

/// `main,san1,san2` is one certificate (docs/reference/static-configuration.md#values).
fn domain(text: &str, shown: &str) -> Node {
    let mut names = text
        .split([',', ';'])
        .filter(|name| !name.is_empty())
        .map(|name| Node::from_flag(Value::Text(name.to_owned()), shown));
    let mut table = Table::default();
    if let Some(main) = names.next() {
        table.set_key("main", main);
    }
    table.set_key("sans", Node::from_flag(Value::List(names.collect()), shown));
    Node::from_flag(Value::Table(table), shown)
}

fn value(flag: &Flag, target: &Target<'_>) -> Result<Value, CliError> {
    let text = flag.value.as_deref();
    match (target.shape, text) {
        (Shape::Bool, None) => Ok(Value::Bool(true)),
        (Shape::Map(_), Some(text)) if !target.shape.is_raw_table() => modes(flag, text),
        (shape, text) => scalar(flag, shape, text.unwrap_or_default()),
    }
}

fn scalar(flag: &Flag, shape: &Shape, text: &str) -> Result<Value, CliError> {
    let wrong = |what: &str| CliError::Usage(format!("{}: {text:?} is not {what}", flag.shown));
    Ok(match shape {
        Shape::Bool => Value::Bool(bool(flag, text)?),
        Shape::Integer => Value::Integer(integer(text).ok_or_else(|| wrong("a whole number: write digits only"))?),
        Shape::Float => Value::Float(text.parse().map_err(|_| wrong("a number: write one such as 0.3"))?),
        _ => Value::Text(text.to_owned()),
    })
}

/// Go's `ParseBool` (docs/reference/static-configuration.md#values).
fn bool(flag: &Flag, text: &str) -> Result<bool, CliError> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(CliError::Usage(format!("{}: {text:?} is neither true nor false: write one of them", flag.shown))),
    }
}

/// Decimal, or with Go's prefixes: `0x1f`, `017`.
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

/// `A=drop B=keep`, perhaps in quotes of its own (docs/reference/static-configuration.md#values).
fn modes(flag: &Flag, text: &str) -> Result<Value, CliError> {
    let mut table = Table::default();
    for item in text.trim_matches(['"', '\'']).split_whitespace() {
        let Some((name, mode)) = item.split_once('=') else {
            let message = format!("{}: {item:?} names no mode: write {item}=keep or {item}=drop", flag.shown);
            return Err(CliError::Usage(message));
        };
        table.set_key(name, Node::from_flag(Value::Text(mode.to_owned()), &flag.shown));
    }
    Ok(Value::Table(table))
}

fn set(root: &mut Node, path: &[String], shown: &str, value: Value) {
    let Some((last, parents)) = path.split_last() else { return };
    if let Some(table) = place(root, parents, shown) {
        table.set_option(last, Node::from_flag(value, shown));
    }
}

/// The table at a path, with every table on the way. `None` when the file has something else there: reading will say so.
fn place<'n>(root: &'n mut Node, path: &[String], shown: &str) -> Option<&'n mut Table> {
    let origin = SourceLocation::Flag(shown.to_owned());
    let mut node = root;
    for step in path {
        node = node.as_table_mut()?.option_or_table(step, &origin);
    }
    node.as_table_mut()
}
