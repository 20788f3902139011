//! A finding: a mistake with the place where its author wrote it.

use std::fmt;

use serde::Serialize;

use super::Code;

/// The gravity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something is not served, or the proxy does not start.
    Error,
    /// Something is served in another way than it is written.
    Warning,
    /// A hint: nothing has to be changed.
    Note,
}

/// Where a mistake was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Place {
    #[default]
    Unknown,
    /// A whole file.
    File(String),
    /// A part of one line of a file.
    Line {
        file: String,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// The characters that are meant.
        width: usize,
        /// The line's text; `None` if the line may hold a secret.
        text: Option<String>,
    },
    /// A flag or a variable of the environment.
    Flag(String),
    /// A container, with the label that is meant, if there is one.
    Container { name: String, label: Option<String> },
}

/// A mistake, as `ringway check` prints it and the running proxy logs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    pub code: Code,
    /// The option, as `entryPoints.http.address` or `frontends.web.backend`; empty if there is none.
    pub key: String,
    pub place: Place,
    /// The sentence that the running proxy logs too.
    pub message: String,
    /// The remedy for this very case; `None` leaves that to the code's own.
    pub help: Option<String>,
}

impl Finding {
    pub fn new(level: Level, code: Code, message: impl Into<String>) -> Finding {
        Finding { level, code, key: String::new(), place: Place::Unknown, message: message.into(), help: None }
    }

    /// The same finding about an option.
    pub fn about(self, key: impl Into<String>) -> Finding {
        Finding { key: key.into(), ..self }
    }

    /// The same finding with its place.
    pub fn at(self, place: Place) -> Finding {
        Finding { place, ..self }
    }

    /// The same finding whose place is the part of the line that the message quotes first, in backquotes.
    pub fn narrowed(mut self) -> Finding {
        let quoted = self.message.split('`').nth(1).unwrap_or_default();
        if let Place::Line { column, width, text: Some(text), .. } = &mut self.place {
            let start = text.char_indices().nth(column.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
            let within: String = text[start..].chars().take(*width).collect();
            if let Some(at) = within.find(quoted).filter(|_| !quoted.is_empty()) {
                *column += within[..at].chars().count();
                *width = quoted.chars().count();
            }
        }
        self
    }

    /// The meaning of the mistake for what is served.
    pub fn meaning(&self) -> &'static str {
        self.code.meaning()
    }

    /// The remedy: for this case if there is one, else for all of this code.
    pub fn help(&self) -> &str {
        self.help.as_deref().unwrap_or(self.code.help())
    }
}

/// The line of the process log: file and line, then the message.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Line { file, line, .. } => write!(f, "{file} line {line}: ")?,
            Place::Flag(flag) if !self.message.starts_with(flag.as_str()) => write!(f, "{flag}: ")?,
            Place::Unknown | Place::File(_) | Place::Flag(_) | Place::Container { .. } => {}
        }
        f.write_str(&self.message)
    }
}

/// The numbers of findings by level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub errors: usize,
    pub warnings: usize,
    pub notes: usize,
}

impl Counts {
    pub fn of(findings: &[Finding]) -> Counts {
        let count = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
        Counts { errors: count(Level::Error), warnings: count(Level::Warning), notes: count(Level::Note) }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        let parts = [plural(self.errors, "error"), plural(self.warnings, "warning"), plural(self.notes, "note")];
        let shown = parts.iter().filter(|part| !part.starts_with("0 ")).map(String::as_str);
        f.write_str(&shown.collect::<Vec<_>>().join(", "))
    }
}
