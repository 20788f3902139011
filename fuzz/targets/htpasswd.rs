//! User lines. First line: `name:hash`; second: a password. An accepted line is `name:hash` with one colon, a hash made by another program
//! matches its password and no other, and no error shows the hash.
#![no_main]

use libfuzzer_sys::fuzz_target;
use md5crypt::md5crypt;
use ringway::config::compile::credential_memory;
use ringway::middleware::ChainScope;
use ringway::middleware::basic_auth::{AuthEdits, BasicAuth};
use ringway::middleware::credentials::PasswordHash;

fuzz_target!(|text: &str| {
    let (line, password) = text.split_once('\n').unwrap_or((text, ""));
    let read = |line: &str| {
        let label = ChainScope::Frontend("web").label("Auth");
        BasicAuth::new(&[line.to_owned()], None, AuthEdits::default(), credential_memory([7; 32]), label)
    };
    let trimmed = line.trim();
    match read(line) {
        Ok(auth) => assert!(auth.user_names().len() <= 1),
        Err(invalid) => {
            assert_ne!(trimmed.matches(':').count(), 1);
            let (user, rest) = line.split_once(':').unwrap_or_default();
            let hash = rest.split(':').next().unwrap_or_default().trim();
            // An error shows the user's name, so it may contain the text of the hash if both are equal; so may the error of another line.
            let other = read(&format!("{user}:x:y")).err().map(|other| other.to_string());
            let is_own = other.is_some_and(|other| other.contains(hash));
            let tells = hash.len() >= 8 && !is_own && invalid.to_string().contains(hash);
            assert!(!tells, "an error that tells a hash");
        }
    }
    let hash = PasswordHash::parse(trimmed.split(':').nth(1).unwrap_or(trimmed));
    // bcrypt's cost is part of its text, up to 2^20 rounds: too slow to be tried here.
    if !matches!(hash, PasswordHash::Bcrypt(_)) {
        hash.matches(password.as_bytes());
    }
    agrees_on_md5(trimmed, password);
});

/// The salt consists of the bytes of the line that a salt may have. Apache's format differs only in its prefix, which other tests cover.
fn agrees_on_md5(line: &str, password: &str) {
    let salt: String = line.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '/')).take(8).collect();
    if salt.is_empty() {
        return;
    }
    let text = String::from_utf8(md5crypt(password.as_bytes(), salt.as_bytes())).expect("letters and digits");
    let hash = PasswordHash::parse(&text);
    assert!(hash.matches(password.as_bytes()), "{text}");
    assert!(!hash.matches(format!("{password}.").as_bytes()));
}
