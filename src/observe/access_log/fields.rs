//! The header fields of a message, wherever they are kept, in the order and spelling of the log.

use std::cmp::Ordering;

use crate::http::{Field, Reply};

/// How many fields of one message a line tells at most; more are left out.
pub const LOGGED_FIELDS_MAX: usize = 128;
/// Most heads have fewer: their list is made in one piece.
const LOGGED_FIELDS_USUAL: usize = 24;

/// Where a message's fields are.
#[derive(Clone, Copy, Default)]
pub enum FieldList<'a> {
    #[default]
    None,
    /// A received head: `fields` point into `bytes`.
    Head { bytes: &'a [u8], fields: &'a [Field] },
    /// The lines of a head as written to the wire; a start line in front is passed over.
    Lines(&'a [u8]),
    /// An answer made by the proxy.
    Reply(&'a Reply),
}

type Pair<'a> = (&'a [u8], &'a [u8]);

/// Fields sorted by canonical name, the first of each name only.
pub(super) struct SortedFields<'a> {
    pairs: Vec<Pair<'a>>,
}

impl<'a> FieldList<'a> {
    /// The first value of that field, trimmed.
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
        // Not an array: filling and moving the largest one cost more than all the rest of a line.
        let mut sorted = SortedFields { pairs: Vec::with_capacity(LOGGED_FIELDS_USUAL) };
        self.each(|name, value| sorted.push(name, value));
        sorted.order();
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
            FieldList::Reply(reply) => {
                for (name, value) in &reply.fields {
                    visit(name.as_bytes(), value.trim_ascii());
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

/// Name and value of one line; a start line has a space before its first colon, if it has one at all.
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

    /// Equal names stay in their order, which decides what "the first value" is.
    fn order(&mut self) {
        self.pairs.sort_by(|a, b| compare_canonical(a.0, b.0));
    }
}

/// The bytes of a field's name with Go's capitals: `x-real-ip` is told as `X-Real-Ip`.
pub(super) fn canonical(name: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut upper = true;
    name.iter().map(move |&byte| {
        let shown = if upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
        upper = byte == b'-';
        shown
    })
}

fn same_name(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
}

fn compare_canonical(a: &[u8], b: &[u8]) -> Ordering {
    canonical(a).cmp(canonical(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Known, Span};

    fn shown(list: FieldList) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        list.sorted().iter().map(|(n, v)| (text(&canonical(n).collect::<Vec<_>>()), text(v))).collect()
    }

    #[test]
    fn lines_are_sorted_and_only_the_first_of_a_name_stays() {
        let lines = b"HTTP/1.1 200 All: right\r\nx-b: 1\r\nSet-Cookie: a=1\r\nX-A:2\r\nset-cookie: b=2\r\n\r\n";
        let expected = [("Set-Cookie", "a=1"), ("X-A", "2"), ("X-B", "1")];
        assert_eq!(shown(FieldList::Lines(lines)), expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(FieldList::Lines(lines).first("x-a"), Some(&b"2"[..]));
        assert_eq!(FieldList::None.first("x-a"), None);
    }

    #[test]
    fn heads_and_replies_tell_the_same() {
        let bytes = b"etag: 5 ";
        let fields = [Field { name: Span::new(0, 4), value: Span::new(5, 8), known: Known::Other, hop: false }];
        let reply = Reply { status: 200, ..Reply::default() }.with("Etag", &b"5"[..]);
        let expected = vec![("Etag".to_owned(), "5".to_owned())];
        assert_eq!(shown(FieldList::Head { bytes, fields: &fields }), expected);
        assert_eq!(shown(FieldList::Reply(&reply)), expected);
    }

    #[test]
    fn fields_beyond_the_bound_are_left_out() {
        let lines: String = (0..LOGGED_FIELDS_MAX + 9).map(|n| format!("n{n:04}: v\r\n")).collect();
        assert_eq!(shown(FieldList::Lines(lines.as_bytes())).len(), LOGGED_FIELDS_MAX);
    }
}
