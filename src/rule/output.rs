//! The path and the field values of a request while its modifiers are applied, in memory that later requests reuse.

use super::path::{self, PathView};

/// The rewritten path, the target made of it and the field values that go with it.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// The decoded path.
    pub(super) path: Vec<u8>,
    /// The encoded path if it differs from the plain encoding of `path`, else empty (Go's `URL.RawPath`).
    pub(super) raw: Vec<u8>,
    /// Scratch memory: the encoded path for a comparison, the concrete prefix of a template, or the path after a replacement.
    pub(super) spare: Vec<u8>,
    pub(super) target: Vec<u8>,
    /// The prefixes that were stripped: by template, then by literal text.
    pub(super) prefixes: [OptionalBytes; 2],
    pub(super) stripped_from: OptionalBytes,
    pub(super) replaced_path: OptionalBytes,
    /// The target gets a leading slash if the path has none.
    pub(super) ensure_slash: bool,
    pub(super) changed: bool,
}

/// A value that a request may have or not; the memory stays allocated in both cases.
#[derive(Debug, Default)]
pub(super) struct OptionalBytes {
    bytes: Vec<u8>,
    is_set: bool,
}

impl OptionalBytes {
    /// Stores a decoded path for a header field. Control bytes, which no field may contain, are percent-encoded.
    pub fn set(&mut self, path: &[u8]) {
        self.is_set = true;
        self.bytes.clear();
        for &byte in path.trim_ascii() {
            if byte.is_ascii_control() {
                path::push_escape(byte, &mut self.bytes);
            } else {
                self.bytes.push(byte);
            }
        }
    }

    pub fn value(&self) -> Option<&[u8]> {
        self.is_set.then_some(&*self.bytes)
    }
}

impl Output {
    /// Takes over the path of a new request and clears everything else.
    pub fn begin(&mut self, view: &PathView<'_>) {
        self.path.clear();
        self.path.extend_from_slice(view.path);
        self.spare.clear();
        path::encode_into(view.path, &mut self.spare);
        self.raw.clear();
        if self.spare != view.raw {
            self.raw.extend_from_slice(view.raw);
        }
        let [template, literal] = &mut self.prefixes;
        for value in [template, literal, &mut self.stripped_from, &mut self.replaced_path] {
            value.is_set = false;
        }
        self.ensure_slash = false;
        self.changed = false;
    }

    /// Records that a modifier has changed the path.
    pub fn set_changed(&mut self) {
        self.changed = true;
        self.ensure_slash = false;
    }

    /// Removes from the raw path the encoded form of a prefix whose `len` decoded bytes have already been removed from `path`. The
    /// remainder keeps its escapes; v1 instead turns an encoded slash into a real one whenever Go's rule makes it encode the path again.
    /// All slashes at the front of the remainder, encoded or not, become a single real slash: two would begin an authority.
    pub fn cut_raw(&mut self, len: usize) {
        let (front, slashes) = path::raw_front(&self.raw, len);
        let slash = if self.path.first() == Some(&b'/') { "/" } else { "" };
        if !self.raw.is_empty() {
            self.raw.splice(..front + slashes, slash.bytes());
        }
    }

    /// Writes the target in origin form: the encoded path, then the query.
    pub fn write_target(&mut self, query: &[u8], sanitize: bool) {
        self.target.clear();
        if sanitize && !self.raw.is_empty() {
            path::escape_illegal(&self.raw, &mut self.target);
        } else {
            path::escaped_path(&self.path, &self.raw, &mut self.target);
        }
        if self.target.is_empty() {
            self.target.push(b'/');
        }
        if self.ensure_slash && self.target[0] != b'/' {
            self.target.insert(0, b'/');
        }
        if sanitize {
            let slashes = self.target.iter().take_while(|byte| **byte == b'/').count();
            self.target.splice(..slashes, *b"/");
        }
        self.target.extend_from_slice(query);
    }
}
