//! Reads certificates, keys and authorities as options name them: a file's path, or the PEM text itself
//! (docs/reference/static-configuration.md#values).

use std::io;

use super::dynamic::CertificateFiles;
use crate::tls::certificate::Certificate;

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
}
