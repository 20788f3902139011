//! Regular expressions in the syntax of Go's `regexp`, compiled by the `regex` crate (docs/reference/rules.md#patterns).
//!
//! The two dialects differ where rules make use of them: in Go `\d`, `\w`, `\s` and `\b` are ASCII, a `{` that opens no repetition and a
//! `[` inside a class are ordinary characters, and `\<` is a plain `<`. An expression is translated once, when it is compiled.

use std::borrow::Cow;
use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

use crate::limits::{Bound, REGEX_PROGRAM_BYTES_MAX};

/// The largest count of a repetition that Go accepts.
pub const REGEX_REPEAT_MAX: u32 = 1000;

/// Why a regular expression is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPattern {
    pub pattern: String,
    pub reason: String,
    /// The bound that the expression exceeds, if that is the reason for its rejection.
    pub bound: Option<Bound>,
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "regular expression `{}`: {}", self.pattern, self.reason)
    }
}

impl std::error::Error for InvalidPattern {}

/// Compiles an expression in Go's syntax. Matches are unanchored.
pub fn compile(pattern: &str) -> Result<Regex, InvalidPattern> {
    build(pattern, &translate(pattern)?.text)
}

/// Compiles a text in the syntax of the `regex` crate. An error quotes `shown` instead.
pub(crate) fn build(shown: &str, text: &str) -> Result<Regex, InvalidPattern> {
    RegexBuilder::new(text).size_limit(REGEX_PROGRAM_BYTES_MAX).build().map_err(|error| {
        // The crate's message shows the pattern on several lines; its last line is the reason.
        let message = error.to_string();
        let last = message.lines().last().unwrap_or_default();
        let bound = matches!(error, regex::Error::CompiledTooBig(_)).then_some(Bound::RegexProgram);
        InvalidPattern { pattern: shown.to_owned(), reason: last.trim_start_matches("error: ").to_owned(), bound }
    })
}

/// Bytes as Go's `regexp` reads them: each byte that is not part of valid UTF-8 becomes U+FFFD.
pub(crate) fn as_text(bytes: &[u8]) -> Cow<'_, [u8]> {
    Subject::new(bytes).text
}

/// A text to match, and the mapping from its offsets to those of the original bytes.
pub(crate) struct Subject<'a> {
    pub text: Cow<'a, [u8]>,
    /// The original offset of each byte of `text`, and of its end; `None` if all offsets are the same.
    offsets: Option<Vec<usize>>,
}

impl<'a> Subject<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        if std::str::from_utf8(bytes).is_ok() {
            return Subject { text: Cow::Borrowed(bytes), offsets: None };
        }
        let mut text = Vec::with_capacity(bytes.len() * 3);
        let mut offsets = Vec::with_capacity(bytes.len() * 3 + 1);
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            for &byte in chunk.valid().as_bytes() {
                text.push(byte);
                offsets.push(at);
                at += 1;
            }
            for _ in chunk.invalid() {
                text.extend_from_slice("\u{fffd}".as_bytes());
                offsets.extend([at; 3]);
                at += 1;
            }
        }
        offsets.push(at);
        Subject { text: Cow::Owned(text), offsets: Some(offsets) }
    }

    /// The offset in the original bytes.
    pub fn original(&self, offset: usize) -> usize {
        self.offsets.as_ref().map_or(offset, |offsets| offsets[offset])
    }
}

/// An expression translated to the syntax of the `regex` crate.
pub(crate) struct Translated {
    pub text: String,
    /// The bytes with which every match ends (in any letter case, under `(?i)`); empty if they are not known.
    pub tail: Vec<u8>,
    /// Whether the expression has an anchor: as a part of a longer expression it may mean something else.
    pub is_anchored: bool,
}

