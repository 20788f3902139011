//! What is to be told to the author of a rule.

use std::fmt;

use super::invalid::InvalidRule;
use super::pattern::InvalidPattern;
use crate::limits::Bound;

/// What is wrong with a rule or a part of it, and which bound it went beyond, if it was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub text: String,
    pub bound: Option<Bound>,
}

impl Diagnostic {
    /// The same remark in other words.
    pub fn reworded(self, words: impl FnOnce(String) -> String) -> Diagnostic {
        Diagnostic { text: words(self.text), bound: self.bound }
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
