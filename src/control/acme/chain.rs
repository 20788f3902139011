//! Selects the chain that `acme.preferredChain` names, if the authority offers several (RFC 8555 7.4.2).

use instant_acme::Account;
use tracing::warn;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::tls::certificate::chain_from_pem;

use super::http::notes;

/// Chains beside the first one that are looked at.
const ALTERNATES_MAX: usize = 8;

/// The chain whose topmost certificate was issued by `preferred`, among `chain` and the alternates of the response that brought it. `chain`
/// itself if none is, with a warning, as in Traefik.
pub async fn preferred(account: &Account, chain: String, preferred: &str) -> String {
    if preferred.is_empty() || is_issued_by(&chain, preferred) {
        return chain;
    }
    for url in notes().alternates.into_iter().take(ALTERNATES_MAX) {
        // The library reads no chain from another address. Its request is signed all the same, and the response is in the notes.
        let _ = account.order(url).await;
        if let Some(alternate) = notes().chain.filter(|alternate| is_issued_by(alternate, preferred)) {
            return alternate;
        }
    }
    warn!("acme.preferredChain: the authority offers no chain of {preferred:?}, its default chain is used");
    chain
}

/// Whether the common name of the issuer of the last certificate is `name`.
fn is_issued_by(chain: &str, name: &str) -> bool {
    let Ok(certificates) = chain_from_pem(chain.as_bytes()) else { return false };
    let Some(last) = certificates.last() else { return false };
    let Ok((_, topmost)) = X509Certificate::from_der(last) else { return false };
    topmost.issuer().iter_common_name().any(|found| found.as_str().is_ok_and(|found| found == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_is_known_by_the_issuer_of_its_topmost_certificate() {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("parameters");
        params.distinguished_name.push(rcgen::DnType::CommonName, "Root X");
        let pair = rcgen::KeyPair::generate().expect("a key");
        let chain = params.self_signed(&pair).expect("a certificate").pem();
        assert!(is_issued_by(&chain, "Root X"));
        assert!(!is_issued_by(&chain, "Root"));
        assert!(!is_issued_by("no chain", "Root X"));
    }
}
