//! Names of received fields, classified once: the tables keep the result.

use crate::http::known::KnownField;
use crate::http::token::{LowerToken, lower_token};
use crate::http::violation::Violation;

/// The name of a received field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
    Status,
    UnknownPseudo,
    Field(KnownField),
    /// A field with this name makes the message malformed (RFC 9113 8.2.1).
    Invalid(Violation),
}

impl Name {
    pub fn of(name: &[u8]) -> Name {
        if name.first() == Some(&b':') {
            return match name {
                b":method" => Name::Method,
                b":scheme" => Name::Scheme,
                b":authority" => Name::Authority,
                b":path" => Name::Path,
                b":protocol" => Name::Protocol,
                b":status" => Name::Status,
                _ => Name::UnknownPseudo,
            };
        }
        match lower_token(name) {
            LowerToken::Valid { underscore } => Name::Field(KnownField::of_name(name, underscore)),
            LowerToken::Upper => Name::Invalid(Violation::NameUppercase),
            LowerToken::Invalid if name.is_empty() => Name::Invalid(Violation::EmptyName),
            LowerToken::Invalid => Name::Invalid(Violation::NameByte),
        }
    }
}
