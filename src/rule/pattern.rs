//! Regular expressions as Go's `regexp` reads them, compiled by the `regex` crate (docs/reference/rules.md#patterns).
//!
//! The two dialects differ in places that rules really use: `\d`, `\w`, `\s` and `\b` are ASCII in Go, a `{` that opens no repetition
//! and a `[` inside a class are ordinary characters, and `\<` is a plain `<`. The text is rewritten once, at compile time.

use std::borrow::Cow;
use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

use crate::limits::{Bound, REGEX_PROGRAM_BYTES_MAX};

/// Go refuses repetitions above this count.
pub const REGEX_REPEAT_MAX: u32 = 1000;

/// Why an expression was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPattern {
    pub pattern: String,
    pub reason: String,
    /// The bound that it goes beyond, if that is what is wrong with it.
    pub bound: Option<Bound>,
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "regular expression `{}`: {}", self.pattern, self.reason)
    }
}

impl std::error::Error for InvalidPattern {}

/// Compiles an expression in Go's syntax; the match is unanchored.
pub fn compile(pattern: &str) -> Result<Regex, InvalidPattern> {
    build(pattern, &translate(pattern)?.text)
}

/// Compiles text that is already in the `regex` crate's own syntax; `shown` is what an error quotes.
pub(crate) fn build(shown: &str, text: &str) -> Result<Regex, InvalidPattern> {
    RegexBuilder::new(text).size_limit(REGEX_PROGRAM_BYTES_MAX).build().map_err(|error| {
        // The crate's message draws the pattern over several lines; its last line holds the reason.
        let message = error.to_string();
        let last = message.lines().last().unwrap_or_default();
        let bound = matches!(error, regex::Error::CompiledTooBig(_)).then_some(Bound::RegexProgram);
        InvalidPattern { pattern: shown.to_owned(), reason: last.trim_start_matches("error: ").to_owned(), bound }
    })
}

/// Bytes as Go's regexp sees them: each byte that is not part of valid UTF-8 reads as U+FFFD.
pub(crate) fn as_text(bytes: &[u8]) -> Cow<'_, [u8]> {
    Subject::new(bytes).text
}

/// A text to match together with the way back from its offsets to those of the original bytes.
pub(crate) struct Subject<'a> {
    pub text: Cow<'a, [u8]>,
    /// Original offset of each byte of `text`, and of its end; absent when both are the same.
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

    pub fn original(&self, offset: usize) -> usize {
        self.offsets.as_ref().map_or(offset, |offsets| offsets[offset])
    }
}

/// An expression in the `regex` crate's syntax.
pub(crate) struct Translated {
    pub text: String,
    /// Every match ends with these bytes (in some letter case, under `(?i)`); empty when nothing is certain.
    pub tail: Vec<u8>,
    /// It asks whether the text begins or ends somewhere: inside of a longer text it may mean something else.
    pub is_anchored: bool,
}

/// Rewrites Go syntax, refusing what Go refuses and the `regex` crate would read differently.
pub(crate) fn translate(pattern: &str) -> Result<Translated, InvalidPattern> {
    let mut walk = Walk {
        pattern,
        chars: pattern.chars().collect(),
        at: 0,
        text: String::with_capacity(pattern.len() + 16),
        depth: 0,
        tail: Vec::new(),
        alternates: false,
        is_anchored: false,
    };
    while walk.at < walk.chars.len() {
        walk.step()?;
    }
    // Checked here and not left to the compiler: a template puts the text into a group, where `a)(b` would look balanced.
    if walk.depth > 0 {
        return Err(walk.fail("missing closing )"));
    }
    let tail = if walk.alternates { Vec::new() } else { walk.tail };
    Ok(Translated { text: walk.text, tail, is_anchored: walk.is_anchored })
}

struct Walk<'a> {
    pattern: &'a str,
    chars: Vec<char>,
    at: usize,
    text: String,
    depth: usize,
    tail: Vec<u8>,
    alternates: bool,
    is_anchored: bool,
}

