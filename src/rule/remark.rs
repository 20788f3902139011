//! What is to be told to the author of a rule.

use std::fmt;

use super::parse::InvalidRule;
use super::pattern::InvalidPattern;
use crate::limits::Bound;

/// What is wrong with a rule or a part of it, and which bound it went beyond, if it was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    pub text: String,
    pub bound: Option<Bound>,
}

impl Remark {
    /// The same remark in other words.
    pub fn reworded(self, words: impl FnOnce(String) -> String) -> Remark {
        Remark { text: words(self.text), bound: self.bound }
    }
}

impl From<String> for Remark {
    fn from(text: String) -> Self {
        Remark { text, bound: None }
    }
}

impl From<InvalidPattern> for Remark {
    fn from(error: InvalidPattern) -> Self {
        Remark { text: error.to_string(), bound: error.bound }
    }
}

impl From<InvalidRule> for Remark {
    fn from(error: InvalidRule) -> Self {
        Remark { text: error.to_string(), bound: error.bound() }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
