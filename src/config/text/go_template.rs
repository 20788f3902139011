//! Go template syntax in a file of routes. Traefik runs it; here only quoted text such as `{{ "{{" }}`, the way to write braces
//! that are meant for a redirect's replacement, is put in its place.

use std::borrow::Cow;
use std::ops::Range;

/// The text with quoted text in place of its expressions; the error is where an expression that is anything else begins.
pub(super) fn rendered(text: &str) -> Result<Cow<'_, str>, Range<usize>> {
    let mut out = String::new();
    let mut copied = 0;
    let mut scan = Scan { bytes: text.as_bytes(), at: 0, quote: None };
    while let Some(open) = scan.next() {
        let Some((literal, end)) = quoted(&text[open..]) else { return Err(open..open + 2) };
        out.push_str(&text[copied..open]);
        out.push_str(literal);
        copied = open + end;
        scan.at = copied;
    }
    if copied == 0 {
        return Ok(Cow::Borrowed(text));
    }
    out.push_str(&text[copied..]);
    Ok(Cow::Owned(out))
}

/// What `{{ "text" }}` at the beginning of `text` stands for, and where it ends. Without escapes, and on one line, so that the
/// line numbers of messages stay true.
fn quoted(text: &str) -> Option<(&str, usize)> {
    let blank = [' ', '\t'];
    let inside = text.strip_prefix("{{")?.trim_start_matches(blank);
    let quote = inside.chars().next().filter(|quote| matches!(quote, '"' | '`'))?;
    let (literal, after) = inside[1..].split_once(quote)?;
    let after = after.trim_start_matches(blank).strip_prefix("}}")?;
    (!literal.contains(['\\', '\n'])).then(|| (literal, text.len() - after.len()))
}

/// Finds `{{` outside comments.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What ends the string that `at` is in.
    quote: Option<&'static [u8]>,
}

impl Iterator for Scan<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while self.at < self.bytes.len() {
            let rest = &self.bytes[self.at..];
            if rest.starts_with(b"{{") {
                return Some(self.at);
            }
            self.at += self.step(rest);
        }
        None
    }
}

impl Scan<'_> {
    fn step(&mut self, rest: &[u8]) -> usize {
        match self.quote {
            None if rest[0] == b'#' => rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()),
            None => {
                self.quote = opening(rest);
                self.quote.map_or(1, <[u8]>::len)
            }
            Some(open) if open[0] == b'"' && rest[0] == b'\\' && !rest[1..].starts_with(b"{{") => 2,
            Some(open) if rest.starts_with(open) => {
                self.quote = None;
                open.len()
            }
            // A one-line string that never ends is broken TOML: start afresh, so that no comment hides behind it.
            Some(open) if open.len() == 1 && rest[0] == b'\n' => {
                self.quote = None;
                1
            }
            Some(_) => 1,
        }
    }
}

fn opening(rest: &[u8]) -> Option<&'static [u8]> {
    let quotes: [&'static [u8]; 4] = [b"\"\"\"", b"'''", b"\"", b"'"];
    quotes.into_iter().find(|quote| rest.starts_with(quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_found_outside_comments() {
        for (text, found) in [
            ("a = \"x\" # {{ no }}\n", None),
            ("# {{\nb = 1\n", None),
            ("a = \"# {{ yes }}\"", Some(7)),
            ("a = 'C:\\' # {{ no", None),
            ("a = \"\\\"# {{\"", Some(9)),
            ("a = \"\\\\\" # {{", None),
            ("a = '''\n# {{'''", Some(10)),
            ("{{ range }}", Some(0)),
            ("rule = \"HostRegexp:{name:[a-z]+}.test\"", None),
            ("a = \"open\nb = 1 # {{", None),
        ] {
            assert_eq!(rendered(text).err().map(|span| span.start), found, "{text:?}");
        }
    }

    #[test]
    fn quoted_text_takes_the_place_of_its_expression() {
        for (text, expected) in [
            (r#"r = "x/{{ "{{" }} .Host {{ "}}" }}""#, Ok(r#"r = "x/{{ .Host }}""#)),
            ("{{`a\"b`}}c", Ok("a\"bc")),
            ("a{{\"\"}}", Ok("a")),
            ("plain", Ok("plain")),
            (r#"{{ "a" }}{{ .B }}"#, Err(9..11)),
            (r#"{{ "a\n" }}"#, Err(0..2)),
            ("{{ `a\nb` }}", Err(0..2)),
            (r#"{{ "a" | upper }}"#, Err(0..2)),
            (r#"{{ "open"#, Err(0..2)),
            ("{{", Err(0..2)),
        ] {
            assert_eq!(rendered(text).as_deref(), expected.as_ref().copied(), "{text}");
        }
    }
}
