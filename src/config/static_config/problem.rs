//! A problem that the check of the configuration found.

use std::fmt;

/// An option, or a combination of options, that cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the process must not start.
    pub fatal: bool,
    /// The option, e.g. `entryPoints.http.redirect.entryPoint`.
    pub key: String,
    /// The mistake and what to do about it.
    pub message: String,
}

impl Problem {
    pub(super) fn fatal(key: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { fatal: true, key: key.into(), message: message.into() }
    }

    pub(super) fn warning(key: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { fatal: false, key: key.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}
