//! Findings about a rule that its author should read.

use std::fmt;

use super::invalid::InvalidRule;
use super::pattern::InvalidPattern;
use crate::limits::Bound;

/// A problem of a rule or of a part of it, with the bound that was exceeded, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub text: String,
    pub bound: Option<Bound>,
}

impl Diagnostic {
    /// The same diagnostic with its text changed by `rewrite`.
    pub fn reworded(self, rewrite: impl FnOnce(String) -> String) -> Diagnostic {
        Diagnostic { text: rewrite(self.text), bound: self.bound }
    }
}

impl From<String> for Diagnostic {
    fn from(text: String) -> Self {
        Diagnostic { text, bound: None }
    }
}

impl From<InvalidPattern> for Diagnostic {
    fn from(error: InvalidPattern) -> Self {
        Diagnostic { text: error.to_string(), bound: error.bound }
    }
}

impl From<InvalidRule> for Diagnostic {
    fn from(error: InvalidRule) -> Self {
        Diagnostic { text: error.to_string(), bound: error.bound() }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
