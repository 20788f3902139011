//! Limits of one head, for every version of HTTP.

use crate::limits;

/// Limits of one head: above them 431 or 414 for a request, 502 for a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Start line, fields and the empty line together.
    pub head_bytes_max: usize,
    pub fields_max: usize,
    pub target_bytes_max: usize,
}

impl HeadLimits {
    /// The limits of a client's request.
    pub const REQUEST: HeadLimits = HeadLimits {
        head_bytes_max: limits::REQUEST_HEAD_BYTES_MAX,
        fields_max: limits::HEAD_FIELDS_MAX,
        target_bytes_max: limits::TARGET_BYTES_MAX,
    };
    /// The limits of a backend's response.
    pub const RESPONSE: HeadLimits =
        HeadLimits { head_bytes_max: limits::RESPONSE_HEAD_BYTES_MAX, ..HeadLimits::REQUEST };
}

/// Tests and fuzz targets parse under the limits of production, so that their findings are valid there.
impl Default for HeadLimits {
    fn default() -> Self {
        HeadLimits::REQUEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_limits_are_those_of_production() {
        let HeadLimits { head_bytes_max, fields_max, target_bytes_max } = HeadLimits::default();
        assert_eq!((head_bytes_max, fields_max, target_bytes_max), (512 * 1024, 1024, 64 * 1024));
    }
}
