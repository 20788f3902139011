//! Cipher suites by the names that Traefik's configuration uses, which are Go's constants (docs/reference/entry-points.md#cipher-suites).

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite as suite;

/// TLS 1.3 suites in order of preference: AES-128 first, because it is the fastest and strong enough. All three are always offered: in Go,
/// too, `cipherSuites` does not affect them.
const TLS13: [SupportedCipherSuite; 3] =
    [suite::TLS13_AES_128_GCM_SHA256, suite::TLS13_AES_256_GCM_SHA384, suite::TLS13_CHACHA20_POLY1305_SHA256];

/// TLS 1.2 suites, in the order of preference that applies unless `cipherSuites` is set.
const TLS12: [(&str, SupportedCipherSuite); 6] = [
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// Names that Go has and rustls does not support on purpose: suites without forward secrecy, or with CBC, RC4 or 3DES (RFC 9325 4.2).
const WEAK: [&str; 16] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

/// Names that are accepted and have no effect: TLS 1.3 suites are always offered, and the fallback signal (RFC 7507) protects nothing if
/// 1.2 is the minimum.
const WITHOUT_EFFECT: [&str; 4] =
    ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_FALLBACK_SCSV"];

/// Whether `cipherSuites` may hold this name.
pub fn is_known(name: &str) -> bool {
    choose(&[name.to_owned()]).is_ok()
}

/// The names that `cipherSuites` may hold, without the longer spellings of [`choose`].
pub fn known_names() -> impl Iterator<Item = &'static str> {
    TLS12.iter().map(|(name, _)| *name).chain(WEAK).chain(WITHOUT_EFFECT)
}

/// The suites that an entry point offers, in order of preference, and the configured names that are ignored.
#[derive(Debug)]
pub struct Suites {
    /// The cipher suites for rustls' provider.
    pub chosen: Vec<SupportedCipherSuite>,
    /// Names that Traefik supports and that are not offered, because they are weak.
    pub ignored: Vec<String>,
}

/// A name that does not exist in Traefik either: a fatal error in both (docs/reference/static-configuration.md#errors).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownSuite(pub String);

/// Turns the `cipherSuites` list into suites. An empty list means all supported suites.
///
/// # Errors
/// The first name that is not a Go constant.
pub fn choose(names: &[String]) -> Result<Suites, UnknownSuite> {
    let mut suites = Suites { chosen: TLS13.to_vec(), ignored: Vec::new() };
    if names.is_empty() {
        suites.chosen.extend(TLS12.iter().map(|(_, suite)| *suite));
        return Ok(suites);
    }
    for name in names {
        // Traefik 1.7.22 and later also take the ChaCha names with their hash (docs/reference/entry-points.md#cipher-suites).
        let go_name = match name.strip_suffix("_CHACHA20_POLY1305_SHA256") {
            Some(start) if name.starts_with("TLS_ECDHE") => format!("{start}_CHACHA20_POLY1305"),
            _ => name.clone(),
        };
        if let Some((_, suite)) = TLS12.iter().find(|(known, _)| *known == go_name) {
            if !suites.chosen.contains(suite) {
                suites.chosen.push(*suite);
            }
        } else if WEAK.contains(&go_name.as_str()) {
            suites.ignored.push(name.clone());
        } else if !WITHOUT_EFFECT.contains(&go_name.as_str()) {
            return Err(UnknownSuite(name.clone()));
        }
    }
    Ok(suites)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn empty_list_offers_all_supported_suites() {
        let suites = choose(&[]).unwrap();
        assert_eq!(suites.chosen.len(), 9);
        assert!(suites.ignored.is_empty());
    }

    #[test]
    fn configured_order_is_kept_after_the_tls13_suites() {
        let list = names(&["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]);
        let suites = choose(&list).unwrap();
        let expected =
            [suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256];
        assert_eq!(suites.chosen[3..], expected);
    }

    #[test]
    fn weak_names_are_ignored_and_unknown_names_fatal() {
        let suites = choose(&names(&["TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_AES_128_GCM_SHA256"])).unwrap();
        assert_eq!(suites.ignored, ["TLS_RSA_WITH_AES_128_CBC_SHA"]);
        assert_eq!(suites.chosen.len(), 3);
        // The manual shows this name; Go has no such constant.
        let wrong = "TLS_RSA_WITH_AES_128_GCM_SHA384";
        assert!(!is_known(wrong) && is_known("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"));
        assert!(known_names().all(is_known));
        assert_eq!(choose(&names(&[wrong])).unwrap_err(), UnknownSuite(wrong.into()));
    }
}
