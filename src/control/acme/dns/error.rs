//! The error of the DNS-01 challenge, and the environment that configures it.

use std::fmt;

/// The reason why a record could not be written, seen or removed: a sentence for the log without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsError(pub String);

impl fmt::Display for DnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DnsError {}

/// Reads a variable of the environment; `None` if it is not set.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;
