//! A mistake of an object, before it is known where the object was written.

use std::fmt;

use super::Code;
use crate::limits::Bound;

/// A mistake in a part of an object, as the object's author should read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub code: Code,
    /// The option within the object, as `backend` or `headers.allowedHosts`; empty if the whole object is meant.
    pub key: String,
    pub text: String,
    /// The bound that was exceeded, if that is the cause; for the counters.
    pub bound: Option<Bound>,
}

impl Diagnostic {
    pub fn new(code: Code, key: impl Into<String>, text: impl Into<String>) -> Diagnostic {
        Diagnostic { code, key: key.into(), text: text.into(), bound: None }
    }

    /// The same diagnostic with its text changed by `rewrite`.
    pub fn reworded(self, rewrite: impl FnOnce(String) -> String) -> Diagnostic {
        Diagnostic { text: rewrite(self.text), ..self }
    }

    /// The same diagnostic about another option.
    pub fn about(self, key: impl Into<String>) -> Diagnostic {
        Diagnostic { key: key.into(), ..self }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
