//! What can be wrong with a configuration text, and how it is told.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::de::{self, Expected, Unexpected};

use super::tree::{SourceLocation, Value};

/// A key that no option has. Traefik v1 ignores those without a word; Ringway ignores them and says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// The whole path, e.g. `entryPoints.http.adress`.
    pub key: String,
    /// The name that was probably meant.
    pub nearest: Option<String>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}: unknown key {}", self.file, self.line, self.key)?;
        match &self.nearest {
            Some(nearest) => write!(f, ": did you mean {nearest}?"),
            None => f.write_str(": it is ignored"),
        }
    }
}

/// A configuration that cannot be read. Its text shows file, line and column, the line itself, what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidConfig {
    /// The file's name, or the flag.
    pub file: String,
    /// Counted from 1; 0 when a flag is at fault.
    pub line: usize,
    /// In characters, counted from 1; 0 when a flag is at fault.
    pub column: usize,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it.
    pub help: String,
    shown: String,
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl std::error::Error for InvalidConfig {}

impl InvalidConfig {
    /// An error at a byte range of a file's text.
    pub(super) fn at(source: &SourceText<'_>, span: Range<usize>, message: String, help: String) -> Self {
        let span = clamp(source.text, span);
        let (line, column) = source.position(span.start);
        let file = source.file.to_owned();
        if source.holds_a_secret(span.start) {
            let shown = format!("{file} line {line}: {message}: {help} (the line holds a secret and is not shown)");
            return InvalidConfig { file, line, column, message, help, shown };
        }
        let snippet = Snippet::source(source.text)
            .path(source.file)
            .fold(true)
            .annotation(AnnotationKind::Primary.span(span).label(help.as_str()));
        let report = [Level::ERROR.primary_title(message.as_str()).element(snippet)];
        let shown = Renderer::plain().render(&report);
        InvalidConfig { file, line, column, message, help, shown }
    }

    fn of_flag(flag: &str, message: String, help: String) -> Self {
        let shown = format!("{flag}: {message}: {help}");
        InvalidConfig { file: flag.to_owned(), line: 0, column: 0, message, help, shown }
    }
}

/// The text that spans point into, and its name.
pub(super) struct SourceText<'a> {
    pub text: &'a str,
    pub file: &'a str,
}

impl SourceText<'_> {
    /// Line and column of a byte offset, both counted from 1.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..floor_char(self.text, offset)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }

    /// The line of a byte offset sets an option that holds secrets, stands in a table of them, or may be one more line of such a value.
    fn holds_a_secret(&self, offset: usize) -> bool {
        let (before, behind) = self.text.split_at(floor_char(self.text, offset));
        let end = before.len() + behind.find('\n').unwrap_or(behind.len());
        let lines = || self.text[..end].rsplit('\n');
        let is_marked = lines().next().is_some_and(|line| SECRET_MARKS.iter().any(|mark| line.contains(mark)));
        // Whatever stands before a `=`: an inline table has keys within.
        let keys = lines().find(|line| line.contains('=')).into_iter().flat_map(|line| line.rsplit('=').skip(1));
        let table = lines().map(str::trim_start).find(|line| line.starts_with('[') && line.contains(']')).unwrap_or("");
        is_marked || keys.flat_map(|key| key.split(['{', ',', '.'])).any(is_secret) || is_table_of_secrets(table)
    }
}

/// Whatever its keys are, as in `[backends.NAME.healthCheck.headers]`.
fn is_table_of_secrets(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    SECRET_TABLES.iter().any(|table| line.contains(table))
}

/// Options whose values are passwords, their hashes or keys.
const SECRET_KEYS: &[&str] =
    &["users", "basicAuth", "basic", "digest", "key", "keyFile", "customRequestHeaders", "headers"];
/// In lower case.
const SECRET_TABLES: &[&str] = &["customrequestheaders", "healthcheck.headers"];
/// What such values look like.
const SECRET_MARKS: &[&str] = &[":$", "{SHA}", "PRIVATE KEY"];

