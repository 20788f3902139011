//! The form in which a field goes out, found by its name with one comparison.

/// The form of a field with a certain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The name stands in the static table, at this index.
    Plain(u8),
    /// As `Plain`; the value is a credential, which no intermediary may put into a table (RFC 7541 7.1.3).
    Secret(u8),
    /// The name is written out. It is known, so that its form in lower case need not be made.
    Named(&'static [u8]),
    /// The name is written out.
    Literal,
    /// The field belongs to a connection of HTTP/1.1 (RFC 9113 8.2.2), or is sent as a pseudo-header field.
    Dropped,
    /// TE: sent if the value is `trailers`, else dropped.
    Te,
    /// The field belongs to the handshake that an extended CONNECT replaces (RFC 8441 5).
    Handshake,
}

/// The form for a name in any case.
#[inline]
pub(super) fn form(name: &[u8]) -> Form {
    let Some(slot) = slot(name) else { return Form::Literal };
    match ROWS.get(usize::from(SLOTS[slot])) {
        Some((known, form)) if is_same(name, known) => *form,
        _ => Form::Literal,
    }
}

/// Whether a token in any case equals `known`, which is in lower case and consists of letters, digits and `-`. Only the control bytes, which
/// no token has, would pass for digits and `-` here. Eight bytes are compared at once.
#[inline]
fn is_same(name: &[u8], known: &[u8]) -> bool {
    let difference = |one: &[u8], other: &[u8]| one.iter().zip(other).fold(0, |sum, (a, b)| sum | ((a | 0x20) ^ b));
    if name.len() != known.len() {
        return false;
    }
    let ((words, rest), (known_words, known_rest)) = (name.as_chunks::<8>(), known.as_chunks::<8>());
    let wide = words.iter().zip(known_words).fold(0, |sum, (word, known)| {
        sum | ((u64::from_ne_bytes(*word) | 0x2020_2020_2020_2020) ^ u64::from_ne_bytes(*known))
    });
    wide == 0 && difference(rest, known_rest) == 0
}

/// The slot of a name: a hash of its length and of four of its letters, under which no two rows meet.
const fn slot(name: &[u8]) -> Option<usize> {
    if name.is_empty() {
        return None;
    }
    let first = (name[0] | 0x20) as usize;
    let middle = (name[name.len() / 2] | 0x20) as usize;
    let last = (name[name.len() - 1] | 0x20) as usize;
    let late = (name[name.len() * 3 / 4] | 0x20) as usize;
    Some((name.len() * 447 + first * 233 + last * 497 + middle * 178 + late * 197) % SLOTS.len())
}

const NO_ROW: u8 = u8::MAX;

static SLOTS: [u8; 512] = slots();

const fn slots() -> [u8; 512] {
    let mut slots = [NO_ROW; 512];
    let mut row = 0;
    while row < ROWS.len() {
        let Some(slot) = slot(ROWS[row].0) else { panic!("a row without a name") };
        assert!(slots[slot] == NO_ROW, "two names meet in one slot: change the factors");
        slots[slot] = row as u8;
        row += 1;
    }
    slots
}

