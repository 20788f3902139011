//! A problem that the check of the configuration found.

use std::fmt;

use crate::diagnostics::{Code, Finding, Level};

/// An option, or a combination of options, that cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub code: Code,
    /// Whether the process must not start.
    pub fatal: bool,
    /// Whether the option may be right as it is.
    pub is_note: bool,
    /// The option, e.g. `entryPoints.http.redirect.entryPoint`.
    pub key: String,
    /// The mistake and what to do about it.
    pub message: String,
    /// The number of the item that is meant, of an option that is a list.
    pub item: Option<usize>,
}

impl Problem {
    pub(super) fn fatal(code: Code, key: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { code, fatal: true, is_note: false, key: key.into(), message: message.into(), item: None }
    }

    /// A problem that lets the process start.
    pub fn warning(code: Code, key: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { code, fatal: false, is_note: false, key: key.into(), message: message.into(), item: None }
    }

    /// A hint about an option that may be right.
    pub(super) fn note(code: Code, key: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { is_note: true, ..Problem::warning(code, key, message) }
    }

    /// The same problem of one item of a list.
    pub(super) fn of_item(self, index: usize) -> Self {
        Problem { item: Some(index), ..self }
    }

    /// The problem with its meaning and its remedy, without its place.
    pub fn finding(&self) -> Finding {
        let level = match (self.fatal, self.is_note) {
            (true, _) => Level::Error,
            (false, false) => Level::Warning,
            (false, true) => Level::Note,
        };
        Finding::new(level, self.code, self.to_string()).about(self.path())
    }

    /// The key with the item's number, as `entryPoints.http.tls.cipherSuites[1]`.
    fn path(&self) -> String {
        // Of a certificate, the name of its file says more than the head of its table.
        let file = if self.code == Code::InvalidCertificate { ".certFile" } else { "" };
        match self.item {
            Some(index) => format!("{}[{index}]{file}", self.key),
            None => format!("{}{file}", self.key),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}
