//! Request targets.

use super::violation::Violation;

/// Checks that each `%` in the path is followed by two hexadecimal digits. The query is left to the server.
#[inline]
pub(super) fn check_escapes(target: &[u8]) -> Result<(), Violation> {
    let path = &target[..memchr::memchr(b'?', target).unwrap_or(target.len())];
    for at in memchr::memchr_iter(b'%', path) {
        let digits = path.get(at + 1..at + 3).ok_or(Violation::TargetEscape)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Violation::TargetEscape);
        }
    }
    Ok(())
}
