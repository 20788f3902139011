//! The header fields of a message, in any form in which the proxy stores them, listed in the order and spelling of the log.

use std::cmp::Ordering;

use crate::http::Field;
use crate::observe::go_json;

/// The most header fields of one message that a line lists; further ones are omitted.
pub const LOGGED_FIELDS_MAX: usize = 128;
/// Initial capacity of a list: most heads have fewer fields, so that their list is allocated once.
const LOGGED_FIELDS_USUAL: usize = 24;

/// Where a message's header fields are stored.
#[derive(Clone, Copy, Default)]
pub enum FieldList<'a> {
    #[default]
    None,
    /// A received head: the spans of `fields` point into `bytes`.
    Head { bytes: &'a [u8], fields: &'a [Field] },
    /// The lines of a head as written to the wire. A start line in front of them is ignored.
    Lines(&'a [u8]),
}

type Pair<'a> = (&'a [u8], &'a [u8]);

/// Fields sorted by canonical name. Iteration yields only the first field of each name.
pub(super) struct SortedFields<'a> {
    pairs: Vec<Pair<'a>>,
}

impl<'a> FieldList<'a> {
    /// The first value of the named field, trimmed.
    pub fn first(&self, name: &str) -> Option<&'a [u8]> {
        let mut found = None;
        self.each(|field, value| {
            if found.is_none() && field.eq_ignore_ascii_case(name.as_bytes()) {
                found = Some(value);
            }
        });
        found
    }

    pub(super) fn sorted(&self) -> SortedFields<'a> {
        // A `Vec` instead of an array: filling and moving an array of LOGGED_FIELDS_MAX took longer than the rest of a line.
        let mut sorted = SortedFields { pairs: Vec::with_capacity(LOGGED_FIELDS_USUAL) };
        self.each(|name, value| sorted.push(name, value));
        sorted.sort();
        sorted
    }

    fn each(&self, mut visit: impl FnMut(&'a [u8], &'a [u8])) {
        match *self {
            FieldList::None => {}
            FieldList::Head { bytes, fields } => {
                for field in fields {
                    visit(field.name.of(bytes), field.value.of(bytes).trim_ascii());
                }
            }
            FieldList::Lines(lines) => {
                for (name, value) in lines.split(|&b| b == b'\n').filter_map(split_line) {
                    visit(name, value);
                }
            }
        }
    }
}

/// Name and value of one line; `None` for a start line, which has no colon or has a space before its first one.
fn split_line(line: &[u8]) -> Option<Pair<'_>> {
    let colon = memchr::memchr(b':', line)?;
    let name = &line[..colon];
    let is_name = !name.is_empty() && !name.contains(&b' ');
    is_name.then(|| (name, line[colon + 1..].trim_ascii()))
}

impl<'a> SortedFields<'a> {
    pub(super) fn iter(&self) -> impl Iterator<Item = Pair<'a>> + '_ {
        let pairs = &self.pairs;
        pairs.iter().enumerate().filter(|(at, pair)| *at == 0 || !same_name(pairs[at - 1].0, pair.0)).map(|(_, p)| *p)
    }

    fn push(&mut self, name: &'a [u8], value: &'a [u8]) {
        if self.pairs.len() < LOGGED_FIELDS_MAX {
            self.pairs.push((name, value));
        }
    }

    /// Sorts by canonical name. The sort is stable: the first of several fields of a name stays the first.
    fn sort(&mut self) {
        self.pairs.sort_by(|a, b| compare_canonical(a.0, b.0));
    }
}

