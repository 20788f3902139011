//! Cloudflare: the API v4, by a token or by the account's key.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use crate::control::acme::dns::api::{Api, Call, escape};
use crate::control::acme::dns::error::DnsError;
use crate::control::acme::dns::variables::{Timing, Variables};

use super::task::{RecordIds, Task};

const BASE: &str = "https://api.cloudflare.com/client/v4";
/// The shortest lifetime that Cloudflare accepts from every account.
const TTL_SECS_MIN: u32 = 120;

/// The client.
pub struct Cloudflare {
    api: Api,
    /// For the zone's identifier, and for records.
    read: Access,
    edit: Access,
    ttl_secs: u32,
    ids: RecordIds,
}

#[derive(Clone)]
enum Access {
    Token(String),
    Key { email: String, key: String },
}

impl Cloudflare {
    /// Reads `CF_...` and `CLOUDFLARE_...`.
    pub fn new(variables: &mut Variables<'_>) -> (Cloudflare, Timing) {
        let defaults = Timing { propagation_timeout: Duration::from_secs(120), ..Timing::default() };
        let timing = variables.timing(&["CLOUDFLARE_", "CF_"], defaults);
        if timing.ttl_secs < TTL_SECS_MIN {
            variables.problem(format!("CLOUDFLARE_TTL is {}: at least {TTL_SECS_MIN} is allowed", timing.ttl_secs));
        }
        let base = variables.first(&["CLOUDFLARE_BASE_URL"]).unwrap_or_else(|| BASE.to_owned());
        let email = variables.first(&["CLOUDFLARE_EMAIL", "CF_API_EMAIL"]);
        let key = variables.first(&["CLOUDFLARE_API_KEY", "CF_API_KEY"]);
        let (read, edit) = match (email, key) {
            (Some(email), Some(key)) => {
                (Access::Key { email: email.clone(), key: key.clone() }, Access::Key { email, key })
            }
            (Some(_), None) if variables.first(&["CLOUDFLARE_DNS_API_TOKEN", "CF_DNS_API_TOKEN"]).is_none() => {
                let key = variables.required(&["CF_API_KEY", "CLOUDFLARE_API_KEY"]);
                (Access::Token(key.clone()), Access::Token(key))
            }
            _ => {
                let edit = variables.required(&["CF_DNS_API_TOKEN", "CLOUDFLARE_DNS_API_TOKEN"]);
                let read = variables.first(&["CLOUDFLARE_ZONE_API_TOKEN", "CF_ZONE_API_TOKEN"]);
                (Access::Token(read.unwrap_or_else(|| edit.clone())), Access::Token(edit))
            }
        };
        let api = Api::new("cloudflare", &base, timing.http_timeout, &[read.secret(), edit.secret()]);
        (Cloudflare { api, read, edit, ttl_secs: timing.ttl_secs, ids: RecordIds::default() }, timing)
    }

    pub async fn present(&self, task: &Task<'_>) -> Result<(), DnsError> {
        let zone = self.zone_id(&task.zone().await?.0).await?;
        let content = format!("\"{}\"", task.value);
        let body = json!({"type": "TXT", "name": task.name(), "content": content, "ttl": self.ttl_secs});
        let call = Call::json(Method::POST, format!("/zones/{zone}/dns_records"), &body);
        let call = self.edit.sign(call);
        let reply = self.api.send(&call).await?;
        let id = match reply.is_success() {
            true => reply.json()["result"]["id"].as_str().map(str::to_owned),
            // Left by an earlier try of the same challenge.
            false => self.find(&zone, task).await?,
        };
        let id = id.ok_or_else(|| self.api.refusal(&call, &reply))?;
        self.ids.remember(task, id);
        Ok(())
    }

    pub async fn clean_up(&self, task: &Task<'_>) -> Result<(), DnsError> {
        let Some(id) = self.ids.take(task) else { return Ok(()) };
        let zone = self.zone_id(&task.zone().await?.0).await?;
        let call = Call::new(Method::DELETE, format!("/zones/{zone}/dns_records/{}", escape(&id)));
        self.api.expect(&self.edit.sign(call)).await.map(drop)
    }

    async fn zone_id(&self, zone: &str) -> Result<String, DnsError> {
        let call = Call::new(Method::GET, format!("/zones?name={}&per_page=50", escape(zone)));
        let found = self.api.expect(&self.read.sign(call)).await?.json();
        match found["result"].as_array().map(Vec::as_slice) {
            Some([only]) => only["id"].as_str().map(escape),
            Some([_, ..]) => return Err(self.api.error(&format!("there are several zones {zone}"))),
            _ => None,
        }
        .ok_or_else(|| {
            self.api.error(&format!("there is no zone {zone} that the token may read: it needs Zone:Read and DNS:Edit"))
        })
    }

    /// The identifier of a record with this name and content.
    async fn find(&self, zone: &str, task: &Task<'_>) -> Result<Option<String>, DnsError> {
        let path = format!("/zones/{zone}/dns_records?type=TXT&name={}&per_page=100", escape(task.name()));
        let reply = self.api.send(&self.edit.sign(Call::new(Method::GET, path))).await?.json();
        let records = reply["result"].as_array().map_or(&[][..], Vec::as_slice);
        let has_value =
            |record: &&Value| record["content"].as_str().is_some_and(|text| text.trim_matches('"') == task.value);
        Ok(records.iter().find(has_value).and_then(|record| record["id"].as_str()).map(str::to_owned))
    }
}

impl Access {
    fn sign(&self, call: Call) -> Call {
        match self {
            Access::Token(token) => call.header("Authorization", format!("Bearer {token}")),
            Access::Key { email, key } => call.header("X-Auth-Email", email.clone()).header("X-Auth-Key", key.clone()),
        }
    }

    fn secret(&self) -> &str {
        match self {
            Access::Token(secret) | Access::Key { key: secret, .. } => secret,
        }
    }
}
