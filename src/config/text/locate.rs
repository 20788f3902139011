//! Finds the line of an option, so that a message about the option can show it.

use std::ops::Range;

use super::invalid::SourceText;
use super::tree::{Entry, Node, SourceLocation, Table, Value};
use crate::diagnostics::Place;

/// Finds where an option was written: `key` is its dotted path, as `entryPoints.http.tls.cipherSuites[1]`. If the option itself is not
/// written, the place is that of the innermost table around it. `None` if not even that is in the document.
pub fn locate(root: &Node, text: &str, file: &str, key: &str) -> Option<Place> {
    place(innermost(root, key, Part::Value)?, text, file)
}

/// Like [`locate`], of the option's name instead of its value.
pub fn locate_name(root: &Node, text: &str, file: &str, key: &str) -> Option<Place> {
    place(innermost(root, key, Part::Name)?, text, file)
}

fn place(location: &SourceLocation, text: &str, file: &str) -> Option<Place> {
    match location {
        SourceLocation::Flag(flag) => Some(Place::Flag(flag.clone())),
        SourceLocation::File(span) => Some(SourceText { text, file }.place(trimmed(text, span.clone()))),
    }
}

/// Whether the document has the option or the table itself.
pub fn has_key(root: &Node, key: &str) -> bool {
    let mut step = Step { node: root, origin: None, rest: key };
    while !step.rest.is_empty() {
        match step.next() {
            Some(next) => step = next,
            None => return false,
        }
    }
    true
}

/// The text of an option, if the document has it and it is a text.
pub fn text_at<'n>(root: &'n Node, key: &str) -> Option<&'n str> {
    let mut step = Step { node: root, origin: None, rest: key };
    while !step.rest.is_empty() {
        step = step.next()?;
    }
    match &step.node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// The path of the option `name` of the first table below the table `key`: with `routes` and `rule` that of a frontend's first rule.
pub fn first_below(root: &Node, key: &str, name: &str) -> Option<String> {
    let mut step = Step { node: root, origin: None, rest: key };
    while !step.rest.is_empty() {
        step = step.next()?;
    }
    let table = step.node.as_table()?;
    let first = table.entries.iter().find(|entry| entry.node.as_table().is_some_and(|t| t.option(name).is_some()))?;
    Some(format!("{key}.{}.{name}", first.name))
}

/// The location of the innermost part of the path that the document has.
fn innermost<'n>(root: &'n Node, key: &str, part: Part) -> Option<&'n SourceLocation> {
    let mut step = Step { node: root, origin: None, rest: key };
    while let Some(next) = step.next() {
        step = next;
    }
    match (&step.node.value, step.origin) {
        (_, Some(origin)) if part == Part::Name => Some(origin),
        // The span of a table may be its whole content: its name is meant.
        (Value::Table(_), origin) => origin,
        // A value that is not the last part of the path: its name says more.
        (_, origin) if !step.rest.is_empty() => origin,
        _ => Some(&step.node.origin),
    }
}

/// The part of an option that is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Name,
    Value,
}

/// A position on the way along a path.
struct Step<'n, 'k> {
    node: &'n Node,
    /// Where the name of the node was written.
    origin: Option<&'n SourceLocation>,
    rest: &'k str,
}

impl<'n, 'k> Step<'n, 'k> {
    fn next(&self) -> Option<Step<'n, 'k>> {
        match &self.node.value {
            Value::List(items) => {
                let (index, rest) = self.rest.strip_prefix('[')?.split_once(']')?;
                let node = items.get(index.parse::<usize>().ok()?)?;
                Some(Step { node, origin: self.origin, rest: rest.strip_prefix('.').unwrap_or(rest) })
            }
            Value::Table(table) => {
                let (entry, rest) = entry(table, self.rest)?;
                Some(Step { node: &entry.node, origin: Some(&entry.origin), rest })
            }
            _ => None,
        }
    }
}

/// The entry whose name begins the path. A name may contain dots, so that the longest one counts, the exact one before one in another case.
fn entry<'n, 'k>(table: &'n Table, path: &'k str) -> Option<(&'n Entry, &'k str)> {
    let begins = |entry: &&Entry| {
        let name = entry.name.as_str();
        let head = path.get(..name.len());
        let ends = path.get(name.len()..).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        !name.is_empty() && ends && head.is_some_and(|head| head.eq_ignore_ascii_case(name))
    };
    let rank = |entry: &&Entry| (entry.name.len(), path.starts_with(entry.name.as_str()));
    let entry = table.entries.iter().filter(begins).max_by_key(rank)?;
    let rest = &path[entry.name.len()..];
    Some((entry, rest.strip_prefix('.').unwrap_or(rest)))
}

/// The range without white space at its ends.
fn trimmed(text: &str, span: Range<usize>) -> Range<usize> {
    let Some(part) = text.get(span.clone()) else { return span };
    let start = span.start + (part.len() - part.trim_start().len());
    start..start + part.trim().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::text::parse;

    const TEXT: &str = "[entryPoints.http]\naddress = \":80\"\n[entryPoints.http.tls]\nCipherSuites = [\n \"a\",\n \"b\"]\n\
                        [backends.\"a.b\".servers.s]\nurl = \"x\"\n[[tls]]\n[[tls]]\n[tls.certificate]\ncertFile = \"f\"\n";

    fn found(key: &str) -> Option<(usize, usize, usize)> {
        let root = parse(TEXT, "f").expect("valid");
        match locate(&root, TEXT, "f", key)? {
            Place::Line { line, column, width, .. } => Some((line, column, width)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn value_of_an_option_is_found_in_any_case_and_in_lists() {
        assert_eq!(found("entryPoints.http.address"), Some((2, 11, 5)));
        assert_eq!(found("entrypoints.http.tls.cipherSuites[1]"), Some((6, 2, 3)));
        assert_eq!(found("backends.a.b.servers.s.url"), Some((8, 7, 3)));
        assert_eq!(found("tls[1].certificate.certFile"), Some((12, 12, 3)));
    }

    #[test]
    fn missing_option_is_placed_at_the_table_around_it() {
        assert_eq!(found("entryPoints.http.tls.minVersion"), Some((3, 19, 3)));
        assert_eq!(found("entryPoints.http"), Some((1, 14, 4)));
        assert_eq!(found("docker.endpoint"), None);
        let root = parse(TEXT, "f").expect("valid");
        assert!(has_key(&root, "entryPoints.http") && !has_key(&root, "entryPoints.https"));
    }
}
