//! Signal numbers by the names that images use in `STOPSIGNAL`.

/// Signals that end most programs: INT, QUIT, KILL, TERM.
pub const ENDING: [u8; 4] = [2, 3, 9, 15];

const NAMES: [(&str, u8); 9] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("KILL", 9),
    ("USR1", 10),
    ("USR2", 12),
    ("TERM", 15),
    ("WINCH", 28),
    ("PWR", 30),
];

/// The number of `SIGRTMIN` in glibc and Docker.
const REAL_TIME_FIRST: u8 = 34;

/// Parses a signal such as `SIGTERM`, `TERM`, `15` or `SIGRTMIN+3`; `None` for anything else.
pub fn number(text: &str) -> Option<u8> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(above) = name.strip_prefix("RTMIN") {
        let above: u8 = if above.is_empty() { 0 } else { above.strip_prefix('+')?.parse().ok()? };
        return REAL_TIME_FIRST.checked_add(above);
    }
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_names_of_images_are_parsed() {
        for (text, expected) in [
            ("SIGTERM", Some(15)),
            ("quit", Some(3)),
            ("28", Some(28)),
            ("SIGRTMIN+3", Some(37)),
            ("SIGRTMIN", Some(34)),
            ("SIGNONE", None),
            ("", None),
            ("SIGRTMIN+x", None),
            ("SIGRTMIN+255", None),
        ] {
            assert_eq!(number(text), expected, "{text:?}");
        }
    }
}
