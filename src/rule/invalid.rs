//! The error of a rejected rule, as the rule's author reads it (docs/reference/rules.md#grammar).

use std::fmt;

use super::pattern::InvalidPattern;
use crate::diagnostics::suggest::did_you_mean;
use crate::limits::{Bound, RULE_BYTES_MAX, RULE_EXPRESSIONS_MAX};

/// The names that a piece of a rule may begin with.
pub(super) const NAMES: [&str; 17] = [
    "Host",
    "HostRegexp",
    "HostSNI",
    "HostSNIRegexp",
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

/// Why a rule is rejected: the faulty piece of the rule and how to correct it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidRule {
    /// No rule text at all.
    Empty,
    /// The rule texts of one frontend together have more than `RULE_BYTES_MAX` bytes.
    TooLong {
        bytes: usize,
    },
    /// The rule texts of one frontend together have more than `RULE_EXPRESSIONS_MAX` expressions; none of them is compiled.
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
    /// `Headers` or `HeadersRegexp`, which need pairs, with an odd number of arguments.
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
    /// A matcher of requests in the rule of a TCP route.
    NotOfTcp {
        piece: String,
    },
    /// A matcher of TCP routes where the rule of requests is parsed.
    OnlyOfTcp {
        piece: String,
    },
    /// A second `HostSNI` or `HostSNIRegexp` in one rule.
    SecondSni {
        piece: String,
    },
    /// A rule with `Host` but without a single name; only [`super::parse_domains`] returns it.
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
                if name.contains('(') {
                    return f
                        .write_str("this is the language of Traefik 2: write for example `Host:a.test;PathPrefix:/x`");
                }
                match (NAMES.iter().find(|known| known.eq_ignore_ascii_case(name)), did_you_mean(name, NAMES)) {
                    (Some(known), _) => write!(f, "names are case-sensitive, write `{known}`"),
                    (None, Some(near)) => write!(f, "did you mean `{near}`?"),
                    (None, None) => write!(f, "use one of {}", NAMES.join(", ")),
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
            InvalidRule::NotOfTcp { piece } => write!(
                f,
                "`{piece}`: a rule with HostSNI is one of a TCP route and has no other matcher: remove it, or write `Host`"
            ),
            InvalidRule::OnlyOfTcp { piece } => {
                write!(f, "`{piece}`: HostSNI matches TCP connections, not requests: write `Host`")
            }
            InvalidRule::SecondSni { piece } => write!(
                f,
                "`{piece}`: a second HostSNI or HostSNIRegexp in one rule: write all names into one, or use two frontends"
            ),
            InvalidRule::NoDomain { text } => {
                write!(f, "`{text}`: no domain in the Host rule: write `Host:example.com`")
            }
        }
    }
}

impl std::error::Error for InvalidRule {}

impl InvalidRule {
    /// The bound that the rule exceeds, if that is the reason for its rejection.
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
            | InvalidRule::NotOfTcp { .. }
            | InvalidRule::OnlyOfTcp { .. }
            | InvalidRule::SecondSni { .. }
            | InvalidRule::NoDomain { .. } => None,
        }
    }
}
