//! User lines. First line: `name:hash`; second: a password. What is accepted is `name:hash` with one colon, a hash made by another
//! program matches its password and no other, and no error shows the hash.
#![no_main]

use htpasswd_verify::md5::md5_apr1_encode;
use libfuzzer_sys::fuzz_target;
use ringway::config::compile::credential_memory;
use ringway::middleware::Place;
use ringway::middleware::basic_auth::{AfterAuth, BasicAuth};
use ringway::middleware::credentials::PasswordHash;

fuzz_target!(|text: &str| {
    let (line, password) = text.split_once('\n').unwrap_or((text, ""));
    let read = |line: &str| {
        let label = BasicAuth::auth_label(Place::Frontend("web"));
        BasicAuth::new(&[line.to_owned()], None, AfterAuth::default(), credential_memory([7; 32]), label)
    };
    let trimmed = line.trim();
    match read(line) {
        Ok(auth) => assert!(auth.user_names().len() <= 1),
        Err(invalid) => {
            assert_ne!(trimmed.matches(':').count(), 1);
            let (user, rest) = line.split_once(':').unwrap_or_default();
            let hash = rest.split(':').next().unwrap_or_default().trim();
            // The name is told, and the words of the error may be what stands where a hash should: so does another line's error then.
            let other = read(&format!("{user}:x:y")).err().map(|other| other.to_string());
            let is_own = other.is_some_and(|other| other.contains(hash));
            let tells = hash.len() >= 8 && !is_own && invalid.to_string().contains(hash);
            assert!(!tells, "an error that tells a hash");
        }
    }
    let hash = PasswordHash::parse(trimmed.split(':').nth(1).unwrap_or(trimmed));
    // bcrypt's cost is in its text, and up to 2^20 rounds: too slow to be tried here.
    if !matches!(hash, PasswordHash::Bcrypt(_)) {
        hash.matches(password.as_bytes());
    }
    agrees_on_apr1(trimmed, password);
});

/// The salt is whatever of the line can be one.
fn agrees_on_apr1(line: &str, password: &str) {
    let salt: String = line.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '/')).take(8).collect();
    // The other program reads a block of 64 bytes where it lies, and words that are not aligned are undefined behaviour there.
    if salt.is_empty() || password.is_empty() || password.len() >= 64 {
        return;
    }
    let text = format!("$apr1${salt}${}", md5_apr1_encode(password, &salt));
    let hash = PasswordHash::parse(&text);
    assert!(hash.matches(password.as_bytes()), "{text}");
    assert!(!hash.matches(format!("{password}.").as_bytes()));
}
