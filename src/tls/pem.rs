//! Reads PEM text (RFC 7468) and names the line of each block that is damaged.
//!
//! Files come from many editors and tools. A byte order mark, any line ends, indented blocks, blocks on one line, text between blocks and
//! files that were glued together without a line end between them are unambiguous and accepted. No block is dropped without a
//! [`Damage`] that names its line (docs/reference/static-configuration.md#values).

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Padding and the unused bits of the last character are not checked: tools differ, and neither changes the content.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// A block: its label, the line of its first marker (from 1), and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub label: String,
    pub line: usize,
    /// The decoded content, or the reason why the block cannot be decoded.
    pub content: Result<Vec<u8>, String>,
}

/// A block that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The line of the block's first marker, from 1.
    pub line: usize,
    /// The defect, and what to do about it.
    pub reason: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// All blocks of a text, in order.
pub fn blocks(text: &[u8]) -> Vec<Block> {
    let text = String::from_utf8_lossy(text);
    let mut markers = Markers { text: &text, at: 0, after_end: false };
    let mut found = Vec::new();
    let mut open: Option<(String, usize, usize)> = None;
    while let Some(marker) = markers.next_marker() {
        match (open.take(), marker.is_begin) {
            (None, true) => open = Some((marker.label, marker.line, marker.end)),
            (None, false) => {
                let reason = format!(
                    "END {} without its BEGIN line: restore the line \"{BEGIN}{}{DASHES}\"",
                    marker.label, marker.label
                );
                found.push(Block { label: marker.label, line: marker.line, content: Err(reason) });
            }
            (Some((label, line, _)), true) => {
                found.push(Block { content: Err(without_end(&label)), label, line });
                open = Some((marker.label, marker.line, marker.end));
            }
            (Some((label, line, start)), false) => {
                let content = if label == marker.label {
                    decode(&text[start..marker.start])
                } else {
                    Err(format!("BEGIN {label} is closed by END {}: correct the label", marker.label))
                };
                found.push(Block { label, line, content });
            }
        }
    }
    if let Some((label, line, _)) = open {
        found.push(Block { content: Err(without_end(&label)), label, line });
    }
    found
}

fn without_end(label: &str) -> String {
    format!("BEGIN {label} without its END line: the block is cut off, copy it again")
}

/// The certificates of a text in order, and the blocks that should be certificates and are none. Blocks with other content, such as keys and
/// parameters, are skipped.
pub fn certificates(text: &[u8]) -> (Vec<CertificateDer<'static>>, Vec<Damage>) {
    let (mut good, mut damaged) = (Vec::new(), Vec::new());
    for Block { label, line, content } in blocks(text) {
        let outcome = match label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" => content.and_then(certificate),
            "TRUSTED CERTIFICATE" => Err("a TRUSTED CERTIFICATE, OpenSSL's own form with usage settings, is not \
                read: convert it with `openssl x509 -in FILE -out NEW`"
                .to_owned()),
            other if other.contains("CERTIFICATE") && !other.contains("REQUEST") => content.and(Err(format!(
                "a block with the label {other:?} is not read: certificates have the label CERTIFICATE"
            ))),
            _ => continue,
        };
        match outcome {
            Ok(der) => good.push(der),
            Err(reason) => damaged.push(Damage { line, reason }),
        }
    }
    (good, damaged)
}

/// The certificates of a bundle of authorities, and the blocks of it that have no effect: damaged ones, those whose content no verifier can
/// use, and revocation lists.
pub fn authorities(text: &[u8]) -> (Vec<CertificateDer<'static>>, Vec<Damage>) {
    let (certificates, mut unused) = certificates(text);
    let lists = blocks(text).into_iter().filter(|block| block.label == "X509 CRL");
    unused.extend(lists.map(|block| {
        Damage {
            line: block.line,
            reason:
                "a revocation list has no effect: Ringway does not check revocation; remove it, and remove revoked \
            authorities from the file"
                    .to_owned(),
        }
    }));
    unused.sort_by_key(|damage| damage.line);
    (certificates, unused)
}

