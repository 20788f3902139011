//! Trailers, filtered while they are decoded.

use super::budget::Budget;
use super::response::trim_value;
use super::{FieldRules, HeadError};
use crate::http::h2::hpack::{Decoded, Name};
use crate::http::known::KnownField;
use crate::http::trailer::is_allowed_trailer;
use crate::http::violation::Violation;
use crate::limits::{TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};

pub(super) struct TrailerFields {
    budget: Budget,
}

impl TrailerFields {
    pub fn new() -> Self {
        TrailerFields { budget: Budget::new(TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX) }
    }
}

impl FieldRules for TrailerFields {
    fn budget(&self) -> &Budget {
        &self.budget
    }

    fn field(&mut self, lines: &mut Vec<u8>, mut field: Decoded) -> Result<(), HeadError> {
        self.budget.charge(&field).map_err(|_| HeadError::Malformed(Violation::TrailerTooLong))?;
        trim_value(lines, &mut field)?;
        let known = match field.name {
            Name::Field(known) => known,
            Name::Invalid(rule) => return Err(HeadError::Malformed(rule)),
            _ => return Err(HeadError::Malformed(Violation::PseudoInTrailers)),
        };
        if matches!(
            known,
            KnownField::Connection
                | KnownField::KeepAlive
                | KnownField::ProxyConnection
                | KnownField::TransferEncoding
                | KnownField::Upgrade
        ) {
            return Err(HeadError::Malformed(Violation::ConnectionField));
        }
        let name = lines.get(field.start..field.start + field.name_len).unwrap_or_default();
        if !is_allowed_trailer(known, name) {
            lines.truncate(field.start);
        }
        Ok(())
    }
}
