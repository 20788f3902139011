//! DigitalOcean: the API v2.

use std::time::Duration;

use hyper::Method;
use serde_json::json;

use crate::control::acme::dns::api::{Api, Call, escape};
use crate::control::acme::dns::error::DnsError;
use crate::control::acme::dns::variables::{Timing, Variables};

use super::task::{RecordIds, Task};

const BASE: &str = "https://api.digitalocean.com";

/// The client.
pub struct DigitalOcean {
    api: Api,
    token: String,
    ttl_secs: u32,
    ids: RecordIds,
}

impl DigitalOcean {
    /// Reads `DO_...`.
    pub fn new(variables: &mut Variables<'_>) -> (DigitalOcean, Timing) {
        let defaults = Timing { polling_interval: Duration::from_secs(5), ttl_secs: 30, ..Timing::default() };
        let timing = variables.timing(&["DO_"], defaults);
        let token = variables.required(&["DO_AUTH_TOKEN"]);
        let base = variables.first(&["DO_API_URL"]).unwrap_or_else(|| BASE.to_owned());
        let api = Api::new("digitalocean", &base, timing.http_timeout, &[&token]);
        (DigitalOcean { api, token, ttl_secs: timing.ttl_secs, ids: RecordIds::default() }, timing)
    }

    pub async fn present(&self, task: &Task<'_>) -> Result<(), DnsError> {
        let (zone, _) = task.zone().await?;
        let body = json!({"type": "TXT", "name": task.fqdn, "data": task.value, "ttl": self.ttl_secs});
        let call = Call::json(Method::POST, format!("/v2/domains/{}/records", escape(&zone)), &body);
        let reply = self.api.expect(&self.sign(call)).await?.json();
        match reply["domain_record"]["id"].as_u64() {
            Some(id) => self.ids.remember(task, id.to_string()),
            None => return Err(self.api.error("the response has no domain_record.id")),
        }
        Ok(())
    }

    pub async fn clean_up(&self, task: &Task<'_>) -> Result<(), DnsError> {
        let Some(id) = self.ids.take(task) else { return Ok(()) };
        let (zone, _) = task.zone().await?;
        let call = Call::new(Method::DELETE, format!("/v2/domains/{}/records/{id}", escape(&zone)));
        self.api.expect(&self.sign(call)).await.map(drop)
    }

    fn sign(&self, call: Call) -> Call {
        call.header("Authorization", format!("Bearer {}", self.token))
    }
}
