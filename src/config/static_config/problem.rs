//! A finding of the configuration check.

use std::fmt;

/// One thing that cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the proxy must not start.
    pub fatal: bool,
    /// The option, e.g. `entryPoints.http.redirect.entryPoint`.
    pub key: String,
    /// What is wrong and what to do.
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
