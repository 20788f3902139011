//! Validates the value of a Host field or an authority (RFC 9110 4.2.1, RFC 3986 3.2.2).

use std::net::Ipv6Addr;

/// Longest host name that is accepted, in bytes: the limit of DNS (RFC 1035 2.3.4).
const NAME_BYTES_MAX: usize = 255;

/// Whether the value is `host[:port]` with a host that is a name, an IPv4 address, or an IPv6 address in brackets.
///
/// Stricter than the grammar: no percent escapes, no comma, no userinfo. No name that resolves contains them, and another parser may split
/// the value there.
pub(super) fn is_valid(value: &[u8]) -> bool {
    if value.first() == Some(&b'[') {
        let Some(close) = memchr::memchr(b']', value) else { return false };
        let address = std::str::from_utf8(&value[1..close]).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
        return address.is_some() && is_empty_or_port(&value[close + 1..]);
    }
    let end = value.iter().position(|byte| *byte == b':').unwrap_or(value.len());
    let (name, port) = value.split_at(end);
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.iter().all(|byte| NAME[*byte as usize])
        && is_empty_or_port(port)
}

fn is_empty_or_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => {
            let number = digits.iter().try_fold(0u32, |sum, digit| {
                digit.is_ascii_digit().then(|| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
            });
            digits.len() <= 5 && number.is_some_and(|port| port <= 65535)
        }
        _ => false,
    }
}

/// Whether each byte may be in a host name.
static NAME: [bool; 256] = name_table();

const fn name_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric()
            || matches!(
                c,
                b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'='
            );
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn valid_hosts_are_accepted_and_others_refused() {
        let good: [&[u8]; 10] =
            [b"a", b"A.Example", b"a.b:80", b"a:", b"a_b", b"127.0.0.1:8080", b"[::1]", b"[::1]:80", b"a.", b"a:65535"];
        for host in good {
            assert!(is_valid(host), "{}", host.escape_ascii());
        }
        let bad: [&[u8]; 19] = [
            b"",
            b":80",
            b"a b",
            b"a,b",
            b"u@a",
            b"a/b",
            b"a?b",
            b"a#b",
            b"a\\b",
            b"a:80:80",
            b"a:x",
            b"a:-1",
            b"a:65536",
            b"a:000080",
            b"[::1",
            b"[a]",
            b"::1",
            b"a%41",
            b"\xc3\xa4",
        ];
        for host in bad {
            assert!(!is_valid(host), "{}", host.escape_ascii());
        }
        assert!(is_valid(&[b'a'; 255]));
        assert!(!is_valid(&[b'a'; 256]));
    }
}
