//! Normalises the head of a server's response that the strict parser refuses: writes it again without the deviations that every program reads
//! alike ([`crate::http::deviation`]). Runs only for such heads, so a regular response pays nothing for it.

use crate::http::deviation::{Deviation, Deviations};
use crate::http::known::KnownField;
use crate::http::token::is_token_byte;
use crate::http::violation::Violation;

/// A head that has been written again.
#[derive(Debug)]
pub struct NormalisedHead {
    /// The head as the strict parser accepts it, empty line included.
    pub bytes: Vec<u8>,
    pub deviations: Deviations,
}

/// Whether a head that breaks this rule may be normalised once it has arrived whole. `bytes` begins with the head. A response that does not
/// begin as HTTP is refused at once: its end may never come.
pub fn may_be_normalised(bytes: &[u8], rule: Violation) -> bool {
    let is_candidate = matches!(
        rule,
        Violation::SpaceBeforeColon
            | Violation::Fold
            | Violation::BareLf
            | Violation::ValueByte
            | Violation::EmptyName
            | Violation::NameByte
            | Violation::StatusLine
            | Violation::LengthRepeated
    );
    let version = b"HTTP/d.d ";
    let begins_as_http = bytes.iter().zip(version).all(|(byte, expected)| match expected {
        b'd' => byte.is_ascii_digit(),
        b' ' => is_blank(*byte),
        _ => byte == expected,
    });
    is_candidate && begins_as_http
}

/// Writes a whole head, empty line included, in the strict form.
///
/// # Errors
/// The head has a deviation that two programs could read differently.
pub fn normalise(head: &[u8]) -> Result<NormalisedHead, Violation> {
    let mut writer = Writer { out: Vec::with_capacity(head.len() + 16), ..Writer::default() };
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    let status_line = lines.next().unwrap_or_default();
    let status_line = writer.line(status_line)?;
    writer.status_line(status_line)?;
    for line in lines {
        let line = writer.line(line)?;
        match line.first() {
            None => break,
            Some(byte) if is_blank(*byte) => writer.continuation(line)?,
            Some(_) => writer.field(line)?,
        }
    }
    writer.out.extend_from_slice(b"\r\n");
    Ok(NormalisedHead { bytes: writer.out, deviations: writer.deviations })
}

/// The field that the last line belongs to.
#[derive(Default, PartialEq)]
enum LastField {
    /// There is none yet.
    #[default]
    Absent,
    Written,
    /// Content-Length or Transfer-Encoding.
    Framing,
    Dropped,
}

#[derive(Default)]
struct Writer<'a> {
    out: Vec<u8>,
    deviations: Deviations,
    last: LastField,
    content_length: Option<&'a [u8]>,
}

impl<'a> Writer<'a> {
    /// The line without its end.
    fn line(&mut self, line: &'a [u8]) -> Result<&'a [u8], Violation> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let stripped = line.strip_suffix(b"\r");
        if stripped.is_none() {
            self.deviations.insert(Deviation::BareLf);
        }
        let line = stripped.unwrap_or(line);
        match memchr::memchr2(b'\r', 0, line) {
            None => Ok(line),
            Some(at) if line[at] == 0 => Err(Violation::ValueByte),
            Some(_) => Err(Violation::BareCr),
        }
    }

