//! Password hashes of htpasswd files, and a cache of verified credentials, so that a repeated request need not compute a hash.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use super::md5_crypt;
use crate::limits::{BCRYPT_COST_MAX, CREDENTIALS_REMEMBERED_MAX};

/// A stored hash in one of the forms of docs/reference/entry-points.md#authentication. A password in plain text is none and never matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordHash {
    /// `{SHA}` and the SHA-1 in base64.
    Sha1([u8; 20]),
    /// `$2a$`, `$2b$`, `$2x$`, `$2y$`.
    Bcrypt(String),
    /// `$1$salt$...` or `$apr1$salt$...`.
    Md5Crypt { magic: &'static str, salt: String, text: String },
    /// A hash in an unknown form: no password matches. As in Traefik v1 such a user is loaded, and gets 401 at each request.
    Unknown,
}

impl PasswordHash {
    pub fn parse(text: &str) -> Self {
        if let Some(encoded) = text.strip_prefix("{SHA}") {
            let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| <[u8; 20]>::try_from(bytes).ok());
            return decoded.map_or(PasswordHash::Unknown, PasswordHash::Sha1);
        }
        if ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|magic| text.starts_with(magic)) {
            let cost = text.get(4..6).and_then(|digits| digits.parse::<u32>().ok());
            let usable = cost.is_some_and(|cost| cost <= BCRYPT_COST_MAX) && text.len() == 60;
            return if usable { PasswordHash::Bcrypt(text.to_owned()) } else { PasswordHash::Unknown };
        }
        for magic in ["$1$", "$apr1$"] {
            if let Some((salt, _)) = text.strip_prefix(magic).and_then(|rest| rest.split_once('$')) {
                return PasswordHash::Md5Crypt { magic, salt: salt.to_owned(), text: text.to_owned() };
            }
        }
        PasswordHash::Unknown
    }

    /// Why no password ever matches this text, and what to do; `None` if the text is a hash in a known form.
    pub fn problem(text: &str) -> Option<&'static str> {
        if PasswordHash::parse(text) != PasswordHash::Unknown {
            return None;
        }
        Some(match text.starts_with("$$") {
            true => {
                "its hash begins with \"$$\", which only a compose file needs: write a single \"$\" for each \"$$\""
            }
            false => "its hash has no known form: make it with htpasswd -B (bcrypt), -m (MD5) or -s (SHA-1)",
        })
    }

    /// Compares a password with the hash. bcrypt takes 50-300 ms by design, MD5 crypt a fraction of a millisecond.
    pub fn matches(&self, password: &[u8]) -> bool {
        match self {
            PasswordHash::Sha1(expected) => {
                let actual: [u8; 20] = Sha1::digest(password).into();
                actual.ct_eq(expected).into()
            }
            PasswordHash::Bcrypt(text) => bcrypt::verify(password, text).unwrap_or(false),
            PasswordHash::Md5Crypt { magic, salt, text } => {
                md5_crypt::hash(magic, salt.as_bytes(), password).as_bytes().ct_eq(text.as_bytes()).into()
            }
            PasswordHash::Unknown => false,
        }
    }

    /// Whether a comparison takes too long for a worker's thread and belongs in a thread pool.
    pub fn is_slow(&self) -> bool {
        match self {
            PasswordHash::Bcrypt(_) | PasswordHash::Md5Crypt { .. } => true,
            PasswordHash::Sha1(_) | PasswordHash::Unknown => false,
        }
    }

    fn text(&self) -> &[u8] {
        match self {
            PasswordHash::Sha1(digest) => digest,
            PasswordHash::Bcrypt(text) | PasswordHash::Md5Crypt { text, .. } => text.as_bytes(),
            PasswordHash::Unknown => &[],
        }
    }
}

/// Verified credentials, as keyed digests of user, stored hash and password. A memory dump shows no password, and passwords cannot be
/// tried against a digest offline without the key. A changed hash makes another digest, so the cache survives reloads.
pub struct CredentialCache {
    key: hmac::Key,
    slots: Box<[RwLock<[u8; 32]>]>,
}

/// The keyed digest of one credential.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CredentialDigest([u8; 32]);

impl CredentialCache {
    /// `key`: random bytes, made once per process.
    pub fn new(key: [u8; 32]) -> Self {
        let slots = (0..CREDENTIALS_REMEMBERED_MAX).map(|_| RwLock::new([0; 32])).collect();
        CredentialCache { key: hmac::Key::new(hmac::HMAC_SHA256, &key), slots }
    }

    pub fn digest(&self, user: &[u8], hash: &PasswordHash, password: &[u8]) -> CredentialDigest {
        let mut context = hmac::Context::with_key(&self.key);
        // Each part is preceded by its length: "ab"+"c" and "a"+"bc" must differ.
        for part in [user, hash.text()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.update(password);
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        CredentialDigest(digest)
    }

    pub fn knows(&self, digest: &CredentialDigest) -> bool {
        let slot = self.slot(digest).read().unwrap_or_else(PoisonError::into_inner);
        slot.ct_eq(&digest.0).into()
    }

    pub fn remember(&self, digest: CredentialDigest) {
        *self.slot(&digest).write().unwrap_or_else(PoisonError::into_inner) = digest.0;
    }

    fn slot(&self, digest: &CredentialDigest) -> &RwLock<[u8; 32]> {
        let index = u16::from_be_bytes([digest.0[0], digest.0[1]]) as usize % CREDENTIALS_REMEMBERED_MAX;
        &self.slots[index]
    }
}

impl fmt::Debug for CredentialCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialCache")
    }
}

/// A slow password check with all its data, to run in a thread pool. The pool should be small and its queue bounded: every client can
/// cause such checks.
pub struct VerifyJob {
    pub(super) hash: PasswordHash,
    pub(super) password: Vec<u8>,
    pub(super) digest: CredentialDigest,
    pub(super) cache: Arc<CredentialCache>,
}

impl VerifyJob {
    /// Blocks for up to some hundred milliseconds. Credentials that match are added to the cache.
    pub fn run(self) -> bool {
        let matches = self.hash.matches(&self.password);
        if matches {
            self.cache.remember(self.digest);
        }
        matches
    }
}

impl Drop for VerifyJob {
    /// Overwrites the password before its memory is freed; best effort.
    fn drop(&mut self) {
        self.password.fill(0);
        std::hint::black_box(&self.password);
    }
}

impl fmt::Debug for VerifyJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyJob")
    }
}
