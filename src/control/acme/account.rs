//! The account with the certificate authority.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};

use super::failure::{OrderError, is_bad_nonce};
use super::http::AuthorityClient;
use super::trust::explain;

/// The default of `acme.caServer`, as in Traefik (docs/reference/acme.md#keys).
pub const DEFAULT_CA_SERVER: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The directory URL to use for the configured `acme.caServer`. The retired ACME v1 URLs of Let's Encrypt, which old configurations still
/// have, are replaced; the second value is true then.
pub fn current_ca_server(configured: &str) -> (String, bool) {
    let replacements = [
        ("https://acme-v01.api.letsencrypt.org", DEFAULT_CA_SERVER),
        ("https://acme-staging.api.letsencrypt.org", "https://acme-staging-v02.api.letsencrypt.org/directory"),
    ];
    if configured.is_empty() {
        return (DEFAULT_CA_SERVER.into(), false);
    }
    match replacements.iter().find(|(old, _)| configured.starts_with(old)) {
        Some((_, new)) => (new.to_string(), true),
        None => (configured.to_owned(), false),
    }
}

/// A customer's account with the authority, to which a new ACME account is bound (RFC 8555 7.3.4).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The identifier of the key.
    pub kid: String,
    /// The key.
    pub hmac: Vec<u8>,
}

impl ExternalAccount {
    /// Makes the binding from the configured texts. The key may be written in either alphabet of base64, with or without padding.
    ///
    /// # Errors
    /// A sentence for the log, without the key.
    pub fn from_texts(kid: &str, hmac_encoded: &str) -> Result<ExternalAccount, String> {
        if kid.trim().is_empty() || hmac_encoded.trim().is_empty() {
            return Err("acme.eab needs both kid and hmacEncoded: the authority shows them in its console".into());
        }
        let text = hmac_encoded.trim().trim_end_matches('=').replace('+', "-").replace('/', "_");
        let hmac = BASE64_URL_SAFE_NO_PAD.decode(text);
        let hmac = hmac.map_err(|_| "acme.eab.hmacEncoded is no base64: copy it as the authority shows it")?;
        Ok(ExternalAccount { kid: kid.trim().to_owned(), hmac })
    }
}

/// The key never appears in a log.
impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Restores a registered account from its credentials.
///
/// # Errors
/// A sentence for the log.
pub async fn restore(client: &AuthorityClient, credentials: AccountCredentials) -> Result<Account, String> {
    let builder = Account::builder_with_http(Box::new(client.clone()));
    builder.from_credentials(credentials).await.map_err(|e| explain(&e))
}

/// Registers a new account, agreeing to the authority's terms as Traefik does.
///
/// # Errors
/// The authority's refusal, with the pause that it asks for.
pub async fn register(
    client: &AuthorityClient,
    ca_server: &str,
    email: &str,
    external: Option<&ExternalAccount>,
) -> Result<(Account, AccountCredentials), OrderError> {
    let contact = format!("mailto:{email}");
    let contact: &[&str] = if email.is_empty() { &[] } else { &[&contact] };
    let new = NewAccount { contact, terms_of_service_agreed: true, only_return_existing: false };
    let key = external.map(|external| ExternalAccountKey::new(external.kid.clone(), &external.hmac));
    let mut tries = 0;
    loop {
        let builder = Account::builder_with_http(Box::new(client.clone()));
        match builder.create(&new, ca_server.to_owned(), key.as_ref()).await {
            Err(e) if is_bad_nonce(&e) && tries < NONCE_TRIES => tries += 1,
            Ok(created) => return Ok(created),
            Err(e) => {
                let failure = OrderError::of_request(&e, &[]);
                return Err(OrderError { reason: format!("{ca_server}: {}", failure.reason), ..failure });
            }
        }
    }
}

/// Attempts to register an account with another nonce, each of which the library repeats itself.
const NONCE_TRIES: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retired_directory_urls_are_replaced() {
        assert_eq!(current_ca_server(""), (DEFAULT_CA_SERVER.into(), false));
        assert_eq!(
            current_ca_server("https://acme-v01.api.letsencrypt.org/directory"),
            (DEFAULT_CA_SERVER.into(), true)
        );
        let staging = current_ca_server("https://acme-staging.api.letsencrypt.org/directory");
        assert_eq!(staging, ("https://acme-staging-v02.api.letsencrypt.org/directory".into(), true));
        assert_eq!(current_ca_server("https://ca.example/dir"), ("https://ca.example/dir".into(), false));
    }

    #[test]
    fn key_of_the_external_account_is_read_in_both_alphabets() {
        let key = |text: &str| ExternalAccount::from_texts("kid", text).map(|external| external.hmac);
        for text in ["-_8=", "+/8=", "-_8", " +/8 "] {
            assert_eq!(key(text), Ok(vec![0xfb, 0xff]), "{text}");
        }
        let message = key("secret!").unwrap_err();
        assert!(message.contains("hmacEncoded") && !message.contains("secret"), "{message}");
        assert!(ExternalAccount::from_texts("", "-_8").is_err() && key("").is_err());
        let shown = format!("{:?}", ExternalAccount { kid: "kid".to_owned(), hmac: vec![77] });
        assert!(shown.contains("kid") && !shown.contains("77"), "{shown}");
    }
}
