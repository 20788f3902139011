//! A name server that takes dynamic updates (RFC 2136), signed with a TSIG key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::control::acme::dns::error::DnsError;
use crate::control::acme::dns::message::{self, Change, Response, rcode};
use crate::control::acme::dns::resolver::{exchange, new_id, rcode_text, with_port};
use crate::control::acme::dns::tsig::{self, TsigKey};
use crate::control::acme::dns::variables::{Timing, Variables};
use crate::control::acme::dns::zone;
use crate::control::watched_files::read_text;

use super::task::Task;

/// lego's default.
const TSIG_ALGORITHM: &str = "hmac-sha1";

/// The client.
pub struct Rfc2136 {
    server: String,
    key: Option<TsigKey>,
    ttl_secs: u32,
    timeout: Duration,
}

impl Rfc2136 {
    /// Reads `RFC2136_...` and `DNSUPDATE_...`, lego's names of today.
    pub fn new(variables: &mut Variables<'_>) -> (Rfc2136, Timing) {
        // The oldest name of the time-out.
        let propagation_timeout = variables.seconds(&["RFC2136_TIMEOUT"], Timing::default().propagation_timeout);
        let timing = variables.timing(&["RFC2136_", "DNSUPDATE_"], Timing { propagation_timeout, ..Timing::default() });
        let timeout = variables.seconds(&["RFC2136_DNS_TIMEOUT", "DNSUPDATE_DNS_TIMEOUT"], Duration::from_secs(10));
        let server = with_port(&variables.required(&["RFC2136_NAMESERVER", "DNSUPDATE_NAMESERVER"]));
        let key = tsig_key(variables).unwrap_or_else(|problem| {
            variables.problem(problem);
            None
        });
        (Rfc2136 { server, key, ttl_secs: timing.ttl_secs, timeout }, timing)
    }

    pub async fn present(&self, task: &Task<'_>) -> Result<(), DnsError> {
        self.update(task, Change::Add).await
    }

    pub async fn clean_up(&self, task: &Task<'_>) -> Result<(), DnsError> {
        self.update(task, Change::Remove).await
    }

    async fn update(&self, task: &Task<'_>, change: Change) -> Result<(), DnsError> {
        let failed = |reason: String| DnsError(format!("rfc2136: {} at {}: {reason}", task.fqdn, self.server));
        let zone = zone::find_zone_at(&self.server, task.fqdn).await.map_err(|e| failed(e.0))?;
        let id = new_id().map_err(|e| failed(e.to_owned()))?;
        let request = message::update(id, &zone, change, task.fqdn, self.ttl_secs, task.value);
        let request = request.map_err(|e| failed(e.0.to_owned()))?;
        let response = self.send(request).await.map_err(failed)?;
        match response.rcode {
            rcode::NO_ERROR => Ok(()),
            code => Err(failed(format!(
                "the update of the zone {zone} is refused ({}): {}",
                rcode_text(code),
                self.advice()
            ))),
        }
    }

    async fn send(&self, request: Vec<u8>) -> Result<Response, String> {
        let decoded = |response: &[u8]| message::decode(response).map_err(|e| e.0.to_owned());
        let Some(key) = &self.key else { return decoded(&exchange(&self.server, &request, self.timeout).await?) };
        let signed = key.sign(request, unix_secs()).map_err(|e| e.0.to_owned())?;
        let response = exchange(&self.server, &signed.message, self.timeout).await?;
        let found = decoded(&response)?;
        match key.verify(&signed, &response, unix_secs()) {
            Ok(()) => Ok(found),
            // A server that refuses the message as a whole does not sign; its reason says more.
            Err(reason) if found.rcode != rcode::NO_ERROR && !tsig::is_signed(&response) => {
                tracing::debug!("{}: {reason}", self.server);
                Ok(found)
            }
            Err(reason) => Err(reason),
        }
    }

    fn advice(&self) -> &'static str {
        match self.key {
            Some(_) => "allow the key to update TXT records of this zone",
            None => "set RFC2136_TSIG_KEY and RFC2136_TSIG_SECRET, or allow updates from this address",
        }
    }
}

/// The key of the variables, or of the file that `RFC2136_TSIG_FILE` names; `None` if updates are not signed.
fn tsig_key(variables: &mut Variables<'_>) -> Result<Option<TsigKey>, String> {
    if let Some(path) = variables.plain("RFC2136_TSIG_FILE").or_else(|| variables.plain("DNSUPDATE_TSIG_FILE")) {
        let text = read_text(&path).map_err(|e| format!("RFC2136_TSIG_FILE: {path} cannot be read: {e}"))?;
        let (name, algorithm, secret) = key_of_file(&text).ok_or_else(|| {
            format!(
                "RFC2136_TSIG_FILE: {path} has no key: write key \"name\" {{ algorithm hmac-sha256; secret \"...\"; }};"
            )
        })?;
        return TsigKey::new(&name, &algorithm, &secret).map(Some);
    }
    let algorithm = variables.first(&["RFC2136_TSIG_ALGORITHM", "DNSUPDATE_TSIG_ALGORITHM"]);
    let name = variables.first(&["RFC2136_TSIG_KEY", "DNSUPDATE_TSIG_KEY"]);
    let secret = variables.first(&["RFC2136_TSIG_SECRET", "DNSUPDATE_TSIG_SECRET"]);
    match (name, secret) {
        (Some(name), Some(secret)) => {
            TsigKey::new(&name, algorithm.as_deref().unwrap_or(TSIG_ALGORITHM), &secret).map(Some)
        }
        (None, None) => Ok(None),
        (Some(_), None) => Err("RFC2136_TSIG_KEY is set without RFC2136_TSIG_SECRET".into()),
        (None, Some(_)) => Err("RFC2136_TSIG_SECRET is set without RFC2136_TSIG_KEY".into()),
    }
}

/// Name, algorithm and secret of a key file, as `tsig-keygen` writes it.
fn key_of_file(text: &str) -> Option<(String, String, String)> {
    let spaced = text.replace(['{', '}', ';'], " ");
    let mut words = spaced.split_whitespace().map(|word| word.trim_matches('"'));
    let mut after = |keyword: &str| words.find(|word| *word == keyword).and_then(|_| words.next()).map(str::to_owned);
    Some((after("key")?, after("algorithm")?, after("secret")?))
}

fn unix_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_file_of_tsig_keygen_is_read() {
        let text = "key \"acme\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0\";\n};\n";
        let key = Some(("acme".to_owned(), "hmac-sha256".to_owned(), "c2VjcmV0".to_owned()));
        assert_eq!(key_of_file(text), key);
        assert_eq!(key_of_file("key acme { secret x; };"), None);
    }

    #[test]
    fn half_a_key_is_an_error_without_the_secret() {
        let set = [("RFC2136_NAMESERVER", "127.0.0.1"), ("RFC2136_TSIG_SECRET", "c2VjcmV0")];
        let environment =
            |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let mut variables = Variables::new(&environment);
        let (provider, _) = Rfc2136::new(&mut variables);
        assert_eq!(provider.server, "127.0.0.1:53");
        let message = variables.finish("rfc2136").unwrap_err().0;
        assert!(message.contains("without RFC2136_TSIG_KEY") && !message.contains("c2VjcmV0"), "{message}");
    }
}
