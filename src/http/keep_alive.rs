//! The Keep-Alive field, with which a server announces how long and for how many further requests it keeps a connection open
//! (docs/reference/backends.md#connection-pool).

/// Milliseconds at the end of the announced time that are left unused: a request that is sent then could meet the server's close.
const MARGIN_MILLIS_MAX: u64 = 1000;
/// Divides a short announced time to give its margin.
const MARGIN_DIVISOR: u64 = 2;

/// The parameters that a server has announced; the smallest of each if it repeats them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeepAlive {
    /// `timeout`: seconds after which the server closes an idle connection.
    timeout_secs: Option<u32>,
    /// `max`: requests that the server still accepts on the connection.
    max_requests: Option<u32>,
}

impl KeepAlive {
    /// Reads the value of a Keep-Alive field. Parameters that are unknown or no number are ignored.
    pub fn add(&mut self, value: &[u8]) {
        for parameter in value.split(|byte| matches!(byte, b',' | b';')) {
            let mut parts = parameter.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
            let (Some(name), Some(number)) = (parts.next(), parts.next().and_then(number)) else { continue };
            let kept = match name {
                _ if name.eq_ignore_ascii_case(b"timeout") => &mut self.timeout_secs,
                _ if name.eq_ignore_ascii_case(b"max") => &mut self.max_requests,
                _ => continue,
            };
            *kept = Some(kept.map_or(number, |before| before.min(number)));
        }
    }

    /// Whether the server accepts no further request on the connection, or closes it at once.
    pub fn forbids_reuse(&self) -> bool {
        self.max_requests == Some(0) || self.timeout_secs == Some(0)
    }

    /// How long the connection may be idle before its next request: the announced time without the margin; `None` if the server has
    /// announced no time.
    #[inline]
    pub fn idle_millis_max(&self) -> Option<u64> {
        let announced_millis = u64::from(self.timeout_secs?) * 1000;
        Some(announced_millis - MARGIN_MILLIS_MAX.min(announced_millis / MARGIN_DIVISOR))
    }
}

/// A number in digits, quoted or not; one that is too large for 32 bits is `u32::MAX`.
fn number(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let append = |sum: u32, digit: &u8| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
    Some(digits.iter().fold(0, append))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(values: &[&str]) -> KeepAlive {
        let mut keep_alive = KeepAlive::default();
        values.iter().for_each(|value| keep_alive.add(value.as_bytes()));
        keep_alive
    }

    #[test]
    fn idle_time_ends_before_the_announced_time() {
        let idle_millis = |value| announced(&[value]).idle_millis_max();
        assert_eq!(idle_millis("timeout=5"), Some(4000));
        assert_eq!(idle_millis("Timeout = 5 , max=100"), Some(4000));
        assert_eq!(idle_millis("max=100, timeout=\"65\""), Some(64_000));
        assert_eq!(idle_millis("timeout=2"), Some(1000));
        assert_eq!(idle_millis("timeout=1"), Some(500));
        assert_eq!(idle_millis("timeout=99999999999999999999"), Some(u64::from(u32::MAX) * 1000 - 1000));
        assert_eq!(announced(&["timeout=7", "timeout=5"]).idle_millis_max(), Some(4000));
        for none in ["", "max=3", "timeout", "timeout=", "timeout=-1", "timeout=5s", "300", "x=1"] {
            assert_eq!(idle_millis(none), None, "{none}");
        }
    }

    #[test]
    fn exhausted_connection_is_not_reused() {
        for (value, expected) in [
            ("max=0", true),
            ("timeout=5, max=0", true),
            ("timeout=0", true),
            ("max=1", false),
            ("timeout=1", false),
            ("", false),
        ] {
            assert_eq!(announced(&[value]).forbids_reuse(), expected, "{value}");
        }
    }
}
