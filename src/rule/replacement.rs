//! Replacement texts with `$1`, `${1}`, `$name`, `${name}` and `$$`, as Go expands them.

use regex::bytes::Regex;

use super::pattern::Subject;

/// A replacement text, parsed for the expression whose groups it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replacement {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Group(usize),
}

impl Replacement {
    /// Parses a replacement text. A reference to a group that the expression does not have is empty; a malformed reference is plain text.
    pub fn new(text: &str, regex: &Regex) -> Self {
        let mut pieces = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            plain.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                plain.push(b'$');
                rest = after;
            } else if let Some((name, after)) = reference(rest) {
                rest = after;
                if let Some(group) = group_of(name, regex) {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Group(group));
                }
            } else {
                plain.push(b'$');
            }
        }
        plain.extend_from_slice(rest.as_bytes());
        pieces.push(Piece::Text(plain));
        Replacement { pieces }
    }

    /// Writes `original` with every match replaced to `out`. Returns false if there is no match: `out` then has no meaning.
    pub fn replace_all(&self, regex: &Regex, subject: &Subject<'_>, original: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        let mut end = 0;
        let mut found = false;
        for captures in regex.captures_iter(&subject.text) {
            let Some(whole) = captures.get(0) else { continue };
            found = true;
            out.extend_from_slice(&original[end..subject.original(whole.start())]);
            end = subject.original(whole.end());
            for piece in &self.pieces {
                match piece {
                    Piece::Text(text) => out.extend_from_slice(text),
                    Piece::Group(group) => {
                        if let Some(group) = captures.get(*group) {
                            let range = subject.original(group.start())..subject.original(group.end());
                            out.extend_from_slice(&original[range]);
                        }
                    }
                }
            }
        }
        out.extend_from_slice(&original[end..]);
        found
    }
}

/// The name behind a `$`, as long as possible, and the text behind the reference.
fn reference(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{');
    let from_name = inner.unwrap_or(text);
    let len = from_name.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(from_name.len());
    let (name, after) = from_name.split_at(len);
    if name.is_empty() {
        return None;
    }
    let after = if inner.is_some() { after.strip_prefix('}')? } else { after };
    Some((name, after))
}

/// The number of the group that a reference names.
fn group_of(name: &str, regex: &Regex) -> Option<usize> {
    let is_number = name.bytes().all(|b| b.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    if is_number {
        return name.parse().ok().filter(|group| *group < regex.captures_len());
    }
    regex.capture_names().position(|group| group == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(expression: &str, replacement: &str, text: &str) -> String {
        let regex = crate::rule::pattern::compile(expression).expect(expression);
        let mut out = Vec::new();
        let subject = Subject::new(text.as_bytes());
        Replacement::new(replacement, &regex).replace_all(&regex, &subject, text.as_bytes(), &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn references_expand_as_in_go() {
        assert_eq!(replaced("(a)(?P<n>b)", "[$1|${1}x|$1x|$n|$$|$9|$0]", "-ab-"), "-[a|ax||b|$||ab]-");
        assert_eq!(replaced("a", "$", "a"), "$");
        assert_eq!(replaced("a", "${x", "a"), "${x");
        assert_eq!(replaced("a", "$-é", "a"), "$-é");
        assert_eq!(replaced("(a)", "$01", "a"), "");
    }

    #[test]
    fn replace_all_replaces_every_match() {
        assert_eq!(replaced("a*", "x", "baac"), "xbxcx");
        assert_eq!(replaced("/", "//", "/a/b"), "//a//b");
    }
}
