//! Errors and warnings about a configuration text, and their messages.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level as Title, Renderer, Snippet};
use serde::de::{self, Expected, Unexpected};

use super::tree::{SourceLocation, Value};
use crate::diagnostics::{Code, Finding, Level, Place};

/// A key that no option has. Traefik v1 ignores such a key silently; Ringway ignores it with this warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// The full path, e.g. `entryPoints.http.adress`.
    pub key: String,
    /// The known name that was probably meant, if one is similar.
    pub nearest: Option<String>,
    pub(super) place: Place,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}: {}", self.file, self.line, self.message())
    }
}

impl Warning {
    fn message(&self) -> String {
        match &self.nearest {
            Some(nearest) => format!("unknown key {}: did you mean {nearest}?", self.key),
            None => format!("unknown key {}: it is ignored", self.key),
        }
    }

    /// The warning with its place, its meaning and its remedy.
    pub fn finding(&self) -> Finding {
        let finding = Finding::new(Level::Warning, Code::UnknownKey, self.message());
        finding.about(self.key.as_str()).at(self.place.clone())
    }
}

/// The error of a configuration that cannot be read. The displayed text shows file, line and column, the line itself, what is
/// wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidConfig {
    /// The file's name, or the flag.
    pub file: String,
    /// Counted from 1; 0 if the error is in a flag.
    pub line: usize,
    /// In characters, counted from 1; 0 if the error is in a flag.
    pub column: usize,
    /// The mistake, in one line.
    pub message: String,
    /// The remedy, e.g. `put it in quotes`.
    pub help: String,
    /// Boxed: errors are large, and rare.
    kind: Box<(Code, Place)>,
    rendered: String,
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered)
    }
}

impl std::error::Error for InvalidConfig {}

impl InvalidConfig {
    /// An error at a byte range of a file's text.
    pub(super) fn at(source: &SourceText<'_>, span: Range<usize>, code: Code, message: String, help: String) -> Self {
        let kind = Box::new((code, source.place(span.clone())));
        let span = clamp(source.text, span);
        let (line, column) = source.position(span.start);
        let file = source.file.to_owned();
        if source.may_hold_secret(span.start) {
            let rendered = format!("{file} line {line}: {message}: {help} (the line holds a secret and is not shown)");
            return InvalidConfig { file, line, column, message, help, kind, rendered };
        }
        let snippet = Snippet::source(source.text)
            .path(source.file)
            .fold(true)
            .annotation(AnnotationKind::Primary.span(span).label(help.as_str()));
        let report = [Title::ERROR.primary_title(message.as_str()).element(snippet)];
        let rendered = Renderer::plain().render(&report);
        InvalidConfig { file, line, column, message, help, kind, rendered }
    }

    fn of_flag(flag: &str, message: String, help: String) -> Self {
        let rendered = format!("{flag}: {message}: {help}");
        let kind = Box::new((Code::WrongType, Place::Flag(flag.to_owned())));
        InvalidConfig { file: flag.to_owned(), line: 0, column: 0, message, help, kind, rendered }
    }

    /// The error with its place, its meaning and its remedy.
    pub fn finding(&self) -> Finding {
        let (code, place) = &*self.kind;
        let finding = Finding::new(Level::Error, *code, self.message.as_str()).at(place.clone());
        Finding { help: Some(self.help.clone()), ..finding }
    }
}

/// The text that byte spans refer to, and the name of its file.
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

    /// The place of a byte range, on the line where the range begins.
    pub fn place(&self, span: Range<usize>) -> Place {
        let (line, _) = self.position(clamp(self.text, span.clone()).start);
        self.place_on(line, span)
    }

    /// Like [`SourceText::place`], of a range whose line is known.
    pub fn place_on(&self, line: usize, span: Range<usize>) -> Place {
        let span = clamp(self.text, span);
        let start = self.text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[span.start..].find('\n').map_or(self.text.len(), |at| span.start + at);
        let text = self.text[start..end].trim_end();
        Place::Line {
            file: self.file.to_owned(),
            line,
            column: self.text[start..span.start].chars().count() + 1,
            width: self.text[span].chars().count().max(1),
            text: (!self.may_hold_secret(start)).then(|| text.to_owned()),
        }
    }

    /// Whether the line at a byte offset may hold a secret: it sets an option whose value is secret, belongs to a table of
    /// secrets, or may continue such a value.
    fn may_hold_secret(&self, offset: usize) -> bool {
        let (before, after) = self.text.split_at(floor_char(self.text, offset));
        let end = before.len() + after.find('\n').unwrap_or(after.len());
        let lines = || self.text[..end].rsplit('\n');
        let is_marked = lines()
            .next()
            .is_some_and(|line| SECRET_MARKS.iter().any(|mark| line.contains(mark)) || has_url_with_password(line));
        // Each text before a `=` ends with a key: an inline table has several keys on one line.
        let keys = lines().find(|line| line.contains('=')).into_iter().flat_map(|line| line.rsplit('=').skip(1));
        let table = lines().map(str::trim_start).find(|line| line.starts_with('[') && line.contains(']')).unwrap_or("");
        is_marked || keys.flat_map(|key| key.split(['{', ',', '.'])).any(is_secret) || is_table_of_secrets(table)
    }
}

