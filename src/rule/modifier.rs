//! What a route does to the path before the request is forwarded, in v1's fixed order (docs/reference/rules.md#path-modifiers):
//! strip by template, strip, add a prefix, replace by expression, replace.

use regex::bytes::Regex;

use super::diagnostic::Diagnostic;
use super::output::Output;
use super::path::{self, PathView};
use super::pattern::{self, Subject};
use super::replacement::Replacement;
use super::scratch::Scratch;
use super::template::Template;

/// The path modifiers of one rule. Empty for a rule that only matches.
#[derive(Debug, Clone, Default)]
pub struct Modifiers {
    strip_regex: Vec<Template>,
    /// Longest first.
    strip: Vec<String>,
    add_prefix: String,
    /// The same as it is written in a raw path.
    add_prefix_raw: String,
    replace_regex: Option<(Regex, Replacement)>,
    replace_path: String,
    /// Set by the router: the target is read, and the outcome checked, as docs/reference/security-promises.md#path-traversal, docs/reference/rules.md#path-handling wants.
    pub(crate) sanitize: bool,
}

/// What becomes of a request's target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathOutcome<'a> {
    /// Forward the target byte for byte.
    Unchanged,
    Forward(Rewritten<'a>),
    /// No prefix to strip: 404 as for an unknown route.
    NotFound,
    /// The prefix cannot be rebuilt from its variables: v1 answers 200 without a body.
    Empty,
    /// The new path would hold a traversal, or the target is malformed: 400.
    Refused,
}

/// A new target, and what later steps need to know of the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten<'a> {
    /// The raw target in origin form, query included.
    pub target: &'a [u8],
    /// Values of `X-Forwarded-Prefix`, to be added after the client's own, in this order.
    pub prefixes: [Option<&'a [u8]>; 2],
    /// Value of `X-Replaced-Path`, which replaces the client's: the decoded path before the replacement.
    pub replaced_path: Option<&'a [u8]>,
    /// The decoded path before the last strip, for the redirect middleware (docs/reference/middlewares.md#redirect).
    pub stripped_from: Option<&'a [u8]>,
    /// The prefix that was added, for the redirect middleware.
    pub added_prefix: Option<&'a [u8]>,
}

/// Name of the field that tells the origin which prefix was cut off.
pub const X_FORWARDED_PREFIX: &str = "X-Forwarded-Prefix";
/// Name of the field that tells the origin which path was replaced.
pub const X_REPLACED_PATH: &str = "X-Replaced-Path";

/// Why a modifier ended the request.
enum Stop {
    NotFound,
    Empty,
}

impl Modifiers {
    pub fn is_empty(&self) -> bool {
        self.strip_regex.is_empty()
            && self.strip.is_empty()
            && self.add_prefix.is_empty()
            && self.replace_regex.is_none()
            && self.replace_path.is_empty()
    }

    /// Applies the modifiers to the raw target of a request that was routed here. Must be asked also when there are none: a target
    /// with dot segments, without a path or with raw non-ASCII bytes is not forwarded as received.
    pub fn apply<'a>(&'a self, target: &[u8], scratch: &'a mut Scratch) -> PathOutcome<'a> {
        let Scratch { path: buffers, output, .. } = scratch;
        let Ok(view) = path::read(target, self.sanitize, buffers) else { return PathOutcome::Refused };
        if self.is_empty() {
            return unmodified(target, &view, output);
        }
        output.begin(&view);
        match self.walk(output) {
            Ok(()) => {}
            Err(Stop::NotFound) => return PathOutcome::NotFound,
            Err(Stop::Empty) => return PathOutcome::Empty,
        }
        if !output.changed {
            return unmodified(target, &view, output);
        }
        output.write_target(view.query, self.sanitize);
        let path_len = output.target.len() - view.query.len();
        if self.sanitize && path::has_dot_segment(&output.target[..path_len]) {
            return PathOutcome::Refused;
        }
        PathOutcome::Forward(Rewritten {
            target: &output.target,
            prefixes: [output.prefixes[0].value(), output.prefixes[1].value()],
            replaced_path: output.replaced_path.value(),
            stripped_from: output.stripped_from.value(),
            added_prefix: (!self.add_prefix.is_empty()).then_some(self.add_prefix.as_bytes()),
        })
    }

    pub(crate) fn strip(&mut self, prefixes: Vec<String>) {
        self.strip = prefixes;
    }

    pub(crate) fn strip_regex(&mut self, templates: Vec<Template>) {
        self.strip_regex = templates;
    }

    pub(crate) fn add_prefix(&mut self, prefix: String) {
        self.add_prefix_raw = prefix.replace('%', "%25");
        self.add_prefix = prefix;
    }

    pub(crate) fn replace_path(&mut self, path: String) {
        self.replace_path = path;
    }

    /// Reads `expression replacement`. A text that has no effect in v1 has none here, and the error says why.
    pub(crate) fn replace_path_regex(&mut self, text: &str) -> Result<(), Diagnostic> {
        self.replace_regex = None;
        let parts: Vec<&str> = text.split(' ').collect();
        let [expression, replacement] = parts[..] else {
            return Err("write an expression and a replacement with exactly one space between them".to_owned().into());
        };
        let regex = pattern::compile(expression.trim())?;
        if !replacement.is_empty() {
            let replacement = Replacement::new(replacement, &regex);
            self.replace_regex = Some((regex, replacement));
        }
        Ok(())
    }