static ROWS: [(&[u8], Form); 80] = [
    (b"accept", Form::Plain(19)),
    (b"accept-charset", Form::Plain(15)),
    (b"accept-encoding", Form::Plain(16)),
    (b"accept-language", Form::Plain(17)),
    (b"accept-ranges", Form::Plain(18)),
    (b"access-control-allow-origin", Form::Plain(20)),
    (b"age", Form::Plain(21)),
    (b"allow", Form::Plain(22)),
    (b"alt-svc", Form::Named(b"alt-svc")),
    (b"authorization", Form::Secret(23)),
    (b"cache-control", Form::Plain(24)),
    (b"connection", Form::Dropped),
    (b"content-disposition", Form::Plain(25)),
    (b"content-encoding", Form::Plain(26)),
    (b"content-language", Form::Plain(27)),
    (b"content-length", Form::Plain(28)),
    (b"content-location", Form::Plain(29)),
    (b"content-range", Form::Plain(30)),
    (b"content-security-policy", Form::Named(b"content-security-policy")),
    (b"content-type", Form::Plain(31)),
    (b"cookie", Form::Secret(32)),
    (b"date", Form::Plain(33)),
    (b"etag", Form::Plain(34)),
    (b"expect", Form::Plain(35)),
    (b"expires", Form::Plain(36)),
    (b"from", Form::Plain(37)),
    (b"host", Form::Dropped),
    (b"http2-settings", Form::Dropped),
    (b"if-match", Form::Plain(39)),
    (b"if-modified-since", Form::Plain(40)),
    (b"if-none-match", Form::Plain(41)),
    (b"if-range", Form::Plain(42)),
    (b"if-unmodified-since", Form::Plain(43)),
    (b"keep-alive", Form::Dropped),
    (b"last-modified", Form::Plain(44)),
    (b"link", Form::Plain(45)),
    (b"location", Form::Plain(46)),
    (b"max-forwards", Form::Plain(47)),
    (b"origin", Form::Named(b"origin")),
    (b"priority", Form::Named(b"priority")),
    (b"proxy-authenticate", Form::Plain(48)),
    (b"proxy-authorization", Form::Secret(49)),
    (b"proxy-connection", Form::Dropped),
    (b"range", Form::Plain(50)),
    (b"referer", Form::Plain(51)),
    (b"referrer-policy", Form::Named(b"referrer-policy")),
    (b"refresh", Form::Plain(52)),
    (b"retry-after", Form::Plain(53)),
    (b"sec-ch-ua", Form::Named(b"sec-ch-ua")),
    (b"sec-ch-ua-mobile", Form::Named(b"sec-ch-ua-mobile")),
    (b"sec-ch-ua-platform", Form::Named(b"sec-ch-ua-platform")),
    (b"sec-fetch-dest", Form::Named(b"sec-fetch-dest")),
    (b"sec-fetch-mode", Form::Named(b"sec-fetch-mode")),
    (b"sec-fetch-site", Form::Named(b"sec-fetch-site")),
    (b"sec-fetch-user", Form::Named(b"sec-fetch-user")),
    (b"sec-websocket-accept", Form::Handshake),
    (b"sec-websocket-key", Form::Handshake),
    (b"server", Form::Plain(54)),
    (b"set-cookie", Form::Secret(55)),
    (b"strict-transport-security", Form::Plain(56)),
    (b"te", Form::Te),
    (b"trailer", Form::Named(b"trailer")),
    (b"transfer-encoding", Form::Dropped),
    (b"upgrade", Form::Dropped),
    (b"upgrade-insecure-requests", Form::Named(b"upgrade-insecure-requests")),
    (b"user-agent", Form::Plain(58)),
    (b"vary", Form::Plain(59)),
    (b"via", Form::Plain(60)),
    (b"www-authenticate", Form::Plain(61)),
    (b"x-content-type-options", Form::Named(b"x-content-type-options")),
    (b"x-forwarded-for", Form::Named(b"x-forwarded-for")),
    (b"x-forwarded-host", Form::Named(b"x-forwarded-host")),
    (b"x-forwarded-port", Form::Named(b"x-forwarded-port")),
    (b"x-forwarded-proto", Form::Named(b"x-forwarded-proto")),
    (b"x-forwarded-server", Form::Named(b"x-forwarded-server")),
    (b"x-frame-options", Form::Named(b"x-frame-options")),
    (b"x-real-ip", Form::Named(b"x-real-ip")),
    (b"x-request-id", Form::Named(b"x-request-id")),
    (b"x-requested-with", Form::Named(b"x-requested-with")),
    (b"x-xss-protection", Form::Named(b"x-xss-protection")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h2::hpack::TABLE;

    #[test]
    fn name_in_any_case_finds_its_row() {
        for (name, expected) in &ROWS {
            let upper = name.to_ascii_uppercase();
            assert_eq!((form(name), form(&upper)), (*expected, *expected), "{}", name.escape_ascii());
            if let Form::Plain(index) | Form::Secret(index) = expected {
                let row = TABLE[usize::from(*index) - 1];
                assert_eq!(&row.line[..row.name_len], *name);
            }
        }
        for other in ["", "x", "x-forwarded-foo", "hosts", "cookie2", "set_cookie", "ta"] {
            assert_eq!(form(other.as_bytes()), Form::Literal, "{other}");
        }
    }

    #[test]
    fn every_name_of_the_static_table_has_a_row() {
        for row in TABLE.iter().filter(|row| !row.line.starts_with(b":")) {
            let name = &row.line[..row.name_len];
            assert_ne!(form(name), Form::Literal, "{}", name.escape_ascii());
        }
    }
}
