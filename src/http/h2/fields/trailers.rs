//! Trailers, filtered while they are decoded.

use super::budget::Budget;
use super::response::trim_value;
use super::{HeadError, HeadSink};
use crate::http::h2::hpack::{Decoded, FieldSink, Name};
use crate::http::known::KnownField;
use crate::http::trailer::is_allowed_trailer;
use crate::http::violation::Violation;
use crate::limits::{TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};

pub(super) struct TrailerSink {
    budget: Budget,
    failure: Option<HeadError>,
}

impl TrailerSink {
    pub fn new() -> Self {
        TrailerSink { budget: Budget::new(TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX), failure: None }
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

impl FieldSink for TrailerSink {
    fn room(&self) -> usize {
        if self.failure.is_some() { 0 } else { self.budget.room() }
    }

    fn take(&mut self, lines: &mut Vec<u8>, field: Decoded) {
        if self.failure.is_none() {
            self.failure = self.field(lines, field).err();
        }
        if self.failure.is_some() {
            lines.clear();
        }
    }
}

impl HeadSink for TrailerSink {
    fn failure(&self) -> Option<HeadError> {
        self.failure
    }
}
