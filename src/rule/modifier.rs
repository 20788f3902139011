//! Path modifiers: how a route changes the path of a request before it is forwarded (docs/reference/rules.md#path-modifiers). Their order
//! is that of Traefik v1: strip by template, strip, add a prefix, replace by expression, replace.

use regex::bytes::Regex;

use super::diagnostic::RULES;
use super::output::Output;
use super::path::{self, PathView};
use super::pattern::{self, Subject};
use super::replacement::Replacement;
use super::scratch::Scratch;
use super::template::Template;
use crate::diagnostics::{Code, Diagnostic};

/// The path modifiers of one rule; empty if the rule has matchers only.
#[derive(Debug, Clone, Default)]
pub struct Modifiers {
    strip_regex: Vec<Template>,
    /// Literal prefixes, longest first.
    strip: Vec<String>,
    add_prefix: String,
    /// `add_prefix` as it is written in a raw path.
    add_prefix_raw: String,
    replace_regex: Option<(Regex, Replacement)>,
    replace_path: String,
    /// `sanitizePath` of the entry point, set by the router: dot segments of the target are resolved, and the new path is rejected if it
    /// has one (docs/reference/security-promises.md#path-traversal).
    pub(crate) sanitize: bool,
}

/// The result of applying path modifiers to a request's target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathOutcome<'a> {
    /// Forward the target byte for byte.
    Unchanged,
    /// Forward this target instead.
    Forward(Rewritten<'a>),
    /// The path has none of the prefixes to strip: 404, as for an unknown route.
    NotFound,
    /// The prefix to strip cannot be rebuilt from the variables of its template: 200 without a body, as in Traefik v1.
    Empty,
    /// The new path would contain a dot segment, or the target is malformed: 400.
    Refused,
}

/// A new target, and facts about the old one for middlewares and header fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten<'a> {
    /// The raw target in origin form, query included.
    pub target: &'a [u8],
    /// Values of `X-Forwarded-Prefix`, to be added in this order after those of the client.
    pub prefixes: [Option<&'a [u8]>; 2],
    /// Value of `X-Replaced-Path`, which replaces that of the client: the decoded path before the replacement.
    pub replaced_path: Option<&'a [u8]>,
    /// The decoded path before the last strip, for the redirect middleware (docs/reference/middlewares.md#redirect).
    pub stripped_from: Option<&'a [u8]>,
    /// The prefix that was added, for the redirect middleware.
    pub added_prefix: Option<&'a [u8]>,
}

/// The field that names the stripped prefix to the server.
pub const X_FORWARDED_PREFIX: &str = "X-Forwarded-Prefix";
/// The field that names the replaced path to the server.
pub const X_REPLACED_PATH: &str = "X-Replaced-Path";

/// The outcome of a request for which no further modifier is applied.
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

    /// Applies the modifiers to the raw target of a request on this route. The caller must do so even if there are no modifiers: a
    /// target with dot segments, without a path or with raw non-ASCII bytes is not forwarded as received.
    pub fn apply<'a>(&'a self, target: &[u8], scratch: &'a mut Scratch) -> PathOutcome<'a> {
        let Scratch { path: buffers, output, .. } = scratch;
        let Ok(view) = path::read(target, self.sanitize, buffers) else { return PathOutcome::Refused };
        if self.is_empty() {
            return unmodified(target, &view, output);
        }
        output.begin(&view);
        match self.apply_all(output) {
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

    /// Parses `expression replacement`. A text that has no effect in Traefik v1 has none here either; the error says why.
    pub(crate) fn replace_path_regex(&mut self, text: &str) -> Result<(), Diagnostic> {
        self.replace_regex = None;
        let parts: Vec<&str> = text.split(' ').collect();
        let [expression, replacement] = parts[..] else {
            let reason = "write an expression and a replacement with exactly one space between them";
            return Err(Diagnostic::new(Code::RuleWithoutEffect, RULES, reason));
        };
        let regex = pattern::compile(expression.trim())?;
        if !replacement.is_empty() {
            let replacement = Replacement::new(replacement, &regex);
            self.replace_regex = Some((regex, replacement));
        }
        Ok(())
    }

    fn apply_all(&self, output: &mut Output) -> Result<(), Stop> {
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
                self.clear_raw(output);
                output.set_changed();
            }
        }
        if !self.replace_path.is_empty() {
            output.replaced_path.set(&output.path);
            output.path.clear();
            output.path.extend_from_slice(self.replace_path.as_bytes());
            self.clear_raw(output);
            output.set_changed();
        }
        Ok(())
    }

    /// Removes the concrete prefix of the first template that matches: as many bytes as the rebuilt prefix has.
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

    /// Removes the first, hence longest, prefix with which the decoded path begins.
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

    /// Clears the raw path after a replacement of the path. Without `sanitize` it stays: [`path::escaped_path`] uses it only while it
    /// still decodes to the path, as Go does.
    fn clear_raw(&self, output: &mut Output) {
        if self.sanitize {
            output.raw.clear();
        }
    }
}

impl<'a> Rewritten<'a> {
    /// The header fields that accompany the new target: name, value, and whether the value is added to those of the client or replaces
    /// them.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &'a [u8], FieldEdit)> + use<'a> {
        let forwarded_prefixes =
            self.prefixes.into_iter().flatten().map(|value| (X_FORWARDED_PREFIX, value, FieldEdit::Add));
        forwarded_prefixes.chain(self.replaced_path.map(|value| (X_REPLACED_PATH, value, FieldEdit::Set)))
    }
}

/// How a field value is written into the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldEdit {
    Add,
    Set,
}

/// The outcome if no modifier changed the path: the target is forwarded as received, except for dot segments, a missing path and raw
/// non-ASCII bytes.
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

/// Removes `prefix` from the front of `text` if it is there, and adds a leading slash if none is left.
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