/// Private keys in order: label, line and content. A damaged key block is in the list too.
pub fn keys(text: &[u8]) -> Vec<Block> {
    let is_key = |block: &Block| block.label == "PRIVATE KEY" || block.label.ends_with(" PRIVATE KEY");
    blocks(text).into_iter().filter(is_key).collect()
}

/// Checks that the content of a block is one certificate and nothing more.
fn certificate(der: Vec<u8>) -> Result<CertificateDer<'static>, String> {
    match X509Certificate::from_der(&der) {
        Ok(([], _)) => Ok(CertificateDer::from(der)),
        Ok((rest, _)) => Err(format!("{} bytes follow the certificate in its block: copy the block again", rest.len())),
        Err(_) => Err("the content is no certificate: copy the block again".to_owned()),
    }
}

fn decode(body: &str) -> Result<Vec<u8>, String> {
    if body.contains("\\n") {
        return Err("the text has the two characters \\n instead of line ends: replace each by a line end".to_owned());
    }
    // Lines with a colon are headers of RFC 1421, such as those of an encrypted key.
    let is_header = |line: &&str| line.contains(':');
    let mut base64 = String::with_capacity(body.len());
    for line in body.split(['\n', '\r']).filter(|line| !is_header(line)) {
        base64.extend(line.chars().filter(|c| !c.is_whitespace()));
    }
    if base64.is_empty() {
        return Err("the block is empty".to_owned());
    }
    BASE64.decode(&base64).map_err(|error| format!("damaged base64 ({error}): copy the block again"))
}

struct Marker {
    is_begin: bool,
    label: String,
    line: usize,
    start: usize,
    end: usize,
}

/// Finds the BEGIN and END markers of a text.
struct Markers<'a> {
    text: &'a str,
    at: usize,
    /// The previous marker was an END marker and ends where the search continues.
    after_end: bool,
}

impl Markers<'_> {
    fn next_marker(&mut self) -> Option<Marker> {
        loop {
            let rest = &self.text[self.at..];
            let offset = rest.find(DASHES)?;
            let start = self.at + offset;
            let is_first_on_line = self.is_first_on_line(start);
            let glued = self.after_end && offset == 0;
            match marker_at(self.text, start) {
                // A BEGIN inside a line is prose about PEM, unless an END marker ends right before it.
                Some((is_begin, label, end)) if !is_begin || is_first_on_line || glued => {
                    let line = 1 + line_ends(&self.text[..start]);
                    (self.at, self.after_end) = (end, !is_begin);
                    return Some(Marker { is_begin, label, line, start, end });
                }
                // The next dash may begin a marker: some files have markers with six dashes.
                _ => (self.at, self.after_end) = (start + 1, self.after_end && offset == 0),
            }
        }
    }

    fn is_first_on_line(&self, at: usize) -> bool {
        let before = &self.text[..at];
        let line = &before[before.rfind(['\n', '\r']).map_or(0, |end| end + 1)..];
        line.chars().all(|c| c.is_whitespace() || c == '\u{feff}' || c == '-')
    }
}

/// The marker that begins at `start`: whether it is a BEGIN, its label, and where it ends.
fn marker_at(text: &str, start: usize) -> Option<(bool, String, usize)> {
    let rest = &text[start..];
    let is_begin = rest.starts_with(BEGIN);
    if !is_begin && !rest.starts_with(END) {
        return None;
    }
    let label_start = if is_begin { BEGIN.len() } else { END.len() };
    let label_length = rest[label_start..].find(DASHES)?;
    let label = &rest[label_start..label_start + label_length];
    if label.len() > LABEL_BYTES_MAX || label.contains(['\n', '\r']) {
        return None;
    }
    Some((is_begin, label.trim().to_owned(), start + label_start + label_length + DASHES.len()))
}

/// Bytes of a label: the longest in use has 21.
const LABEL_BYTES_MAX: usize = 64;

/// The number of line ends: LF, CRLF or CR.
fn line_ends(text: &str) -> usize {
    let bytes = text.as_bytes();
    let is_end = |(at, byte): (usize, &u8)| *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
    bytes.iter().enumerate().filter(|found| is_end(*found)).count()
}

#[cfg(test)]
mod tests;
