//! Diagnostics of rules, made of the errors of rules and expressions.

use super::invalid::InvalidRule;
use super::pattern::InvalidPattern;
use crate::diagnostics::{Code, Diagnostic};

/// The option of a frontend that holds its rules.
pub(super) const RULES: &str = "routes";

/// A diagnostic about a part of a rule that never matches.
pub(super) fn never_matches(text: String) -> Diagnostic {
    Diagnostic::new(Code::NeverMatches, RULES, text)
}

impl From<InvalidPattern> for Diagnostic {
    fn from(error: InvalidPattern) -> Self {
        Diagnostic { bound: error.bound, ..Diagnostic::new(Code::InvalidRegex, "", error.to_string()) }
    }
}

impl From<InvalidRule> for Diagnostic {
    fn from(error: InvalidRule) -> Self {
        Diagnostic { bound: error.bound(), ..Diagnostic::new(Code::InvalidRule, RULES, error.to_string()) }
    }
}