impl Walk<'_> {
    fn fail(&self, reason: impl Into<String>) -> InvalidPattern {
        InvalidPattern { pattern: self.pattern.to_owned(), reason: reason.into(), bound: None }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn step(&mut self) -> Result<(), InvalidPattern> {
        let c = self.chars[self.at];
        match c {
            '\\' => return self.escape(),
            '[' => return self.class(),
            '{' => return self.repetition(),
            '(' => self.group()?,
            ')' => {
                self.depth = self.depth.checked_sub(1).ok_or_else(|| self.fail("unexpected )"))?;
                self.opaque(")");
            }
            '|' => {
                self.alternates |= self.depth == 0;
                self.opaque("|");
            }
            '.' | '^' | '$' | '*' | '+' | '?' => {
                self.is_anchored |= matches!(c, '^' | '$');
                self.opaque(c.encode_utf8(&mut [0; 4]));
            }
            '}' | ']' => self.literal(c),
            _ => self.literal(c),
        }
        self.at += 1;
        Ok(())
    }

    fn opaque(&mut self, text: &str) {
        self.tail.clear();
        self.text.push_str(text);
    }

    fn literal(&mut self, c: char) {
        if self.depth == 0 {
            self.tail.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.text.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }

    fn group(&mut self) -> Result<(), InvalidPattern> {
        self.depth += 1;
        self.opaque("(");
        if self.peek(1) != Some('?') {
            return Ok(());
        }
        if self.peek(2) == Some('P') {
            return Ok(());
        }
        let flags = self.chars[self.at + 2..].iter().take_while(|c| !matches!(c, ':' | ')')).collect::<String>();
        if let Some(bad) = flags.chars().find(|c| !"imsU-".contains(*c)) {
            return Err(self.fail(format!("`(?{bad}` is no group that Go knows")));
        }
        // A flag setting such as `(?i)` closes at once; its letters are copied here so that they do not count as literal text.
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
            self.literal('{');
            self.at += 1;
            return Ok(());
        }
        for bound in [low, high] {
            if !bound.is_empty() && bound.parse::<u32>().is_ok_and(|count| count > REGEX_REPEAT_MAX) {
                return Err(self.fail(format!("repetition {{{rest}}} is above {REGEX_REPEAT_MAX}")));
            }
        }
        self.opaque(&format!("{{{rest}}}"));
        self.at += rest.len() + 2;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), InvalidPattern> {
        let Some(c) = self.peek(1) else { return Err(self.fail("trailing backslash")) };
        if c == 'Q' {
            return self.quoted();
        }
        if c.is_ascii() && !c.is_ascii_alphanumeric() {
            self.literal(c);
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
        self.opaque(text);
        self.at += 2;
        Ok(())
    }

    /// `\Q...\E`: literal text up to `\E` or the end.
    fn quoted(&mut self) -> Result<(), InvalidPattern> {
        self.at += 2;
        while let Some(c) = self.peek(0) {
            if c == '\\' && self.peek(1) == Some('E') {
                self.at += 2;
                return Ok(());
            }
            self.literal(c);
            self.at += 1;
        }
        Ok(())
    }

    /// Escapes that stand for one character or one Unicode class, inside and outside of brackets.
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
            _ => return Err(self.fail(format!("`\\{c}` is no escape that Go knows"))),
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
        self.opaque("[");
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
            // The crate reads `--`, `&&`, `~~` and nested brackets as set operations; Go reads them as characters.
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
    fn characters_that_only_one_dialect_finds_special() {
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
    fn what_go_refuses_is_refused() {
        for pattern in ["(", "[a", "a\\", r"\1", r"\e", r"\u0041", "(?x) a", "(?<n>a)", "a{1001}", "*a", "a)", r"\é"] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_tail_is_only_reported_when_every_match_ends_with_it() {
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
    fn invalid_utf8_reads_as_one_replacement_character_per_byte_and_offsets_lead_back() {
        let subject = Subject::new(b"/a\xe2\x82/\xc3\xa9");
        assert_eq!(String::from_utf8_lossy(&subject.text), "/a\u{fffd}\u{fffd}/é");
        assert_eq!(subject.original(8), 4);
        assert_eq!(subject.original(subject.text.len()), 7);
    }
}
