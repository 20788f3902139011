//! Why a rule is rejected, as its author reads it (docs/reference/rules.md#grammar).

use std::fmt;

use super::pattern::InvalidPattern;
use crate::limits::{Bound, RULE_BYTES_MAX, RULE_EXPRESSIONS_MAX};

/// Every name that a rule may begin with.
pub(super) const NAMES: [&str; 15] = [
    "Host",
    "HostRegexp",
    "Path",
    "PathStrip",
    "PathStripRegex",
    "PathPrefix",
    "PathPrefixStrip",
    "PathPrefixStripRegex",
    "Method",
    "Headers",
    "HeadersRegexp",
    "Query",
    "AddPrefix",
    "ReplacePath",
    "ReplacePathRegex",
];

/// Why a rule was not accepted: the piece of the rule, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidRule {
    /// No rule text at all.
    Empty,
    /// The texts of one frontend together.
    TooLong {
        bytes: usize,
    },
    /// The texts of one frontend together; they are not compiled.
    TooManyExpressions,
    /// A piece without a matcher's name.
    NoName {
        piece: String,
    },
    UnknownName {
        piece: String,
        name: String,
    },
    NoArguments {
        piece: String,
    },
    /// `Headers` and `HeadersRegexp` take pairs.
    OddArguments {
        piece: String,
        count: usize,
    },
    InvalidPattern {
        piece: String,
        error: InvalidPattern,
    },
    InvalidQuery {
        piece: String,
        argument: String,
    },
    /// Only from [`super::parse_domains`]: a `Host` without a single name.
    NoDomain {
        text: String,
    },
}

impl fmt::Display for InvalidRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidRule::Empty => write!(f, "empty rule: write for example `Host:example.com`"),
            InvalidRule::TooLong { bytes } => {
                write!(f, "rule of {bytes} bytes where {RULE_BYTES_MAX} are allowed: split it into several frontends")
            }
            InvalidRule::TooManyExpressions => write!(
                f,
                "rule with more than {RULE_EXPRESSIONS_MAX} regular expressions (each `{{...}}` is one): split it into several frontends"
            ),
            InvalidRule::NoName { piece } => write!(f, "`{piece}`: no matcher: write `Name:argument`"),
            InvalidRule::UnknownName { piece, name } => {
                write!(f, "`{piece}`: unknown matcher `{name}`: ")?;
                match NAMES.iter().find(|known| known.eq_ignore_ascii_case(name)) {
                    Some(known) => write!(f, "names are case-sensitive, write `{known}`"),
                    None => write!(f, "use one of {}", NAMES.join(", ")),
                }
            }
            InvalidRule::NoArguments { piece } => write!(f, "`{piece}`: no argument: write `Name:argument`"),
            InvalidRule::OddArguments { piece, count } => write!(
                f,
                "`{piece}`: {count} arguments where pairs of field name and value are needed (a value cannot hold `,`)"
            ),
            InvalidRule::InvalidPattern { piece, error } => write!(f, "`{piece}`: {error}: correct the expression"),
            InvalidRule::InvalidQuery { piece, argument } => {
                write!(f, "`{piece}`: `{argument}` needs exactly one `=`: write `key=value`")
            }
            InvalidRule::NoDomain { text } => {
                write!(f, "`{text}`: no domain in the Host rule: write `Host:example.com`")
            }
        }
    }
}

impl std::error::Error for InvalidRule {}

impl InvalidRule {
    /// The bound that the rule goes beyond, if that is what is wrong with it.
    pub fn bound(&self) -> Option<Bound> {
        match self {
            InvalidRule::TooLong { .. } => Some(Bound::RuleBytes),
            InvalidRule::TooManyExpressions => Some(Bound::RuleExpressions),
            InvalidRule::InvalidPattern { error, .. } => error.bound,
            InvalidRule::Empty
            | InvalidRule::NoName { .. }
            | InvalidRule::UnknownName { .. }
            | InvalidRule::NoArguments { .. }
            | InvalidRule::OddArguments { .. }
            | InvalidRule::InvalidQuery { .. }
            | InvalidRule::NoDomain { .. } => None,
        }
    }
}