/// Appends a field's name in Go's canonical case: `x-real-ip` becomes `X-Real-Ip`. A received name is a token (RFC 9110 5.1).
/// In other names, bytes that no token has and that would need escapes in a line are omitted: they carry no information.
pub(super) fn push_canonical(out: &mut Vec<u8>, name: &[u8]) {
    let from = out.len();
    out.extend_from_slice(name);
    let appended = &mut out[from..];
    appended.make_ascii_lowercase();
    let mut is_first = true;
    for byte in appended.iter_mut() {
        if is_first {
            byte.make_ascii_uppercase();
        }
        is_first = *byte == b'-';
    }
    if !go_json::is_plain(appended) || appended.contains(&b' ') {
        let kept: Vec<u8> = out.drain(from..).filter(|&byte| needs_no_escape(byte)).collect();
        out.extend_from_slice(&kept);
    }
}

fn needs_no_escape(byte: u8) -> bool {
    byte.is_ascii_graphic() & (byte != b'"') & (byte != b'\\')
}

/// A letter in Go's canonical case: upper case if the byte before it is a hyphen, else lower case.
fn canonical_case(before: u8, byte: u8) -> u8 {
    if before == b'-' { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() }
}

fn same_name(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Compares two names in canonical case. Their case matters only at the first position where they differ in more than case: the
/// canonical names have the same bytes before it.
fn compare_canonical(a: &[u8], b: &[u8]) -> Ordering {
    // Most names differ in their first letters already.
    if let ([x, ..], [y, ..]) = (a, b)
        && !x.eq_ignore_ascii_case(y)
    {
        return x.to_ascii_uppercase().cmp(&y.to_ascii_uppercase());
    }
    match a.iter().zip(b).position(|(x, y)| !x.eq_ignore_ascii_case(y)) {
        None => a.len().cmp(&b.len()),
        // `at` is not 0: names that differ in their first letters were compared above.
        Some(at) => canonical_case(a[at - 1], a[at]).cmp(&canonical_case(a[at - 1], b[at])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{KnownField, Span};

    fn shown(list: FieldList) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let name = |bytes: &[u8]| {
            let mut out = Vec::new();
            push_canonical(&mut out, bytes);
            text(&out)
        };
        list.sorted().iter().map(|(n, v)| (name(n), text(v))).collect()
    }

    #[test]
    fn sorted_lines_keep_only_first_field_of_a_name() {
        let lines = b"HTTP/1.1 200 All: right\r\nx-b: 1\r\nSet-Cookie: a=1\r\nX-A:2\r\nset-cookie: b=2\r\n\r\n";
        let expected = [("Set-Cookie", "a=1"), ("X-A", "2"), ("X-B", "1")];
        assert_eq!(shown(FieldList::Lines(lines)), expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(FieldList::Lines(lines).first("x-a"), Some(&b"2"[..]));
        assert_eq!(FieldList::None.first("x-a"), None);
    }

    #[test]
    fn names_are_sorted_by_canonical_case() {
        let lines = b"xa: 1\r\nX-a: 2\r\nX_B: 3\r\nx: 4\r\nXB: 5\r\nxA-\"c\xc3: 6\r\n\r\n";
        let names: Vec<String> = shown(FieldList::Lines(lines)).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["X", "X-A", "X_b", "Xa", "Xa-c", "Xb"]);
        assert!(names.is_sorted());
    }

    #[test]
    fn parsed_head_and_its_lines_list_the_same_fields() {
        let bytes = b"etag: 5 ";
        let fields = [Field { name: Span::new(0, 4), value: Span::new(5, 8), known: KnownField::Other, hop: false }];
        let expected = vec![("Etag".to_owned(), "5".to_owned())];
        assert_eq!(shown(FieldList::Head { bytes, fields: &fields }), expected);
        assert_eq!(shown(FieldList::Lines(b"HTTP/1.1 200 OK\r\netag: 5\r\n\r\n")), expected);
    }

    #[test]
    fn fields_beyond_the_maximum_are_omitted() {
        let lines: String = (0..LOGGED_FIELDS_MAX + 9).map(|n| format!("n{n:04}: v\r\n")).collect();
        assert_eq!(shown(FieldList::Lines(lines.as_bytes())).len(), LOGGED_FIELDS_MAX);
    }
}
