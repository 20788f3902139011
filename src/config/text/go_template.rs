//! Go template syntax in a file of the file provider. Traefik runs the file as a template. Ringway replaces only expressions that
//! are quoted text, such as `{{ "{{" }}`: with them a file for Traefik writes the literal braces of a redirect's replacement.

use std::borrow::Cow;
use std::ops::Range;

/// Replaces each expression that is quoted text by that text. The error is the span of the `{{` that begins another expression.
pub(super) fn replace_quoted_text(text: &str) -> Result<Cow<'_, str>, Range<usize>> {
    let mut out = String::new();
    let mut copied = 0;
    let mut scan = BraceScanner { bytes: text.as_bytes(), at: 0, quote: None };
    while let Some(open) = scan.next() {
        let Some((literal, end)) = parse_quoted(&text[open..]) else { return Err(open..open + 2) };
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

/// Parses `{{ "literal" }}` at the beginning of `text`: returns the literal and the offset of the expression's end. The literal has
/// no escapes and no line break, so that the line numbers of messages stay true.
fn parse_quoted(text: &str) -> Option<(&str, usize)> {
    let blank = [' ', '\t'];
    let inside = text.strip_prefix("{{")?.trim_start_matches(blank);
    let quote = inside.chars().next().filter(|quote| matches!(quote, '"' | '`'))?;
    let (literal, after) = inside[1..].split_once(quote)?;
    let after = after.trim_start_matches(blank).strip_prefix("}}")?;
    (!literal.contains(['\\', '\n'])).then(|| (literal, text.len() - after.len()))
}

/// Finds `{{` outside comments.
struct BraceScanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The delimiter that ends the string that `at` is in; `None` outside strings.
    quote: Option<&'static [u8]>,
}

impl Iterator for BraceScanner<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while self.at < self.bytes.len() {
            let rest = &self.bytes[self.at..];
            if rest.starts_with(b"{{") {
                return Some(self.at);
            }
            self.at += self.next_token(rest);
        }
        None
    }
}

impl BraceScanner<'_> {
    /// Updates `quote` for the token at the beginning of `rest`, and returns the token's length.
    fn next_token(&mut self, rest: &[u8]) -> usize {
        match self.quote {
            None if rest[0] == b'#' => rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()),
            None => {
                self.quote = opening_quote(rest);
                self.quote.map_or(1, <[u8]>::len)
            }
            Some(open) if open[0] == b'"' && rest[0] == b'\\' && !rest[1..].starts_with(b"{{") => 2,
            Some(open) if rest.starts_with(open) => {
                self.quote = None;
                open.len()
            }
            // A one-line string without an end is broken TOML: it ends here, so that comments in later lines are recognised.
            Some(open) if open.len() == 1 && rest[0] == b'\n' => {
                self.quote = None;
                1
            }
            Some(_) => 1,
        }
    }
}

fn opening_quote(rest: &[u8]) -> Option<&'static [u8]> {
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
            assert_eq!(replace_quoted_text(text).err().map(|span| span.start), found, "{text:?}");
        }
    }

    #[test]
    fn quoted_text_replaces_its_expression() {
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
            assert_eq!(replace_quoted_text(text).as_deref(), expected.as_ref().copied(), "{text}");
        }
    }
}
