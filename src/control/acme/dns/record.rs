//! The TXT record with which a name answers the DNS-01 challenge (RFC 8555 8.4).

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// The challenge of one name. Names of a wildcard certificate and of its base name share [`ChallengeRecord::fqdn`], with values of their own.
#[derive(Clone, PartialEq, Eq)]
pub struct ChallengeRecord {
    /// The name to validate, without `*.` and without a trailing dot.
    pub domain: String,
    /// The token of the challenge.
    pub token: String,
    /// The key authorisation: the token and the thumbprint of the account's key.
    pub key_authorization: String,
}

impl ChallengeRecord {
    /// A record for `domain`; a leading `*.` and a trailing dot are removed.
    pub fn new(domain: &str, token: &str, key_authorization: &str) -> ChallengeRecord {
        let domain = domain.strip_prefix("*.").unwrap_or(domain).trim_end_matches('.');
        ChallengeRecord {
            domain: domain.to_ascii_lowercase(),
            token: token.to_owned(),
            key_authorization: key_authorization.to_owned(),
        }
    }

    /// The name of the TXT record, with a trailing dot.
    pub fn fqdn(&self) -> String {
        format!("_acme-challenge.{}.", self.domain)
    }

    /// The content of the TXT record: the digest of the key authorisation.
    pub fn value(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, self.key_authorization.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_of_wildcard_stands_at_the_base_name() {
        let wildcard = ChallengeRecord::new("*.Example.com.", "token", "token.thumb");
        let base = ChallengeRecord::new("example.com", "token", "token.thumb");
        assert!(wildcard == base);
        assert_eq!(base.fqdn(), "_acme-challenge.example.com.");
    }

    #[test]
    fn value_is_the_base64url_digest_of_the_key_authorisation() {
        // printf token.thumb | openssl dgst -sha256 -binary | basenc --base64url | tr -d =
        let record = ChallengeRecord::new("example.com", "token", "token.thumb");
        assert_eq!(record.value(), "lCdftpJCXapaZHkBGIZbcubeKW8RmA0jSG_aZN01zbU");
    }
}
