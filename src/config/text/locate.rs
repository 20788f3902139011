//! Finds the line of an option, so that a message about the option can show it.

use std::collections::HashMap;
use std::ops::Range;

use super::invalid::{InvalidConfig, SourceText};
use super::tree::{Entry, Node, SourceLocation, Table, Value};
use crate::diagnostics::Place;

/// Finds where an option was written: `key` is its dotted path, as `entryPoints.http.tls.cipherSuites[1]`. If the option itself is not
/// written, the place is that of the innermost table around it. `None` if not even that is in the document.
pub fn locate(root: &Node, text: &str, file: &str, key: &str) -> Option<Place> {
    place(Step::new(root, key).innermost(Part::Value)?, text, file)
}

/// Like [`locate`], of the option's name instead of its value.
pub fn locate_name(root: &Node, text: &str, file: &str, key: &str) -> Option<Place> {
    place(Step::new(root, key).innermost(Part::Name)?, text, file)
}

fn place(location: &SourceLocation, text: &str, file: &str) -> Option<Place> {
    match location {
        SourceLocation::Flag(flag) => Some(Place::Flag(flag.clone())),
        SourceLocation::File(span) => Some(SourceText { text, file }.place(trimmed(text, span.clone()))),
    }
}

/// A parsed file in which many options are looked for: its lines and the names of its objects are indexed once, because a search from the
/// beginning for each of many messages takes minutes.
pub struct LocatedFile {
    pub name: String,
    text: String,
    root: Node,
    /// The offsets at which lines begin.
    line_starts: Vec<usize>,
    names: NameIndex,
}

impl LocatedFile {
    /// # Errors
    /// The text is no TOML document.
    pub fn new(name: &str, text: &str) -> Result<LocatedFile, InvalidConfig> {
        let root = super::parse(text, name)?;
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let names = NameIndex::new(&root, INDEXED_DEPTH);
        Ok(LocatedFile { name: name.to_owned(), text: text.to_owned(), root, line_starts, names })
    }

    /// Like [`locate`].
    pub fn locate(&self, key: &str) -> Option<Place> {
        match self.start(key).innermost(Part::Value)? {
            SourceLocation::Flag(flag) => Some(Place::Flag(flag.clone())),
            SourceLocation::File(span) => {
                let span = trimmed(&self.text, span.clone());
                let line = self.line_starts.partition_point(|&start| start <= span.start);
                Some(SourceText { text: &self.text, file: &self.name }.place_on(line, span))
            }
        }
    }

    /// Whether the file has the option or the table itself.
    pub fn has_key(&self, key: &str) -> bool {
        self.start(key).end().is_some()
    }

    /// The path of the option `name` of the first table below the table `key`: with `routes` and `rule` that of a frontend's first rule.
    pub fn first_below(&self, key: &str, name: &str) -> Option<String> {
        let table = self.start(key).end()?.node.as_table()?;
        let has_option = |entry: &&Entry| entry.node.as_table().is_some_and(|table| table.option(name).is_some());
        let first = table.entries.iter().find(has_option)?;
        Some(format!("{key}.{}.{name}", first.name))
    }

    /// The text of an option, if the file has it and it is a text.
    pub fn text_at(&self, key: &str) -> Option<&str> {
        match &self.start(key).end()?.node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn start<'k>(&self, key: &'k str) -> Step<'_, 'k> {
        Step { node: &self.root, origin: None, rest: key, names: Some(&self.names) }
    }
}

/// Tables of objects, as `frontends`, are in the root of a file.
const INDEXED_DEPTH: usize = 2;

/// The positions of a table's entries by their names in lower case, and the indexes of the tables among them.
#[derive(Default)]
struct NameIndex {
    positions: HashMap<String, Vec<usize>>,
    tables: HashMap<usize, NameIndex>,
}

impl NameIndex {
    fn new(node: &Node, depth: usize) -> NameIndex {
        let mut index = NameIndex::default();
        let entries = node.as_table().map_or(&[][..], |table| &table.entries);
        for (at, entry) in entries.iter().enumerate() {
            index.positions.entry(entry.name.to_ascii_lowercase()).or_default().push(at);
            if depth > 1 && entry.node.as_table().is_some() {
                index.tables.insert(at, NameIndex::new(&entry.node, depth - 1));
            }
        }
        index
    }

    /// The entries whose names may begin the path.
    fn candidates<'a>(&'a self, path: &'a str) -> impl Iterator<Item = usize> + 'a {
        let ends = path.match_indices(['.', '[']).map(|(at, _)| at).chain([path.len()]);
        ends.filter_map(|end| self.positions.get(&path[..end].to_ascii_lowercase())).flatten().copied()
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
    /// The index of the node's entries, if it has one.
    names: Option<&'n NameIndex>,
}

impl<'n, 'k> Step<'n, 'k> {
    fn new(node: &'n Node, key: &'k str) -> Step<'n, 'k> {
        Step { node, origin: None, rest: key, names: None }
    }

    fn next(&self) -> Option<Step<'n, 'k>> {
        match &self.node.value {
            Value::List(items) => {
                let (index, rest) = self.rest.strip_prefix('[')?.split_once(']')?;
                let node = items.get(index.parse::<usize>().ok()?)?;
                Some(Step { node, origin: self.origin, rest: rest.strip_prefix('.').unwrap_or(rest), names: None })
            }
            Value::Table(table) => {
                let at = entry(table, self.names, self.rest)?;
                let entry = &table.entries[at];
                let rest = &self.rest[entry.name.len()..];
                let names = self.names.and_then(|names| names.tables.get(&at));
                let rest = rest.strip_prefix('.').unwrap_or(rest);
                Some(Step { node: &entry.node, origin: Some(&entry.origin), rest, names })
            }
            _ => None,
        }
    }

    /// The end of the path, if the document has all of it.
    fn end(mut self) -> Option<Step<'n, 'k>> {
        while !self.rest.is_empty() {
            self = self.next()?;
        }
        Some(self)
    }

    /// The location of the innermost part of the path that the document has.
    fn innermost(self, part: Part) -> Option<&'n SourceLocation> {
        let mut step = self;
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
}

/// The position of the entry whose name begins the path. A name may contain dots, so that the longest one counts, the exact one before one in
/// another case.
fn entry(table: &Table, names: Option<&NameIndex>, path: &str) -> Option<usize> {
    let begins = |at: &usize| {
        let name = table.entries[*at].name.as_str();
        let head = path.get(..name.len());
        let ends = path.get(name.len()..).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        !name.is_empty() && ends && head.is_some_and(|head| head.eq_ignore_ascii_case(name))
    };
    let rank = |at: &usize| {
        let name = table.entries[*at].name.as_str();
        (name.len(), path.starts_with(name))
    };
    match names {
        Some(names) => names.candidates(path).filter(begins).max_by_key(rank),
        None => (0..table.entries.len()).filter(begins).max_by_key(rank),
    }
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
        let place = locate(&root, TEXT, "f", key);
        assert_eq!(LocatedFile::new("f", TEXT).expect("valid").locate(key), place, "{key} with an index");
        match place? {
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
        let file = LocatedFile::new("f", TEXT).expect("valid");
        assert!(file.has_key("entryPoints.http") && !file.has_key("entryPoints.https"));
        assert_eq!(file.text_at("backends.a.b.servers.s.url"), Some("x"));
        assert_eq!(file.first_below("backends.a.b.servers", "url").as_deref(), Some("backends.a.b.servers.s.url"));
    }
}
