//! Changes to a head, stored as a list beside the received bytes.

use super::known::begins_as;
use super::span::Span;
use super::token::is_token_byte;

/// The changes that the chain makes to a head, in order. Reused per connection: [`Edits::clear`] keeps the memory.
///
/// A later edit wins: setting or removing a name discards the earlier edits of that name. No value can break the head's framing, whatever
/// its source (a label, a client's URL through a regular expression): control bytes in a value become spaces, and an edit whose name is not
/// a token is ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    text: Vec<u8>,
    list: Vec<Edit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Removes all fields of that name.
    Remove { name: Span },
    /// Replaces all fields of that name by one with this value.
    Set { name: Span, value: Span },
    /// Adds one more field of that name.
    Add { name: Span, value: Span },
}

impl Edit {
    fn name(self) -> Span {
        let (Edit::Remove { name } | Edit::Set { name, .. } | Edit::Add { name, .. }) = self;
        name
    }
}

/// An [`Edit`] with its name and value as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditRef<'a> {
    Remove { name: &'a [u8] },
    Set { name: &'a [u8], value: &'a [u8] },
    Add { name: &'a [u8], value: &'a [u8] },
}

impl Edits {
    pub fn new() -> Self {
        Edits::default()
    }

    /// Replaces all fields of that name by one with this value.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        if !is_token(name) {
            return;
        }
        self.discard(name);
        let (name, value) = (self.store(name), self.store_value(value));
        self.list.push(Edit::Set { name, value });
    }

    /// Adds one more field of that name.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        if !is_token(name) {
            return;
        }
        let (name, value) = (self.store(name), self.store_value(value));
        self.list.push(Edit::Add { name, value });
    }

    /// Removes all fields of that name.
    pub fn remove(&mut self, name: &[u8]) {
        if !is_token(name) {
            return;
        }
        self.discard(name);
        let name = self.store(name);
        self.list.push(Edit::Remove { name });
    }

    /// Discards all edits and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.list.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The edits in order. A name has at most one Remove or Set, and its Adds follow that: a Remove or Set discards the earlier Adds.
    pub fn iter(&self) -> impl Iterator<Item = EditRef<'_>> {
        self.list.iter().map(|edit| match *edit {
            Edit::Remove { name } => EditRef::Remove { name: name.of(&self.text) },
            Edit::Set { name, value } => EditRef::Set { name: name.of(&self.text), value: value.of(&self.text) },
            Edit::Add { name, value } => EditRef::Add { name: name.of(&self.text), value: value.of(&self.text) },
        })
    }

    /// Whether the received fields of that name are removed or replaced.
    pub fn replaces(&self, name: &[u8]) -> bool {
        self.list.iter().any(|edit| match edit {
            Edit::Remove { name: of } | Edit::Set { name: of, .. } => of.of(&self.text).eq_ignore_ascii_case(name),
            Edit::Add { .. } => false,
        })
    }

    /// Whether a request's received fields of that name are not forwarded: either an edit removes or replaces them, or their name has a `_`
    /// where an edited name has a `-`, so that a backend that follows CGI rules would take them for the edited field.
    pub fn supersedes(&self, name: &[u8]) -> bool {
        self.replaces(name) || self.list.iter().any(|edit| is_alias(name, edit.name().of(&self.text)))
    }

    /// Whether an edit has that name, or a name that a backend that follows CGI rules cannot tell from it.
    pub fn concerns(&self, name: &[u8]) -> bool {
        self.list.iter().any(|edit| {
            let of = edit.name().of(&self.text);
            of.eq_ignore_ascii_case(name) || is_alias(name, of)
        })
    }

    /// The values that edits give to that name, in order.
    pub fn values<'a, 'n>(&'a self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.list.iter().filter_map(move |edit| match edit {
            Edit::Set { name: of, value } | Edit::Add { name: of, value } => {
                of.of(&self.text).eq_ignore_ascii_case(name).then(|| value.of(&self.text))
            }
            Edit::Remove { .. } => None,
        })
    }

    fn discard(&mut self, name: &[u8]) {
        let text = &self.text;
        self.list.retain(|edit| !edit.name().of(text).eq_ignore_ascii_case(name));
    }

    fn store(&mut self, bytes: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        Span::new(start, self.text.len())
    }

    fn store_value(&mut self, value: &[u8]) -> Span {
        let start = self.text.len();
        push_value(&mut self.text, value);
        Span::new(start, self.text.len())
    }
}

fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| is_token_byte(*byte))
}

/// Whether `name` differs from `of` only by `_` in place of `-`. Compares the lengths first: they distinguish nearly all names.
fn is_alias(name: &[u8], of: &[u8]) -> bool {
    name.len() == of.len() && begins_as(name, of) && !name.eq_ignore_ascii_case(of)
}

/// Appends a field value. Control bytes except tab become spaces (RFC 9110 5.5): CR and LF could end the line early.
pub fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    let start = out.len();
    out.extend_from_slice(value);
    for byte in &mut out[start..] {
        if (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f {
            *byte = b' ';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_edit_of_a_name_wins() {
        let mut edits = Edits::new();
        edits.add(b"X-A", b"0");
        edits.set(b"x-a", b"1");
        edits.add(b"X-A", b"2");
        assert_eq!(edits.values(b"X-a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert!(edits.replaces(b"X-A"));
        edits.remove(b"X-A");
        assert_eq!(edits.values(b"X-A").count(), 0);
        assert_eq!(edits.iter().collect::<Vec<_>>(), [EditRef::Remove { name: b"X-A" }]);
        edits.add(b"X-B", b"3");
        assert!(!edits.replaces(b"X-B"));
        edits.clear();
        assert!(edits.is_empty());
    }

    #[test]
    fn underscore_alias_of_an_edited_name_is_superseded() {
        let mut edits = Edits::new();
        edits.set(b"X-User-Id", b"1");
        edits.add(b"X-B", b"2");
        edits.set(b"X_C", b"3");
        for name in [&b"x-user-id"[..], b"X_User_Id", b"X-USER_id", b"x_b", b"X_C"] {
            assert!(edits.supersedes(name), "{}", name.escape_ascii());
        }
        for name in [&b"X-B"[..], b"X-C", b"X_User_Id2", b"X_User", b"XaUseraId"] {
            assert!(!edits.supersedes(name), "{}", name.escape_ascii());
        }
        assert!(!edits.replaces(b"X_User_Id"), "replaces() ignores aliases: a response may have both names");
    }

    #[test]
    fn edit_with_control_bytes_cannot_break_a_line() {
        let mut edits = Edits::new();
        edits.set(b"Location", b"/a\r\nSet-Cookie: b\0\x7f\tc");
        assert_eq!(edits.values(b"location").next(), Some(&b"/a  Set-Cookie: b  \tc"[..]));
        edits.set(b"A: b\r\nC", b"d");
        edits.add(b"", b"d");
        edits.remove(b"a b");
        assert_eq!(edits.iter().count(), 1);
    }

    #[test]
    fn clear_keeps_the_memory() {
        let mut edits = Edits::new();
        edits.set(b"X-Name", b"some value");
        let before = (edits.text.capacity(), edits.list.capacity());
        edits.clear();
        edits.set(b"X-Name", b"some value");
        assert_eq!((edits.text.capacity(), edits.list.capacity()), before);
    }
}