/// Translates an expression in Go's syntax. Rejects syntax that Go rejects and that the `regex` crate would accept with another meaning.
pub(crate) fn translate(pattern: &str) -> Result<Translated, InvalidPattern> {
    let mut translator = Translator {
        pattern,
        chars: pattern.chars().collect(),
        at: 0,
        text: String::with_capacity(pattern.len() + 16),
        depth: 0,
        tail: Vec::new(),
        alternates: false,
        is_anchored: false,
    };
    while translator.at < translator.chars.len() {
        translator.translate_next()?;
    }
    // Checked here and not by the compiler: a template puts the text into a group, where `a)(b` would be balanced.
    if translator.depth > 0 {
        return Err(translator.fail("missing closing )"));
    }
    let tail = if translator.alternates { Vec::new() } else { translator.tail };
    Ok(Translated { text: translator.text, tail, is_anchored: translator.is_anchored })
}

/// The state of a translation.
struct Translator<'a> {
    pattern: &'a str,
    chars: Vec<char>,
    /// The position in `chars`.
    at: usize,
    text: String,
    /// The number of groups that are open.
    depth: usize,
    tail: Vec<u8>,
    /// Whether there is a `|` outside of any group; `tail` is then that of the last alternative only.
    alternates: bool,
    is_anchored: bool,
}