    fn status_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        let [b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9', rest @ ..] = line else {
            return Err(Violation::StatusLine);
        };
        let is_known = *major == b'1' && matches!(minor, b'0' | b'1');
        if !is_known {
            if *major == b'0' {
                return Err(Violation::StatusLine);
            }
            self.deviations.insert(Deviation::Version);
        }
        let code = &rest[rest.iter().take_while(|byte| is_blank(**byte)).count()..];
        let (Some(digits), true) = (code.first_chunk::<3>(), code.len() < rest.len()) else {
            return Err(Violation::StatusLine);
        };
        let reason = &code[3..];
        if !digits.iter().all(u8::is_ascii_digit) || reason.first().is_some_and(|byte| !is_blank(*byte)) {
            return Err(Violation::StatusLine);
        }
        let reason = trim_blanks(reason);
        let is_plain = rest.first() == Some(&b' ') && rest.len() == code.len() + 1;
        let has_one_space = code.get(3).is_none_or(|byte| *byte == b' ') && code.get(4).is_none_or(|b| !is_blank(*b));
        if !is_plain || !has_one_space {
            self.deviations.insert(Deviation::StatusSpaces);
        }
        self.out.extend_from_slice(if is_known && *minor == b'0' { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
        self.out.extend_from_slice(digits);
        self.out.push(b' ');
        self.value(reason);
        self.out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn field(&mut self, line: &'a [u8]) -> Result<(), Violation> {
        let Some(colon) = memchr::memchr(b':', line) else { return Err(Violation::NoColon) };
        let name = trim_blanks(&line[..colon]);
        if name.is_empty() || !name.iter().all(|byte| is_token_byte(*byte)) {
            if resembles_framing_field(name) {
                return Err(Violation::NameByte);
            }
            self.deviations.insert(Deviation::InvalidName);
            self.last = LastField::Dropped;
            return Ok(());
        }
        let framing = Some(KnownField::of(name)).filter(|known| FRAMING.contains(known));
        if name.len() < colon {
            if framing.is_some() {
                return Err(Violation::SpaceBeforeColon);
            }
            self.deviations.insert(Deviation::SpaceBeforeColon);
        }
        let value = trim_blanks(&line[colon + 1..]);
        if framing == Some(KnownField::ContentLength) {
            if let Some(first) = self.content_length {
                self.deviations.insert(Deviation::RepeatedLength);
                self.last = LastField::Framing;
                return if first == value { Ok(()) } else { Err(Violation::LengthRepeated) };
            }
            self.content_length = Some(value);
        }
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(b": ");
        if framing.is_some() {
            // The strict parser judges the value as it is.
            self.out.extend_from_slice(value);
        } else {
            self.value(value);
        }
        self.out.extend_from_slice(b"\r\n");
        self.last = if framing.is_some() { LastField::Framing } else { LastField::Written };
        Ok(())
    }

    /// Joins a line to the field above it.
    fn continuation(&mut self, line: &[u8]) -> Result<(), Violation> {
        match self.last {
            LastField::Absent => return Err(Violation::LeadingSpace),
            LastField::Framing => return Err(Violation::Fold),
            LastField::Dropped => return Ok(()),
            LastField::Written => {}
        }
        self.deviations.insert(Deviation::Fold);
        let value = trim_blanks(line);
        if !value.is_empty() {
            self.out.truncate(self.out.len() - 2);
            if !self.out.ends_with(b" ") {
                self.out.push(b' ');
            }
            self.value(value);
            self.out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    /// Writes a value or a reason phrase with a space for each control byte.
    fn value(&mut self, value: &[u8]) {
        let start = self.out.len();
        self.out.extend_from_slice(value);
        for byte in &mut self.out[start..] {
            if byte.is_ascii_control() && *byte != b'\t' {
                *byte = b' ';
                self.deviations.insert(Deviation::ControlByte);
            }
        }
    }
}

const FRAMING: [KnownField; 2] = [KnownField::ContentLength, KnownField::TransferEncoding];

/// Whether an invalid name has the letters of a framing field: another program may read it as that field.
fn resembles_framing_field(name: &[u8]) -> bool {
    let letters = |name: &[u8]| {
        name.iter().filter(|byte| byte.is_ascii_alphabetic()).map(u8::to_ascii_lowercase).collect::<Vec<_>>()
    };
    FRAMING.iter().any(|known| letters(known.name()) == letters(name))
}

fn trim_blanks(text: &[u8]) -> &[u8] {
    let start = text.iter().take_while(|byte| is_blank(**byte)).count();
    let end = text.iter().rev().take_while(|byte| is_blank(**byte)).count();
    &text[start..(text.len() - end).max(start)]
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
