//! A configuration as keys of a store (docs/reference/key-value-stores.md#storeconfig): the reverse of reading them.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::text::shape::Shape;
use crate::config::text::tree::{Node, Table, Value};

/// Keys below the prefix with their values.
pub type Keys = BTreeMap<String, String>;

/// The keys of a static configuration, as it is written: options without a value in file and flags are not among them, nor are the tables in `without`.
pub fn static_keys(root: &Node, shape: &Shape, without: &[&str]) -> Keys {
    let mut keys = Keys::new();
    let Some(table) = root.as_table() else { return keys };
    for entry in &table.entries {
        if without.iter().any(|name| name.eq_ignore_ascii_case(&entry.name)) {
            continue;
        }
        if let Some((field, inner)) = shape.field(&entry.name) {
            write(&entry.node, inner, &field.to_ascii_lowercase(), &mut keys);
        }
    }
    keys
}

/// The keys of the documents of the file provider: the first definition of a name counts, certificates add up.
pub fn dynamic_keys(documents: &[Node], shape: &Shape) -> Keys {
    let (mut keys, mut certificates) = (Keys::new(), 0usize);
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for table in documents.iter().filter_map(Node::as_table) {
        for (kind, defaults) in
            [("backends", write_weights as fn(&Table, &str, &mut Keys)), ("frontends", write_host_header)]
        {
            let Some((field, Shape::Map(inner))) = shape.field(kind) else { continue };
            for entry in entries(table, field).filter(|entry| seen.insert((kind, entry.name.as_str()))) {
                let key = format!("{kind}/{}", entry.name);
                write(&entry.node, inner, &key, &mut keys);
                entry.node.as_table().into_iter().for_each(|object| defaults(object, &key, &mut keys));
            }
        }
        let Some((_, Shape::List(inner))) = shape.field("tls") else { continue };
        let items = match table.option("tls").map(|node| &node.value) {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        for item in items {
            write(item, inner, &format!("tls/{certificates}"), &mut keys);
            certificates += 1;
        }
    }
    keys
}

/// A file's frontend does not pass the Host field unless it says so, one in a store does.
fn write_host_header(object: &Table, key: &str, keys: &mut Keys) {
    if object.option("passHostHeader").is_none() {
        keys.insert(format!("{key}/passhostheader"), "false".to_owned());
    }
}

/// A file's server without a weight has weight 0, one in a store has weight 1.
fn write_weights(object: &Table, key: &str, keys: &mut Keys) {
    for server in entries(object, "servers") {
        let has_weight = server.node.as_table().is_some_and(|server| server.option("weight").is_some());
        if !has_weight {
            keys.insert(format!("{key}/servers/{}/weight", server.name), "0".to_owned());
        }
    }
}

fn entries<'t>(table: &'t Table, option: &str) -> impl Iterator<Item = &'t crate::config::text::tree::Entry> {
    table.option(option).and_then(Node::as_table).into_iter().flat_map(|table| &table.entries)
}

fn write(node: &Node, shape: &Shape, key: &str, keys: &mut Keys) {
    match (&node.value, shape) {
        (Value::Table(table), Shape::Table(_)) if table.entries.is_empty() => {
            // The key of a table that is switched on with its defaults ends with a slash, as Traefik writes it.
            keys.insert(format!("{key}/"), String::new());
        }
        (Value::Table(table), Shape::Table(_)) => {
            for entry in &table.entries {
                if let Some((field, inner)) = shape.field(&entry.name) {
                    write(&entry.node, inner, &format!("{key}/{}", field.to_ascii_lowercase()), keys);
                }
            }
            if key == "loadbalancer" || key.ends_with("/loadbalancer") {
                switch_stickiness_on(table, key, keys);
            }
        }
        (Value::Table(table), Shape::Map(inner)) => {
            for entry in &table.entries {
                write(&entry.node, inner, &format!("{key}/{}", entry.name), keys);
            }
        }
        (Value::List(items), Shape::List(inner)) => {
            for (number, item) in items.iter().enumerate() {
                write(item, inner, &format!("{key}/{number}"), keys);
            }
        }
        (Value::Text(text), _) => drop(keys.insert(key.to_owned(), text.clone())),
        (Value::Integer(number), _) => drop(keys.insert(key.to_owned(), number.to_string())),
        (Value::Float(number), _) => drop(keys.insert(key.to_owned(), number.to_string())),
        (Value::Bool(flag), _) => drop(keys.insert(key.to_owned(), flag.to_string())),
        // The reader has reported a value of another type.
        (Value::Datetime(_) | Value::List(_) | Value::Table(_), _) => {}
    }
}

/// In a store, stickiness has a switch of its own beside its options.
fn switch_stickiness_on(table: &Table, key: &str, keys: &mut Keys) {
    if table.option("stickiness").is_some() {
        keys.remove(&format!("{key}/stickiness/"));
        keys.insert(format!("{key}/stickiness"), "true".to_owned());
    }
}