/// Whether a line has a URL with a password, as `http://user:password@host`.
fn has_url_with_password(line: &str) -> bool {
    line.split("://").skip(1).any(|rest| {
        let url = rest.split(['"', '\'']).next().unwrap_or_default();
        url.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    })
}

/// Whether a line is the header of a table whose values are all secrets, as `[backends.NAME.healthCheck.headers]`.
fn is_table_of_secrets(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    SECRET_TABLES.iter().any(|table| line.contains(table))
}

/// Options whose values are passwords, their hashes or keys.
const SECRET_KEYS: &[&str] =
    &["users", "basicAuth", "basic", "digest", "key", "keyFile", "customRequestHeaders", "headers"];
/// Tables whose values are all secrets, in lower case.
const SECRET_TABLES: &[&str] = &["customrequestheaders", "healthcheck.headers"];
/// Texts that mark a value as a secret.
const SECRET_MARKS: &[&str] = &[":$", "{SHA}", "PRIVATE KEY"];

fn is_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    SECRET_KEYS.iter().any(|secret| secret.eq_ignore_ascii_case(name))
}

/// A value that does not fit its option. [`TypeMismatch::into_error`] adds the document's text.
#[derive(Debug)]
pub(super) struct TypeMismatch {
    code: Code,
    message: String,
    /// Description of the value that was found instead.
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
        let origin = Some(SourceLocation::File(span));
        TypeMismatch { code: Code::InvalidToml, message, found: None, help: help.to_owned(), origin }
    }

    pub fn number_too_large(origin: SourceLocation) -> Self {
        let help = "write a number that fits into 64 bits".to_owned();
        let (code, message) = (Code::WrongType, "this number is too large".to_owned());
        TypeMismatch { code, message, found: None, help, origin: Some(origin) }
    }

    /// An option that occurs twice, in different case: which of the two values is meant would be a guess.
    pub fn duplicate_option(key: &str, other: &str, origin: &SourceLocation) -> Self {
        let message = format!("{key} is the same option as {other}");
        let (help, origin) = ("remove one of the two".to_owned(), Some(origin.clone()));
        TypeMismatch { code: Code::InvalidToml, message, found: None, help, origin }
    }

    pub fn wrong_type(expected: &str, help: &str, found: &Value) -> Self {
        TypeMismatch {
            code: Code::WrongType,
            message: format!("expected {expected}"),
            found: Some(describe(found)),
            help: help.to_owned(),
            origin: None,
        }
    }

    /// Adds key and location, unless a nested value has already added its own. The value of a secret key is not described.
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

    pub fn into_error(self, source: &SourceText<'_>) -> InvalidConfig {
        let message = self.to_string();
        match self.origin {
            Some(SourceLocation::Flag(flag)) => InvalidConfig::of_flag(&flag, message, self.help),
            Some(SourceLocation::File(span)) => InvalidConfig::at(source, span, self.code, message, self.help),
            None => InvalidConfig::at(source, 0..0, self.code, message, self.help),
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
        let (message, help) = (message.to_string(), "correct this value".to_owned());
        TypeMismatch { code: Code::WrongType, message, found: None, help, origin: None }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let (message, found) = (format!("expected {expected}"), Some(describe_unexpected(unexpected)));
        let help = "change this value's type".to_owned();
        TypeMismatch { code: Code::WrongType, message, found, help, origin: None }
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Text(text) => describe_text(text),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) => format!("the fraction {number:?}"),
        Value::Bool(flag) => format!("{flag}"),
        Value::Datetime(date) => format!("the date {date}"),
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

/// Quotes a text, at most `SHOWN_CHARS_MAX` characters of it: a text may be a whole certificate.
fn describe_text(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 40;
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("the text {:?}...", &text[..end]),
        None => format!("the text {text:?}"),
    }
}

/// Moves a span's ends to character boundaries within the text, and its end into the line where it starts. The parser's spans
/// may point one past the text's end, or between two bytes of a character.
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
