//! The error of a command line.

use std::fmt;
use std::path::PathBuf;

use crate::config::text::InvalidConfig;

/// The error of a command line or configuration file that cannot be used; its text says what to do. The exit code is 1
/// (docs/reference/command-line.md#signals-and-exit-codes).
#[derive(Debug, Clone, PartialEq)]
pub enum CliError {
    /// The command line itself is wrong.
    Usage(String),
    /// The configuration file, or a flag's value, is wrong.
    Config(InvalidConfig),
    /// The configuration file exists but cannot be read.
    Unreadable { file: PathBuf, reason: String },
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CliError::Usage(message) => write!(f, "{message} (see --help)"),
            CliError::Config(invalid) => invalid.fmt(f),
            CliError::Unreadable { file, reason } => {
                write!(f, "{} cannot be read ({reason}): correct the file or its permissions", file.display())
            }
        }
    }
}

impl std::error::Error for CliError {}

impl From<InvalidConfig> for CliError {
    fn from(invalid: InvalidConfig) -> Self {
        CliError::Config(invalid)
    }
}