impl Translator<'_> {
    fn fail(&self, reason: impl Into<String>) -> InvalidPattern {
        InvalidPattern { pattern: self.pattern.to_owned(), reason: reason.into(), bound: None }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn translate_next(&mut self) -> Result<(), InvalidPattern> {
        let c = self.chars[self.at];
        match c {
            '\\' => return self.escape(),
            '[' => return self.class(),
            '{' => return self.repetition(),
            '(' => self.group()?,
            ')' => {
                self.depth = self.depth.checked_sub(1).ok_or_else(|| self.fail("unexpected )"))?;
                self.push_syntax(")");
            }
            '|' => {
                self.alternates |= self.depth == 0;
                self.push_syntax("|");
            }
            '.' | '^' | '$' | '*' | '+' | '?' => {
                self.is_anchored |= matches!(c, '^' | '$');
                self.push_syntax(c.encode_utf8(&mut [0; 4]));
            }
            '}' | ']' => self.push_literal(c),
            _ => self.push_literal(c),
        }
        self.at += 1;
        Ok(())
    }

    /// Appends text that does not match literally: it ends the known tail.
    fn push_syntax(&mut self, text: &str) {
        self.tail.clear();
        self.text.push_str(text);
    }

    /// Appends a character that matches itself.
    fn push_literal(&mut self, c: char) {
        if self.depth == 0 {
            self.tail.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.text.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }

    fn group(&mut self) -> Result<(), InvalidPattern> {
        self.depth += 1;
        self.push_syntax("(");
        if self.peek(1) != Some('?') {
            return Ok(());
        }
        if self.peek(2) == Some('P') {
            return Ok(());
        }
        let flags = self.chars[self.at + 2..].iter().take_while(|c| !matches!(c, ':' | ')')).collect::<String>();
        if let Some(bad) = flags.chars().find(|c| !"imsU-".contains(*c)) {
            return Err(self.fail(format!("`(?{bad}` is not a group of Go's syntax")));
        }
        // The letters of a flag setting such as `(?i)` are copied here, because they must not count as literal text.
        self.text.push('?');
        self.text.push_str(&flags);
        self.at += 1 + flags.len();
        if self.peek(1) == Some(':') {
            self.text.push(':');
            self.at += 1;
        }
        Ok(())
    }

    fn repetition(&mut self) -> Result<(), InvalidPattern> {
        let rest: String = self.chars[self.at + 1..].iter().take_while(|c| **c != '}').collect();
        let closed = self.peek(rest.chars().count() + 1) == Some('}');
        let (low, high) = rest.split_once(',').unwrap_or((&rest, ""));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !closed || !digits(low) || !(high.is_empty() || digits(high)) {
            self.push_literal('{');
            self.at += 1;
            return Ok(());
        }
        for bound in [low, high] {
            if !bound.is_empty() && bound.parse::<u32>().is_ok_and(|count| count > REGEX_REPEAT_MAX) {
                return Err(self.fail(format!("repetition {{{rest}}} is above {REGEX_REPEAT_MAX}")));
            }
        }
        self.push_syntax(&format!("{{{rest}}}"));
        self.at += rest.len() + 2;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), InvalidPattern> {
        let Some(c) = self.peek(1) else { return Err(self.fail("trailing backslash")) };
        if c == 'Q' {
            return self.quoted();
        }
        if c.is_ascii() && !c.is_ascii_alphanumeric() {
            self.push_literal(c);
            self.at += 2;
            return Ok(());
        }
        let text = match c {
            'd' => "[0-9]",
            'D' => "[^0-9]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            's' => "[\\t\\n\\f\\r ]",
            'S' => "[^\\t\\n\\f\\r ]",
            'b' => "(?-u:\\b)",
            'B' => "(?-u:\\B)",
            'A' => "\\A",
            'z' => "\\z",
            _ => {
                self.tail.clear();
                return self.escape_value();
            }
        };
        self.is_anchored |= matches!(c, 'A' | 'z');
        self.push_syntax(text);
        self.at += 2;
        Ok(())
    }

    /// Translates `\Q...\E`: literal text up to `\E` or the end.
    fn quoted(&mut self) -> Result<(), InvalidPattern> {
        self.at += 2;
        while let Some(c) = self.peek(0) {
            if c == '\\' && self.peek(1) == Some('E') {
                self.at += 2;
                return Ok(());
            }
            self.push_literal(c);
            self.at += 1;
        }
        Ok(())
    }

    /// Translates an escape for one character or one Unicode class; it is the same inside and outside of brackets.
    fn escape_value(&mut self) -> Result<(), InvalidPattern> {
        let c = self.peek(1).unwrap_or_default();
        match c {
            'a' | 'f' | 't' | 'n' | 'r' | 'v' => {
                self.text.extend(['\\', c]);
                self.at += 2;
            }
            'x' | 'p' | 'P' => {
                self.text.extend(['\\', c]);
                self.at += 2;
                if self.peek(0) == Some('{') {
                    while let Some(c) = self.peek(0) {
                        self.text.push(c);
                        self.at += 1;
                        if c == '}' {
                            break;
                        }
                    }
                }
            }
            '0'..='7' => return self.octal(),
            _ => return Err(self.fail(format!("`\\{c}` is not an escape of Go's syntax"))),
        }
        Ok(())
    }

    fn octal(&mut self) -> Result<(), InvalidPattern> {
        let digits: String = self.chars[self.at + 1..].iter().take(3).take_while(|c| matches!(c, '0'..='7')).collect();
        if !digits.starts_with('0') && digits.len() < 2 {
            return Err(self.fail("Go has no back references"));
        }
        let value = u32::from_str_radix(&digits, 8).unwrap_or_default();
        self.text.push_str(&format!("\\x{{{value:x}}}"));
        self.at += 1 + digits.len();
        Ok(())
    }

    fn class(&mut self) -> Result<(), InvalidPattern> {
        self.push_syntax("[");
        self.at += 1;
        if self.peek(0) == Some('^') {
            self.text.push('^');
            self.at += 1;
        }
        let mut first = true;
        loop {
            let Some(c) = self.peek(0) else { return Err(self.fail("missing closing ]")) };
            if c == ']' && !first {
                self.text.push(']');
                self.at += 1;
                return Ok(());
            }
            first = false;
            self.class_item(c)?;
        }
    }

    fn class_item(&mut self, c: char) -> Result<(), InvalidPattern> {
        match c {
            '[' if self.peek(1) == Some(':') => {
                let name: String = self.chars[self.at..].iter().take_while(|c| **c != ']').collect();
                if name.len() > 2 && name.ends_with(':') {
                    self.text.push_str(&name);
                    self.text.push(']');
                    self.at += name.chars().count() + 1;
                    return Ok(());
                }
                self.text.push_str("\\[");
            }
            // To the crate, `--`, `&&`, `~~` and nested brackets are set operations; to Go, they are characters.
            '[' | ']' | '&' | '~' => self.text.extend(['\\', c]),
            '-' if self.peek(1) == Some('-') => {
                self.text.push_str("-\\-");
                self.at += 1;
            }
            '\\' => return self.class_escape(),
            _ => self.text.push(c),
        }
        self.at += 1;
        Ok(())
    }

    fn class_escape(&mut self) -> Result<(), InvalidPattern> {
        let Some(c) = self.peek(1) else { return Err(self.fail("trailing backslash")) };
        let text = match c {
            'd' => "0-9",
            'D' => "[^0-9]",
            'w' => "0-9A-Za-z_",
            'W' => "[^0-9A-Za-z_]",
            's' => "\\t\\n\\f\\r ",
            'S' => "[^\\t\\n\\f\\r ]",
            _ if c.is_ascii() && !c.is_ascii_alphanumeric() => {
                self.text.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
                self.at += 2;
                return Ok(());
            }
            _ => return self.escape_value(),
        };
        self.text.push_str(text);
        self.at += 2;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        compile(pattern).expect(pattern).is_match(text.as_bytes())
    }

    #[test]
    fn perl_classes_are_ascii_as_in_go() {
        assert!(matches(r"^\d+$", "42"));
        assert!(!matches(r"^\d+$", "\u{0664}\u{0662}"));
        assert!(!matches(r"^\w$", "é"));
        assert!(matches(r"^[\w.-]+$", "a_b.c-d"));
        assert!(matches(r"^\W$", "é"));
        assert!(matches(r"\bfoo\b", "éfooé"));
    }

    #[test]
    fn characters_special_in_one_dialect_match_as_in_go() {
        assert!(matches(r"^a{b}$", "a{b}"));
        assert!(matches(r"^a{,2}$", "a{,2}"));
        assert!(matches(r"^a{2}$", "aa"));
        assert!(matches(r"^\<x\>$", "<x>"));
        assert!(matches(r"^[[a&&b]+$", "[a&b"));
        assert!(matches(r"^[]a]+$", "]a"));
        assert!(matches(r"^[[:alpha:]]+$", "ab"));
        assert!(matches(r"^\Qa.b\E+$", "a.bb"));
        assert!(matches(r"^\/x\101$", "/xA"));
        assert!(matches(r"^(?:https?:\/\/)?([\w\._-]+)(?::\d+)?(.*)$", "http://a.b:80/c"));
        assert!(matches(r"(?i)^ab(?s:.)\x{41}\pL$", "AB\nAz"));
    }

    #[test]
    fn expression_that_go_rejects_is_rejected() {
        for pattern in ["(", "[a", "a\\", r"\1", r"\e", r"\u0041", "(?x) a", "(?<n>a)", "a{1001}", "*a", "a)", r"\é"] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn tail_is_known_only_if_every_match_ends_with_it() {
        let tail = |pattern: &str| String::from_utf8(translate(pattern).expect(pattern).tail).expect("ascii");
        assert_eq!(tail(r"(www|api)\.d\.com"), ".d.com");
        assert_eq!(tail(r"(foo\.)?bar"), "bar");
        assert_eq!(tail("a|bc"), "");
        assert_eq!(tail("bc?"), "");
        assert_eq!(tail("bc+"), "");
        assert_eq!(tail(r"b\d"), "");
        assert_eq!(tail(r"(?i)x(?i)"), "");
        assert_eq!(tail(r"[a-z]x{2}"), "");
        assert_eq!(tail(r"a\Qb.c\E"), "ab.c");
    }

    #[test]
    fn invalid_utf8_becomes_one_replacement_character_per_byte() {
        let subject = Subject::new(b"/a\xe2\x82/\xc3\xa9");
        assert_eq!(String::from_utf8_lossy(&subject.text), "/a\u{fffd}\u{fffd}/é");
        assert_eq!(subject.original(8), 4);
        assert_eq!(subject.original(subject.text.len()), 7);
    }
}
