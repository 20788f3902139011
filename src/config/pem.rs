//! Reads certificates, keys and authorities as options name them: a file's path, or the PEM text itself
//! (docs/reference/static-configuration.md#values).

use std::io;

use super::dynamic::CertificateFiles;
use crate::tls::certificate::{Certificate, authorities_from_pem};
use crate::tls::pem;

/// A bundle of authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorities {
    /// The whole PEM text.
    pub text: Vec<u8>,
    /// A sentence for each block of the text that has no effect: the file, the line, what is wrong and what to do.
    pub unused: Vec<String>,
}

/// Reads a bundle of authorities: the certificates that can be used count, the others are listed.
///
/// # Errors
/// A sentence that names the file: it cannot be read, or has no certificate that can be used.
pub fn authorities(file_or_text: &str, read: &dyn Fn(&str) -> io::Result<String>) -> Result<Authorities, String> {
    let text = content(file_or_text, read)?.into_bytes();
    let name = display_name(file_or_text);
    authorities_from_pem(&text).map_err(|e| format!("{name}: {e}"))?;
    let (_, unused) = pem::authorities(&text);
    let unused = unused.iter().map(|block| format!("{name}, {block}; the other certificates of it count")).collect();
    Ok(Authorities { text, unused })
}

/// Reads a certificate and its key.
///
/// # Errors
/// A sentence that names the file and says what is wrong and what to do.
pub fn certificate(files: &CertificateFiles, read: &dyn Fn(&str) -> io::Result<String>) -> Result<Certificate, String> {
    let certificate = content(&files.cert_file, read).map_err(|e| format!("certFile {e}"))?;
    let key = content(&files.key_file, read).map_err(|e| format!("keyFile {e}"))?;
    Certificate::from_pem(certificate.as_bytes(), key.as_bytes())
        .map_err(|e| format!("{}: {e}", display_name(&files.cert_file)))
}

/// Returns the file's content, or `file_or_text` itself if it is PEM text.
///
/// # Errors
/// A sentence that names the file.
pub fn content(file_or_text: &str, read: &dyn Fn(&str) -> io::Result<String>) -> Result<String, String> {
    if file_or_text.contains("-----BEGIN") {
        return Ok(file_or_text.to_owned());
    }
    if file_or_text.is_empty() {
        return Err("is missing: name a PEM file".to_owned());
    }
    read(file_or_text).map_err(|error| unreadable(file_or_text, &error))
}

/// The text of a file's content. Only what is between the markers of PEM has to be text in UTF-8: comments beside them may be in Latin-1.
///
/// # Errors
/// Other files must be UTF-8.
pub fn text_of_file(content: Vec<u8>) -> io::Result<String> {
    String::from_utf8(content).or_else(|error| {
        let bytes = error.as_bytes();
        match memchr::memmem::find(bytes, b"-----BEGIN ").is_some() {
            true => Ok(String::from_utf8_lossy(bytes).into_owned()),
            false => Err(io::Error::new(io::ErrorKind::InvalidData, "the file is not in UTF-8")),
        }
    })
}

/// The message about a file that cannot be read.
pub fn unreadable(file: &str, error: &io::Error) -> String {
    format!("{file} cannot be read ({error}): correct the path or the file's permissions")
}

/// A name for messages. A path is shown; a PEM text is not, because it may be a key.
fn display_name(file_or_text: &str) -> &str {
    if file_or_text.contains("-----BEGIN") { "the certificate given as text" } else { file_or_text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_text_is_used_and_files_are_named_in_errors() {
        let read = |file: &str| match file {
            "there" => Ok("content".to_owned()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        assert_eq!(content("-----BEGIN X-----", &read), Ok("-----BEGIN X-----".to_owned()));
        assert_eq!(content("there", &read), Ok("content".to_owned()));
        assert!(content("gone", &read).unwrap_err().starts_with("gone cannot be read"));
        assert!(content("", &read).unwrap_err().contains("missing"));
        let files = |cert_file: &str, key_file: &str| CertificateFiles {
            cert_file: cert_file.into(),
            key_file: key_file.into(),
        };
        assert!(certificate(&files("gone", "there"), &read).unwrap_err().starts_with("certFile gone"));
        assert!(certificate(&files("there", "there"), &read).unwrap_err().starts_with("there: "));
        let secret = certificate(&files("-----BEGIN s3cret", "-----BEGIN s3cret"), &read).unwrap_err();
        assert!(!secret.contains("s3cret"), "{secret}");
    }

    #[test]
    fn bundle_with_a_damaged_block_names_file_and_line() {
        let good = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap().cert.pem();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let read = |file: &str| match file {
            "mixed.pem" => Ok(format!("# a comment\n{broken}{good}")),
            "broken.pem" => Ok(broken.to_owned()),
            _ => Ok("nothing".to_owned()),
        };
        let mixed = authorities("mixed.pem", &read).unwrap();
        assert_eq!(mixed.unused.len(), 1);
        assert!(mixed.unused[0].starts_with("mixed.pem, line 2: the content is no certificate"), "{:?}", mixed.unused);
        let none = authorities("broken.pem", &read).unwrap_err();
        assert!(none.starts_with("broken.pem: ") && none.contains("line 1"), "{none}");
        assert!(authorities("empty.pem", &read).unwrap_err().contains("no CERTIFICATE block"));
        assert_eq!(authorities(&good, &read).unwrap().unused, Vec::<String>::new());
    }

    #[test]
    fn pem_file_may_have_comments_in_another_encoding() {
        let latin1 = b"subject: M\xfcller\n-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".to_vec();
        assert!(text_of_file(latin1).unwrap().contains("AA=="));
        assert!(text_of_file(b"M\xfcller:hash".to_vec()).is_err());
    }
}