fn is_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    SECRET_KEYS.iter().any(|secret| secret.eq_ignore_ascii_case(name))
}

/// A value that does not fit its option, before the document's text is at hand.
#[derive(Debug)]
pub(super) struct TypeMismatch {
    message: String,
    /// What stands there instead of what was expected.
    found: Option<String>,
    help: String,
    origin: Option<SourceLocation>,
}

impl TypeMismatch {
    pub fn broken_toml(message: &str, span: Range<usize>) -> Self {
        let help = if message.contains("duplicate") {
            "remove one of the two"
        } else {
            "write `key = value` with texts in quotes, `[table]`, or `[[list]]`"
        };
        let message = format!("this is not valid TOML: {message}");
        TypeMismatch { message, found: None, help: help.to_owned(), origin: Some(SourceLocation::File(span)) }
    }

    pub fn number_too_large(origin: SourceLocation) -> Self {
        let help = "write a number that fits into 64 bits".to_owned();
        TypeMismatch { message: "this number is too large".to_owned(), found: None, help, origin: Some(origin) }
    }

    /// A name that occurs twice, once in another case: which one counts would be a guess.
    pub fn twice(key: &str, other: &str, origin: &SourceLocation) -> Self {
        let message = format!("{key} is the same option as {other}");
        TypeMismatch { message, found: None, help: "remove one of the two".to_owned(), origin: Some(origin.clone()) }
    }

    pub fn wrong_type(expected: &str, help: &str, found: &Value) -> Self {
        TypeMismatch {
            message: format!("expected {expected}"),
            found: Some(describe(found)),
            help: help.to_owned(),
            origin: None,
        }
    }

    /// Adds the place, unless a deeper value already did.
    pub fn locate(mut self, key: &str, origin: &SourceLocation) -> Self {
        if self.origin.is_none() {
            self.origin = Some(origin.clone());
            let found = self.found.take().filter(|_| !key.split('.').any(is_secret));
            self.message.extend(found.map(|found| format!(", found {found}")));
            if !key.is_empty() {
                self.message = format!("{key}: {}", self.message);
            }
        }
        self
    }

    pub fn show(self, source: &SourceText<'_>) -> InvalidConfig {
        let message = self.to_string();
        match self.origin {
            Some(SourceLocation::Flag(flag)) => InvalidConfig::of_flag(&flag, message, self.help),
            Some(SourceLocation::File(span)) => InvalidConfig::at(source, span, message, self.help),
            None => InvalidConfig::at(source, 0..0, message, self.help),
        }
    }
}

impl fmt::Display for TypeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.found.iter().try_for_each(|found| write!(f, ", found {found}"))
    }
}

impl std::error::Error for TypeMismatch {}

impl de::Error for TypeMismatch {
    fn custom<T: fmt::Display>(message: T) -> Self {
        TypeMismatch { message: message.to_string(), found: None, help: "correct this value".to_owned(), origin: None }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let (message, found) = (format!("expected {expected}"), Some(describe_unexpected(unexpected)));
        TypeMismatch { message, found, help: "change this value's type".to_owned(), origin: None }
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Text(text) => describe_text(text),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) => format!("the fraction {number:?}"),
        Value::Bool(flag) => format!("{flag}"),
        Value::Datetime(moment) => format!("the date {moment}"),
        Value::List(_) => "an array".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

fn describe_unexpected(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Str(text) => describe_text(text),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the fraction {number:?}"),
        Unexpected::Bool(flag) => format!("{flag}"),
        Unexpected::Seq => "an array".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// Texts may be whole certificates: the message shows their beginning.
fn describe_text(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 40;
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("the text {:?}...", &text[..end]),
        None => format!("the text {text:?}"),
    }
}

/// Spans come from a parser that may point one past the end, or between two bytes of a character.
fn clamp(text: &str, span: Range<usize>) -> Range<usize> {
    let start = floor_char(text, span.start);
    let end = floor_char(text, span.end).max(start);
    let first_line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    start..end.min(first_line_end.max(start))
}

fn floor_char(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
