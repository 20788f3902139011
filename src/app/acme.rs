//! Builds the settings of the ACME client from the `[acme]` table and the environment.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::static_config::{self, StaticConfig};
use crate::control::acme::dns::{DnsChallenge, DnsOptions};
use crate::control::acme::{
    AcmeRoots, AcmeSettings, ChallengeKind, DomainRequest, ExternalAccount, KeyType, RetrySchedule,
};
use crate::control::certs::AcmeDomainSources;
use crate::diagnostics::Code;

/// The variables of the external account; each may also name a file, with `_FILE` behind its name.
const EAB_VARIABLES: [&str; 2] = ["LEGO_EAB_KID", "LEGO_EAB_HMAC"];

/// ACME's settings and the domains to request; `None` without the `[acme]` table.
pub fn settings(config: &StaticConfig) -> Option<(AcmeSettings, AcmeDomainSources)> {
    let table = config.acme.as_ref()?;
    let environment = |name: &str| std::env::var(name).ok();
    let challenge = challenge(table, &environment).unwrap_or_else(|reason| {
        tracing::error!("acme: {reason}: certificates of the file are served, none is requested");
        ChallengeKind::Unusable(reason)
    });
    let external_account = external_account(table, &environment).unwrap_or_else(|reason| {
        tracing::error!("{reason}: accounts are registered without it");
        None
    });
    let settings = AcmeSettings {
        email: table.email.clone(),
        storage: PathBuf::from(&table.storage),
        ca_server: table.ca_server.clone(),
        key_type: KeyType::parse(&table.key_type),
        challenge,
        profile: table.profile.clone(),
        preferred_chain: table.preferred_chain.clone(),
        external_account,
        on_issued: table.on_issued.clone(),
        trust: AcmeRoots::from_variable(std::env::var_os("LEGO_CA_CERTIFICATES").as_deref()),
        pacing: RetrySchedule::default(),
    };
    let name = |text: &String| text.trim_end_matches('.').to_ascii_lowercase();
    let domains =
        table.domains.iter().map(|d| DomainRequest { main: name(&d.main), sans: d.sans.iter().map(name).collect() });
    let domain_sources = AcmeDomainSources {
        entry_point: table.entry_point.clone(),
        on_host_rule: table.on_host_rule,
        domains: domains.collect(),
    };
    Some((settings, domain_sources))
}

/// The problems of the challenge and the external account, as `ringway check` reports it.
pub fn problems(config: &StaticConfig) -> Vec<(Code, &'static str, String)> {
    let Some(table) = &config.acme else { return Vec::new() };
    let environment = |name: &str| std::env::var(name).ok();
    // That no challenge is chosen is a problem of the options: the check of the static configuration reports it.
    let challenge = table.dns_challenge.as_ref().and_then(|_| challenge(table, &environment).err());
    let challenge = challenge.map(|reason| (Code::AcmeChallenge, "acme.dnsChallenge", format!("acme: {reason}")));
    let account = external_account(table, &environment).err();
    challenge.into_iter().chain(account.map(|reason| (Code::AcmeAccount, "acme.eab", reason))).collect()
}

/// The configured challenge. Resolving has left one at most: DNS before TLS before HTTP.
fn challenge(
    table: &static_config::Acme,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<ChallengeKind, String> {
    if let Some(dns) = &table.dns_challenge {
        let options = DnsOptions {
            provider: dns.provider.clone(),
            delay_before_check: dns.delay_before_check.positive().unwrap_or(Duration::ZERO),
            resolvers: dns.resolvers.clone(),
            disable_propagation_check: dns.disable_propagation_check,
        };
        let challenge = DnsChallenge::new(options, environment);
        return challenge.map(|dns| ChallengeKind::Dns(Arc::new(dns))).map_err(|e| format!("dnsChallenge: {e}"));
    }
    match (&table.tls_challenge, &table.http_challenge) {
        (Some(_), _) => Ok(ChallengeKind::TlsAlpn),
        (None, Some(_)) => Ok(ChallengeKind::Http),
        (None, None) => {
            Err("no challenge is chosen: add [acme.httpChallenge], [acme.tlsChallenge] or [acme.dnsChallenge]"
                .to_owned())
        }
    }
}

/// The external account of `[acme.eab]` or of the environment; `None` if neither has one.
fn external_account(
    table: &static_config::Acme,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<ExternalAccount>, String> {
    let [kid, hmac] = EAB_VARIABLES.map(|name| variable(name, environment));
    let (kid, hmac) = (kid?, hmac?);
    let (kid, hmac) = match &table.eab {
        Some(eab) => (non_empty(&eab.kid).or(kid), non_empty(&eab.hmac_encoded).or(hmac)),
        None => (kid, hmac),
    };
    match (kid, hmac, &table.eab) {
        (None, None, None) => Ok(None),
        (kid, hmac, _) => ExternalAccount::from_texts(&kid.unwrap_or_default(), &hmac.unwrap_or_default()).map(Some),
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The value of a variable, or the content of the file that `NAME_FILE` names.
fn variable(name: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
    if let Some(value) = environment(name).filter(|value| !value.is_empty()) {
        return Ok(Some(value));
    }
    let Some(file) = environment(&format!("{name}_FILE")).filter(|file| !file.is_empty()) else { return Ok(None) };
    let text = std::fs::read_to_string(Path::new(&file)).map_err(|e| format!("{name}_FILE: {file}: {e}"))?;
    Ok(Some(text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_account_comes_from_the_table_or_the_environment() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("hmac");
        std::fs::write(&file, "-_8\n").expect("written");
        let file = file.display().to_string();
        let environment = |name: &str| match name {
            "LEGO_EAB_KID" => Some("from-environment".to_owned()),
            "LEGO_EAB_HMAC_FILE" => Some(file.clone()),
            _ => None,
        };
        let mut table = static_config::Acme::default();
        let external = external_account(&table, &environment).expect("valid").expect("set");
        assert_eq!((external.kid.as_str(), external.hmac.as_slice()), ("from-environment", &[0xfb, 0xff][..]));
        let eab = static_config::ExternalAccount { kid: "from-table".to_owned(), hmac_encoded: String::new() };
        table.eab = Some(eab);
        let external = external_account(&table, &environment).expect("valid").expect("set");
        assert_eq!(external.kid, "from-table");
        assert!(external_account(&table, &|_| None).is_err_and(|reason| reason.contains("hmacEncoded")));
        assert_eq!(external_account(&static_config::Acme::default(), &|_| None), Ok(None));
        let missing = |name: &str| (name == "LEGO_EAB_KID_FILE").then(|| "/nowhere/kid".to_owned());
        assert!(external_account(&table, &missing).is_err_and(|reason| reason.contains("/nowhere/kid")));
    }

    #[test]
    fn challenge_follows_the_table() {
        let of = |table: &static_config::Acme| challenge(table, &|_| None).map(|kind| kind.name());
        let mut table = static_config::Acme::default();
        assert!(of(&table).is_err_and(|reason| reason.contains("[acme.httpChallenge]")));
        table.http_challenge = Some(static_config::HttpChallenge::default());
        assert_eq!(of(&table), Ok("http-01"));
        table.tls_challenge = Some(static_config::TlsChallenge {});
        assert_eq!(of(&table), Ok("tls-alpn-01"));
    }
}
