//! Duck DNS, whose domains have one TXT record each, for all names below them.

use hyper::Method;

use crate::control::acme::dns::api::{Api, Call, escape};
use crate::control::acme::dns::error::DnsError;
use crate::control::acme::dns::variables::{Timing, Variables};

use super::task::Task;

const BASE: &str = "https://www.duckdns.org";
const DOMAIN: &str = "duckdns.org";

/// The client.
pub struct DuckDns {
    pub(super) api: Api,
    token: String,
}

impl DuckDns {
    /// Reads `DUCKDNS_...`.
    pub fn new(variables: &mut Variables<'_>) -> (DuckDns, Timing) {
        let timing = variables.timing(&["DUCKDNS_"], Timing::default());
        let token = variables.required(&["DUCKDNS_TOKEN"]);
        let api = Api::new("duckdns", BASE, timing.http_timeout, &[&token]);
        (DuckDns { api, token }, timing)
    }

    pub async fn present(&self, task: &Task<'_>) -> Result<(), DnsError> {
        self.update(task, task.value, false).await
    }

    pub async fn clean_up(&self, task: &Task<'_>) -> Result<(), DnsError> {
        self.update(task, "", true).await
    }

    async fn update(&self, task: &Task<'_>, text: &str, clear: bool) -> Result<(), DnsError> {
        let domain = own_domain(task.name())
            .ok_or_else(|| self.api.error(&format!("{} is not below a domain of {DOMAIN}", task.name())))?;
        let (domain, token, text) = (escape(domain), escape(&self.token), escape(text));
        let call = Call::new(Method::GET, format!("/update?clear={clear}&domains={domain}&token={token}&txt={text}"));
        let reply = self.api.expect(&call).await?;
        match reply.body.trim() {
            "OK" => Ok(()),
            // The service says KO alone, whatever is wrong.
            other => Err(self.api.error(&format!(
                "the record of {domain} is not changed, the service answers {other:?}: the token or the domain is wrong"
            ))),
        }
    }
}

/// The domain that Duck DNS knows: three labels.
pub fn own_domain(name: &str) -> Option<&str> {
    let below = name.strip_suffix(DOMAIN)?.strip_suffix('.')?;
    let label = below.rsplit('.').next().filter(|label| !label.is_empty())?;
    name.get(below.len() - label.len()..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_of_duck_dns_has_three_labels() {
        assert_eq!(own_domain("_acme-challenge.www.me.duckdns.org"), Some("me.duckdns.org"));
        assert_eq!(own_domain("me.duckdns.org"), Some("me.duckdns.org"));
        assert_eq!(own_domain("duckdns.org"), None);
        assert_eq!(own_domain("me.example.com"), None);
        assert_eq!(own_domain("me.notduckdns.org"), None);
    }
}