    fn walk(&self, output: &mut Output) -> Result<(), Stop> {
        if !self.strip_regex.is_empty() {
            self.cut_template(output)?;
        }
        if !self.strip.is_empty() {
            self.cut_prefix(output)?;
        }
        if !self.add_prefix.is_empty() {
            insert_front(&mut output.path, self.add_prefix.as_bytes());
            if !output.raw.is_empty() {
                let prefix = if self.sanitize { &self.add_prefix_raw } else { &self.add_prefix };
                insert_front(&mut output.raw, prefix.as_bytes());
            }
            output.set_changed();
        }
        if let Some((regex, replacement)) = &self.replace_regex {
            let Output { path, spare, .. } = output;
            let subject = Subject::new(path);
            if replacement.replace_all(regex, &subject, path, spare) {
                drop(subject);
                output.replaced_path.set(&output.path);
                std::mem::swap(&mut output.path, &mut output.spare);
                self.forget_raw(output);
                output.set_changed();
            }
        }
        if !self.replace_path.is_empty() {
            output.replaced_path.set(&output.path);
            output.path.clear();
            output.path.extend_from_slice(self.replace_path.as_bytes());
            self.forget_raw(output);
            output.set_changed();
        }
        Ok(())
    }

    /// Cuts the concrete prefix of the first template that matches, by length.
    fn cut_template(&self, output: &mut Output) -> Result<(), Stop> {
        let Output { path, spare, .. } = output;
        let rebuilt = self.strip_regex.iter().find_map(|template| template.concrete_prefix(path, spare));
        let len = output.spare.len();
        match rebuilt {
            None => return Err(Stop::NotFound),
            Some(rebuilt) if !rebuilt || len > output.path.len() => return Err(Stop::Empty),
            Some(_) => {}
        }
        output.stripped_from.set(&output.path);
        output.prefixes[0].set(&output.spare);
        output.path.drain(..len);
        if self.sanitize {
            output.cut_raw(len);
        } else {
            output.raw.drain(..len.min(output.raw.len()));
        }
        output.set_changed();
        output.ensure_slash = true;
        Ok(())
    }

    /// Cuts the first, hence longest, prefix that the decoded path begins with.
    fn cut_prefix(&self, output: &mut Output) -> Result<(), Stop> {
        let prefix = self.strip.iter().map(|prefix| prefix.as_bytes()).find(|prefix| output.path.starts_with(prefix));
        let prefix = prefix.ok_or(Stop::NotFound)?;
        output.stripped_from.set(&output.path);
        cut(&mut output.path, prefix);
        if self.sanitize {
            output.cut_raw(prefix.len());
        } else if !output.raw.is_empty() {
            cut(&mut output.raw, prefix);
        }
        output.prefixes[1].set(prefix);
        output.set_changed();
        Ok(())
    }

    /// The path is a new one. Without sanitising Go's rule decides, which compares the two.
    fn forget_raw(&self, output: &mut Output) {
        if self.sanitize {
            output.raw.clear();
        }
    }
}

impl<'a> Rewritten<'a> {
    /// The fields that go with the new target: name, value, and whether it is added to those of the client or replaces them.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &'a [u8], FieldEdit)> + use<'a> {
        let added = self.prefixes.into_iter().flatten().map(|value| (X_FORWARDED_PREFIX, value, FieldEdit::Add));
        added.chain(self.replaced_path.map(|value| (X_REPLACED_PATH, value, FieldEdit::Set)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldEdit {
    Add,
    Set,
}

/// A target without modifiers: forwarded as received, but for what may not be (dot segments, no path, raw non-ASCII bytes).
fn unmodified<'a>(target: &[u8], view: &PathView<'_>, output: &'a mut Output) -> PathOutcome<'a> {
    let received = &target[..target.len() - view.query.len()];
    let raw = if view.rewritten { view.raw } else { received };
    if !view.rewritten && raw.is_ascii() {
        return PathOutcome::Unchanged;
    }
    output.target.clear();
    for &byte in raw {
        if byte.is_ascii() {
            output.target.push(byte);
        } else {
            path::push_escape(byte, &mut output.target);
        }
    }
    output.target.extend_from_slice(view.query);
    PathOutcome::Forward(Rewritten {
        target: &output.target,
        prefixes: [None; 2],
        replaced_path: None,
        stripped_from: None,
        added_prefix: None,
    })
}

fn insert_front(text: &mut Vec<u8>, prefix: &[u8]) {
    text.splice(..0, prefix.iter().copied());
}

/// Removes `prefix` where it is there, then makes sure of one leading slash.
fn cut(text: &mut Vec<u8>, prefix: &[u8]) {
    if text.starts_with(prefix) {
        text.drain(..prefix.len());
    }
    if text.first() != Some(&b'/') {
        text.insert(0, b'/');
    }
}

#[cfg(test)]
mod tests;
